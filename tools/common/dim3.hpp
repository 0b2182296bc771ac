#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <string>
#include <string_view>

namespace ptxgen::tools {

/// "X", "X,Y" or "X,Y,Z" with numbers from 1 on; the error names the option.
Result<runtime::Dim3> parse_dim3(std::string_view option, const std::string& text);

} // namespace ptxgen::tools
