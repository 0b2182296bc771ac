#pragma once

#include "ptxgen/base/result.hpp"
#include "ptxgen/ir/ir.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::tools {

/// One --arg of `ptxgen run`: a scalar `u32=5`, or a buffer `f32[1024]=iota>out.bin`.
struct RunArg {
    std::string text; ///< as given, for messages
    Type type = Type::none;
    bool is_buffer = false;
    std::vector<std::byte> bytes; ///< the scalar's value, or the buffer's initial content
    std::string save_to;          ///< file for the content after the launch, "-" prints it, empty: not saved
};

/// Reads one --arg. Initial contents: zero; iota (0, 1, 2, …); random:SEED (floats in [-1, 1), integers over their
/// whole range, the same on every machine); @FILE (exactly as many bytes as the buffer has).
Result<RunArg> parse_run_arg(const std::string& text);

/// Checks the arguments against a kernel's parameters, in order; the error names the parameter, expected and found.
Status match_parameters(const Function& kernel, const std::vector<RunArg>& args);

/// Elements as text, separated by spaces.
std::string format_elements(Type type, const std::vector<std::byte>& bytes);

} // namespace ptxgen::tools
