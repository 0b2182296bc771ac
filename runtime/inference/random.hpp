#pragma once

#include <cmath>
#include <cstdint>

namespace ptxgen {

/// Seeded random numbers that are the same with every standard library (splitmix64).
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t bits() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    /// In [0, count).
    std::uint64_t below(std::uint64_t count) { return bits() % count; }
    /// In [low, high).
    double uniform(double low, double high) { return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53; }
    /// Close to the normal distribution of mean 0 and variance 1; never beyond 6.
    double normal() {
        double sum = -6;
        for (int i = 0; i < 12; i++) sum += uniform(0, 1);
        return sum;
    }

private:
    std::uint64_t state_;
};

} // namespace ptxgen
