#pragma once

#include "ptxgen/ir/ir.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// PTX text of a module; deterministic. Fails where resolve_target() does.
Result<std::string> print(const Module& module);
/// One instruction as text without the trailing newline, for diagnostics: "@%p1 ld.global.f32 %r3, [%rd1+4];".
std::string print(const Function& function, const Instruction& instruction, const Module& module);

struct ParseResult {
    Module module;                       ///< what could be read
    std::vector<Diagnostic> diagnostics; ///< all of them, in the order of the text
    bool ok() const {
        for (const auto& d : diagnostics)
            if (d.severity == Severity::error) return false;
        return true;
    }
};

/// Reads PTX text. Goes on after an error, so that one run reports them all.
ParseResult parse(std::string_view text);

/// Diagnostics as a compiler shows them: "file:line:col: error: … [rule]", the line, and the offending token
/// underlined.
std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view source, const std::string& file);

/// Reads one instruction in the context of a function, as KernelBuilder::raw does: register and label names are those
/// the function declares, and `{N}` stands for operands[N]. An opcode that the table lacks is accepted if
/// `unknown_minimum` is given.
Result<Instruction> parse_instruction(std::string_view line, const Module& module, const Function& function,
                                      std::span<const Operand> operands = {},
                                      std::optional<Minimum> unknown_minimum = std::nullopt);

} // namespace ptxgen
