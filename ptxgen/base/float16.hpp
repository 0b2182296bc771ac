#pragma once

#include <bit>
#include <cstdint>

namespace ptxgen {

/// IEEE binary16 bits to f32, exactly; NaN payloads keep their top bits.
constexpr float f16_to_f32(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
    const std::uint32_t exponent = (bits >> 10) & 31;
    const std::uint32_t fraction = bits & 0x3ff;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | fraction << 13);
    if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
    // Subnormals are fraction * 2^-24, which f32 holds as a normal number.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

/// f32 to IEEE binary16 bits, rounded to nearest even; overflow gives infinity, NaN stays a (quiet) NaN.
constexpr std::uint16_t f32_to_f16(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
    const std::uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) return static_cast<std::uint16_t>(sign | 0x7c00); // from 65520 on
    if (magnitude >= 0x38800000) {                                                 // from 2^-14 on: normal
        const std::uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000) >> 13));
    }
    // Adding 0.5, whose last bit is worth 2^-24, rounds the magnitude to a multiple of f16's smallest subnormal.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign |
                                      (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5f)));
}

/// bfloat16 bits to f32, exactly.
constexpr float bf16_to_f32(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

/// f32 to bfloat16 bits, rounded to nearest even; NaN stays a (quiet) NaN.
constexpr std::uint16_t f32_to_bf16(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace ptxgen
