#pragma once

#include "ptxgen/base/result.hpp"

#include <string>
#include <string_view>

namespace ptxgen::tools {

/// Exit codes of all tools.
inline constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

/// The whole file; the error names the path and the system's reason.
Result<std::string> read_file(const std::string& path);
/// Writes to a neighbour first and renames it, so that a failure leaves no half file. "-" is standard output.
Status write_file(const std::string& path, std::string_view content);

/// Prints "error: MESSAGE" on standard error and returns exit_error.
int fail(std::string_view message);

} // namespace ptxgen::tools
