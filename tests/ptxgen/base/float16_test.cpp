#include "ptxgen/base/float16.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <initializer_list>
#include <limits>

using namespace ptxgen;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The definition of a binary format with `fraction_bits` and the given exponent bias.
double by_definition(unsigned bits, int fraction_bits, int bias) {
    const int exponent_bits = 15 - fraction_bits;
    const unsigned fraction = bits & ((1U << fraction_bits) - 1);
    const int exponent = static_cast<int>(bits >> fraction_bits & ((1U << exponent_bits) - 1));
    const double sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1) return fraction ? std::nan("") : sign * HUGE_VAL;
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
    return sign * std::ldexp(fraction + std::ldexp(1.0, fraction_bits), exponent - bias - fraction_bits);
}

/// Every value round-trips; every midpoint between neighbours goes to the even one, anything beyond it to the nearer
/// one.
void check_format(float (*widen)(std::uint16_t), std::uint16_t (*narrow)(float), int fraction_bits, int bias) {
    const unsigned top = ((1U << (15 - fraction_bits)) - 1) << fraction_bits; // infinity
    int wrong = 0;
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        const float value = widen(static_cast<std::uint16_t>(bits));
        const double expected = by_definition(bits, fraction_bits, bias);
        if (std::isnan(expected)) {
            wrong += !std::isnan(value) || !std::isnan(widen(narrow(value)));
            continue;
        }
        wrong += static_cast<double>(value) != expected || std::signbit(value) != (bits >> 15 != 0);
        wrong += narrow(value) != bits;
    }
    for (unsigned bits = 0; bits + 1 < top; bits++)
        for (const unsigned sign : {0U, 0x8000U}) {
            const double low = by_definition(bits, fraction_bits, bias);
            const double high = by_definition(bits + 1, fraction_bits, bias);
            const auto middle = static_cast<float>((low + high) / 2);
            if (static_cast<double>(middle) != (low + high) / 2) continue; // below f32's smallest
            const float side = sign ? -1.0F : 1.0F;
            const unsigned even = bits % 2 == 0 ? bits : bits + 1;
            wrong += narrow(side * middle) != (even | sign);
            wrong += narrow(side * std::nextafter(middle, 0.0F)) != (bits | sign);
            wrong += narrow(side * std::nextafter(middle, infinity)) != ((bits + 1) | sign);
        }
    CHECK(wrong == 0);
    CHECK(narrow(infinity) == top);
    CHECK(narrow(-infinity) == (top | 0x8000));
    CHECK(narrow(std::numeric_limits<float>::max()) == top);
}

} // namespace

TEST_CASE("binary16 conversions are exact and rounded to nearest even") {
    check_format(f16_to_f32, f32_to_f16, 10, 15);
    CHECK(f32_to_f16(65519.996F) == 0x7bff);
    CHECK(f32_to_f16(65520.0F) == 0x7c00);
}

TEST_CASE("bfloat16 conversions are exact and rounded to nearest even") {
    check_format(bf16_to_f32, f32_to_bf16, 7, 127);
}
