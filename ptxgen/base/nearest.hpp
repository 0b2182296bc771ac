#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// Number of letters to insert, delete, replace or swap with their neighbour to turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The names closest to a misspelt one, the closest first, at most `count`, however far: for error messages.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names,
                                       std::size_t count = 3);

/// The few candidates that `name` is most likely a misspelling of, best first; empty if none is close.
std::vector<std::string_view> nearest(std::string_view name, std::span<const std::string_view> candidates,
                                      std::size_t most = 3);

/// "; did you mean 'a', 'b' or 'c'?", empty if nothing is close.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates);

} // namespace ptxgen
