#include "tools/common/dim3.hpp"

#include <charconv>
#include <fmt/format.h>

namespace ptxgen::tools {

Result<runtime::Dim3> parse_dim3(std::string_view option, const std::string& text) {
    std::uint32_t value[3] = {1, 1, 1};
    const char* at = text.data();
    const char* end = at + text.size();
    for (int i = 0; i < 3; i++) {
        const auto [next, error] = std::from_chars(at, end, value[i]);
        if (error != std::errc{} || value[i] == 0) break;
        if (next == end) return runtime::Dim3{value[0], value[1], value[2]};
        if (*next != ',') break;
        at = next + 1;
    }
    return Error{fmt::format("{} '{}': expected X, X,Y or X,Y,Z with numbers from 1 on", option, text)};
}

} // namespace ptxgen::tools
