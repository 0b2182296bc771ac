#pragma once

#include "kernels/dequant/unit_decoder.hpp"

#include <array>
#include <cstdint>
#include <vector>

// Instruction sequences that several decoders use.
namespace ptxgen::kernels {

/// `count` 32-bit words from memory of some alignment in bytes, by the widest loads that it allows.
std::vector<Val<u32>> load_words(KernelBuilder& k, const WeightPtr& at, std::uint32_t count, std::uint32_t alignment);
/// (value & mask) | other in one instruction.
Val<u32> mask_or(KernelBuilder& k, const Val<u32>& value, std::uint32_t mask, const Val<u32>& other);

/// small_byte() gives 128 more than the byte.
inline constexpr float small_byte_offset = 128;
/// 128 + byte `index` of a word, for bytes below 128, in one instruction: the byte becomes the top of the mantissa.
Val<f32> small_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index);
/// byte `index` of a word, minus `bias`.
Val<f32> biased_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index, float bias);

/// Sixteen bytes by which nibbles are looked up.
using NibbleTable = std::array<std::uint8_t, 16>;
/// The table's bytes for the eight nibbles of a word, in two words, lowest nibble first.
std::array<Val<u32>, 2> look_up_nibbles(KernelBuilder& k, const Val<u32>& nibbles, const NibbleTable& table);

/// IQ4_NL's and IQ4_XS's values, plus 128.
inline constexpr NibbleTable iq4_table{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
/// Twice the values of OCP's E2M1, plus 12.
inline constexpr NibbleTable e2m1_table{12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

} // namespace ptxgen::kernels
