#pragma once

#include "runtime/emulator/exec/lanes.hpp"

/// The approximate functions, evaluated in double and rounded once: within one unit in the last place of the true
/// value, well inside what PTX documents, and the same on every instruction set.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {

/// x rounded to an integer, ties to even; |x| < 2^51.
PTXGEN_INLINE double nearest(double x) {
    const double shift = 0x1.8p52;
    const double moved = x + shift;
    return moved - shift;
}

/// 2^f for |f| <= 0.5 (Taylor series of exp).
PTXGEN_INLINE double exp2_fraction(double f) {
    const double x = f * 0.69314718055994530942;
    double p = 1.0 / 39916800.0;
    p = p * x + 1.0 / 3628800.0;
    p = p * x + 1.0 / 362880.0;
    p = p * x + 1.0 / 40320.0;
    p = p * x + 1.0 / 5040.0;
    p = p * x + 1.0 / 720.0;
    p = p * x + 1.0 / 120.0;
    p = p * x + 1.0 / 24.0;
    p = p * x + 1.0 / 6.0;
    p = p * x + 0.5;
    p = p * x + 1.0;
    return p * x + 1.0;
}
PTXGEN_INLINE double exp2_of(double x) {
    x = x < -1000.0 ? -1000.0 : x;
    x = x > 1000.0 ? 1000.0 : x; // NaN passes both
    const double whole = nearest(x == x ? x : 0.0);
    const double scale = bits_as<double>(static_cast<u64>(static_cast<s64>(static_cast<s32>(whole)) + 1023) << 52);
    return exp2_fraction(x - whole) * scale;
}
PTXGEN_INLINE float approx_ex2(float x) { return static_cast<float>(exp2_of(x)); }

PTXGEN_INLINE double log2_of(double x) {
    const u64 bits = bits_as<u64>(x);
    // mantissa in [sqrt(1/2), sqrt(2))
    const u64 moved = bits - 0x3fe6a09e667f3bcdull;
    const double exponent = static_cast<double>(static_cast<s32>(static_cast<s64>(moved) >> 52));
    const double m = bits_as<double>((moved & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull);
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    p = p * z + 1.0;
    return exponent + 2.8853900817779268147 * s * p;
}
PTXGEN_INLINE float approx_lg2(float x) {
    const float finite = static_cast<float>(log2_of(x > 0.0f ? static_cast<double>(x) : 1.0));
    const float infinity = bits_as<float>(0x7f800000u), nan = bits_as<float>(0x7fffffffu);
    float r = x == infinity ? infinity : finite;
    r = x == 0.0f ? -infinity : r;
    return (x < 0.0f || x != x) ? nan : r;
}

PTXGEN_INLINE double sin_series(double x) { // |x| <= pi/4
    const double z = x * x;
    double p = 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return x + x * z * p;
}
PTXGEN_INLINE double cos_series(double x) {
    const double z = x * x;
    double p = -1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    p = p * z - 0.5;
    return 1.0 + z * p;
}
/// sin(x + quarter * pi/2); the argument is reduced with pi/2 in three parts, good for all |x| < 2^30.
PTXGEN_INLINE float sin_quadrant(float value, s64 quarter) {
    const double x = value;
    const bool usable = x > -0x1p30 && x < 0x1p30;
    const double safe = usable ? x : 0.0;
    const double n = nearest(safe * 0.63661977236758134308);
    const double r = ((safe - n * 0x1.921fb544p0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2e037073p-69;
    const s64 q = static_cast<s64>(static_cast<s32>(n)) + quarter;
    double v = (q & 1) ? cos_series(r) : sin_series(r);
    v = (q & 2) ? -v : v;
    const float nan = bits_as<float>(0x7fffffffu);
    const bool number = x - x == 0.0;
    return number ? static_cast<float>(v) : nan;
}
PTXGEN_INLINE float approx_sin(float x) { return sin_quadrant(x, 0); }
PTXGEN_INLINE float approx_cos(float x) { return sin_quadrant(x, 1); }

PTXGEN_INLINE float approx_tanh(float value) {
    const double x = value;
    const double limited = x > 20.0 ? 20.0 : x < -20.0 ? -20.0 : x;
    const double e = exp2_of(limited * 2.8853900817779268147); // exp(2x)
    const double big = (e - 1.0) / (e + 1.0);
    const double small = x * (1.0 - x * x * (1.0 / 3.0));
    const double r = (x > -1e-4 && x < 1e-4) ? small : big;
    return x == x ? static_cast<float>(r) : bits_as<float>(0x7fffffffu);
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
