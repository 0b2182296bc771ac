#pragma once

#include <cstdint>
#include <string>

namespace ptxgen {

/// A place in a text; `line` and `column` count from 1, 0 means unknown.
struct SourceLocation {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
};

enum class Severity : std::uint8_t { error, warning };

/// One finding of the parser or the verifier.
struct Diagnostic {
    Severity severity = Severity::error;
    std::string rule;        ///< short stable name of the check, for example "operand-type"
    std::string message;     ///< what was expected, what was found, what to do
    std::string function;    ///< kernel or function, empty at module level
    int instruction = -1;    ///< index in the function's body, -1 if it is not about one
    SourceLocation location; ///< in the parsed text; unknown for built code
    int operand = -1;        ///< position of the operand that it is about, -1 if it is not about one
};

/// "file:line:col: error: message [rule]", or "kernel 'k', instruction 3: error: …" without a location.
std::string to_string(const Diagnostic& diagnostic, const std::string& file = {});

} // namespace ptxgen
