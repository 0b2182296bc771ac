#pragma once

#include "runtime/emulator/exec/lanes.hpp"

/// Exact conversions between f16, bf16 and f32, free of branches so that lane loops vectorise.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {

PTXGEN_INLINE float float_of_f16(u16 h) {
    const u32 sign = static_cast<u32>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    const u32 normal = (magnitude << 13) + (112u << 23);
    const u32 special = (magnitude << 13) | 0x7f800000u; // infinities and NaNs
    const u32 tiny = bits_as<u32>(static_cast<float>(static_cast<s32>(magnitude)) * 0x1p-24f);
    const u32 bits = magnitude >= 0x7c00u ? special : magnitude < 0x400u ? tiny : normal;
    return bits_as<float>(bits | sign);
}
PTXGEN_INLINE float float_of_bf16(u16 h) { return bits_as<float>(static_cast<u32>(h) << 16); }

/// To nearest, ties to even; NaN becomes the canonical 0x7fff.
PTXGEN_INLINE u16 f16_of_float(float x) {
    const u32 bits = bits_as<u32>(x), a = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
    const u32 normal = (a + 0xfffu + ((a >> 13) & 1u) - (112u << 23)) >> 13;
    const u32 tiny = bits_as<u32>(bits_as<float>(a) + 0.5f) - 0x3f000000u; // 0.5 has the step 2^-24
    u32 r = a < 0x38800000u ? tiny : normal;
    r = a >= 0x477ff000u ? 0x7c00u : r;
    r |= sign;
    return static_cast<u16>(a > 0x7f800000u ? 0x7fffu : r);
}
PTXGEN_INLINE u16 bf16_of_float(float x) {
    const u32 bits = bits_as<u32>(x), a = bits & 0x7fffffffu;
    const u32 r = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return static_cast<u16>(a > 0x7f800000u ? 0x7fffu : r);
}

/// The f32 whose later rounding to a narrower format equals rounding x at once: rounding to odd.
PTXGEN_INLINE float odd_float(double x) {
    const float f = static_cast<float>(x);
    const double back = f;
    u32 bits = bits_as<u32>(f);
    // f is the nearest; when it is inexact and even, its neighbour towards x is odd
    const bool inexact = back != x && x == x;
    const u32 away = ((x > back) == (x > 0)) ? 1u : ~u32{0};
    bits += (inexact && !(bits & 1u)) ? away : 0u;
    return bits_as<float>(bits);
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
