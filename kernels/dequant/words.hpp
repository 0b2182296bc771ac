#pragma once

#include "kernels/dequant/unit_decoder.hpp"

#include <array>
#include <cstdint>
#include <vector>

// Instruction sequences that several decoders use.
namespace ptxgen::kernels {

/// `count` 32-bit words from memory of some alignment in bytes, by the widest loads that it allows.
std::vector<Val<u32>> load_words(KernelBuilder& k, const WeightPtr& at, std::uint32_t count, std::uint32_t alignment);
/// Shifted left by a number that may be negative or 0, then masked.
Val<u32> shift_mask(const Val<u32>& word, int left, std::uint32_t mask);
/// (value & mask) | other in one instruction.
Val<u32> mask_or(KernelBuilder& k, const Val<u32>& value, std::uint32_t mask, const Val<u32>& other);

/// How numbers below 128 become floats in one instruction: a byte is put into the top seven bits of the mantissa of a
/// power of two. The fewer bits a number has, the smaller the power can be, and so what is lost to rounding in sums.
struct MantissaByte {
    std::uint32_t power; ///< bits of the power of two; its exponent's lowest bit is 0
    std::uint32_t shift; ///< by which the number must have been shifted left within its byte
    float offset;        ///< result for 0
};
inline constexpr MantissaByte seven_bits{0x43000000, 0, 128}; ///< gives 128 + number
inline constexpr MantissaByte five_bits{0x42000000, 2, 32};   ///< 32 + number
inline constexpr MantissaByte three_bits{0x41000000, 4, 8};   ///< 8 + number
inline constexpr MantissaByte two_bits{0x40000000, 5, 2};     ///< 2 + number / 2
/// The float of byte `index` of a word.
Val<f32> mantissa_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index, const MantissaByte& form);
/// byte `index` of a word, minus `bias`.
Val<f32> biased_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index, float bias);

/// Sixteen bytes by which nibbles are looked up.
using NibbleTable = std::array<std::uint8_t, 16>;
/// The table's bytes for the eight nibbles of a word, in two words, lowest nibble first.
std::array<Val<u32>, 2> look_up_nibbles(KernelBuilder& k, const Val<u32>& nibbles, const NibbleTable& table);

/// IQ4_NL's and IQ4_XS's values, plus 128.
inline constexpr NibbleTable iq4_table{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
/// Twice the values of OCP's E2M1, plus 12, shifted as five_bits wants it.
inline constexpr NibbleTable e2m1_table{48, 52, 56, 60, 64, 72, 80, 96, 48, 44, 40, 36, 32, 24, 16, 0};

} // namespace ptxgen::kernels
