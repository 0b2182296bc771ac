#include "ptxgen/base/nearest.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ptxgen {
namespace {
constexpr std::size_t longest_name = 64; // keeps the quadratic comparison cheap on hostile text
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); j++) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); i++) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); j++) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names, std::size_t count) {
    std::vector<std::pair<std::size_t, std::string>> ranked;
    for (const auto& other : names) {
        // "gmv" means "gemv_q4_k" rather than "add": a beginning that is close counts, a little less than a whole name.
        std::size_t distance = edit_distance(name, other);
        for (const std::size_t length : {name.size(), name.size() + 1}) {
            if (length >= other.size()) continue;
            const auto beginning = edit_distance(name, std::string_view(other).substr(0, length));
            if (beginning <= name.size() / 3) distance = std::min(distance, 1 + beginning);
        }
        ranked.emplace_back(distance, other);
    }
    std::sort(ranked.begin(), ranked.end());
    std::vector<std::string> closest;
    for (const auto& [distance, other] : ranked)
        if (closest.size() < count) closest.push_back(other);
    return closest;
}

std::vector<std::string_view> nearest(std::string_view name, std::span<const std::string_view> candidates,
                                      std::size_t most) {
    if (name.size() > longest_name) return {};
    const std::size_t limit = std::max<std::size_t>(1, name.size() / 3);
    std::vector<std::pair<std::size_t, std::string_view>> close;
    for (const auto candidate : candidates) {
        const auto shorter = std::min(candidate.size(), name.size());
        if (candidate.size() > longest_name || std::max(candidate.size(), name.size()) - shorter > limit) continue;
        const auto distance = edit_distance(name, candidate);
        if (distance <= limit) close.emplace_back(distance, candidate);
    }
    std::sort(close.begin(), close.end());
    close.erase(std::unique(close.begin(), close.end()), close.end());
    std::vector<std::string_view> names;
    for (const auto& [distance, candidate] : close)
        if (names.size() < most && distance <= close.front().first + 1) names.push_back(candidate);
    return names;
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates) {
    const auto names = nearest(name, candidates);
    std::string text;
    for (std::size_t i = 0; i < names.size(); i++)
        text += fmt::format("{}'{}'", i == 0 ? "; did you mean " : i + 1 == names.size() ? " or " : ", ", names[i]);
    return text.empty() ? text : text + "?";
}

} // namespace ptxgen
