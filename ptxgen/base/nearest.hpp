#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// The names closest to a misspelt one by edit distance, the closest first, at most `count`: for error messages.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names,
                                       std::size_t count = 3);

} // namespace ptxgen
