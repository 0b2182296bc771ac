#include "ptxgen/base/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ptxgen {
namespace {

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); i++) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); j++) {
            const std::size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
        }
    }
    return row[b.size()];
}

} // namespace

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names, std::size_t count) {
    std::vector<std::pair<std::size_t, std::string>> ranked;
    for (const auto& other : names) ranked.emplace_back(edit_distance(name, other), other);
    std::sort(ranked.begin(), ranked.end());
    std::vector<std::string> nearest;
    for (const auto& [distance, other] : ranked) {
        if (nearest.size() == count) break;
        nearest.push_back(other);
    }
    return nearest;
}

} // namespace ptxgen
