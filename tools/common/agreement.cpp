#include "tools/common/agreement.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

/// The highest value: where it is first, and by how much it exceeds the second best.
struct Best {
    std::size_t index = 0;
    double gap = 0;
};

Best best_of(std::span<const float> values) {
    std::size_t best = 0;
    float second = -INFINITY;
    for (std::size_t i = 1; i < values.size(); i++)
        if (values[i] > values[best]) {
            second = values[best];
            best = i;
        } else {
            second = std::max(second, values[i]);
        }
    return {best, static_cast<double>(values[best]) - static_cast<double>(second)};
}

Status check_finite(std::span<const float> values, std::string_view whose) {
    for (std::size_t i = 0; i < values.size(); i++)
        if (!std::isfinite(values[i])) return Error{fmt::format("the {}'s logit of id {} is {}", whose, i, values[i])};
    return {};
}

} // namespace

Status Agreement::add(std::span<const float> expected, std::span<const float> found) {
    if (expected.size() != found.size())
        return Error{fmt::format("one engine gives {} logits, the other {}", expected.size(), found.size())};
    if (auto ok = check_finite(expected, "graph engine"); !ok) return ok;
    if (auto ok = check_finite(found, "persistent engine"); !ok) return ok;
    double difference = 0;
    double largest = 0;
    for (std::size_t i = 0; i < expected.size(); i++) {
        difference = std::max(difference, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
        largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    }
    // Two engines that compute nothing would agree.
    if (largest == 0) return Error{"all of the graph engine's logits are zero"};
    const std::uint64_t position = positions_++;
    max_difference_ = std::max(max_difference_, difference);
    max_logit_ = std::max(max_logit_, largest);
    if (difference / largest > worst_ratio_) {
        worst_ratio_ = difference / largest;
        worst_position_ = position;
    }
    const Best best = best_of(expected);
    if (best_of(found).index == best.index) return {};
    other_argmax_++;
    if (best.gap <= bound_ * largest) return {};
    if (other_argmax_beyond_++ == 0) first_beyond_ = position;
    return {};
}

} // namespace ptxgen::tools
