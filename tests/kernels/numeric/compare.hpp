#pragma once

#include "tests/support/random.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <vector>

namespace ptxgen::test {

inline std::vector<float> random_floats(Random& random, std::size_t count, double scale = 1) {
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(scale * random.normal());
    return values;
}

/// The largest deviation, relative to the largest magnitude expected. Anything that is not finite is infinitely far.
inline double deviation(const std::vector<float>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    double worst = 0, largest = 1e-30;
    for (std::size_t i = 0; i < found.size(); i++) {
        const double distance = std::abs(static_cast<double>(found[i]) - expected[i]);
        if (!std::isfinite(distance)) return INFINITY;
        worst = std::max(worst, distance);
        largest = std::max(largest, std::abs(expected[i]));
    }
    return worst / largest;
}

} // namespace ptxgen::test
