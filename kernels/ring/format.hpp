#pragma once

#include "kernels/tensor_type.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// The ring format: quantised matrices packed so that they stream through shared memory in bulk copies and stand there
/// as a warp's integer products want them. docs/ring.md draws it.
namespace ptxgen::kernels {

inline constexpr std::uint32_t ring_tile_rows = 16;
inline constexpr std::uint32_t ring_super_block = 256; ///< columns of a unit

/// Where a matrix's units are: `tiles` row tiles × `super_blocks` units, tile after tile.
struct RingShape {
    std::uint32_t tiles = 0;
    std::uint32_t super_blocks = 0;
    std::uint64_t units() const { return std::uint64_t{tiles} * super_blocks; }
};
RingShape ring_shape(std::uint64_t rows, std::uint64_t cols);

/// Bits of codes within a lane's words. The codes of four columns stand alike in the four bytes of a word, so this says
/// it for one byte: `bits` bits from `from_bit` of input word `word` go to `to_bit` of the output.
struct RingPiece {
    std::uint8_t word = 0, from_bit = 0, bits = 0, to_bit = 0;
};
/// An output: its bytes are code · 2^shift, ORed from pieces.
struct RingCode {
    std::uint8_t shift = 0, pieces = 0;
    RingPiece piece[3] = {};
};
/// `period_codes` outputs come from `period_words` input words.
struct RingCodeLayout {
    std::uint8_t value_bits = 0;
    bool is_signed = false; ///< codes are two's complement, the type's offset already subtracted
    std::uint8_t period_words = 0, period_codes = 0;
    RingCode code[8] = {};
};

/// How one storage type is packed. A unit is 16 rows × 256 columns in the bytes that it takes in the file, zero-padded
/// at the matrix's ends:
///   [0, 512 · loads)  load i, lane l: 16 bytes, the input word i of four registers
///   then              the header: scales (and minima) in the order in which lanes read them
/// Lane (g = l / 4, q = l % 4) holds what becomes the words a0 … a3 of the A fragments of mma.m16n8k32: rows g, g + 8,
/// g, g + 8 and columns 4q, 4q, 16 + 4q, 16 + 4q (+ 0 … 3) of 32; the 256 columns make eight such outputs.
struct RingFormat {
    TensorType type = TensorType::q4_k;
    const RingCodeLayout* codes = nullptr;
    std::uint32_t unit_bytes = 0; ///< a multiple of 16

    std::uint32_t loads() const { return 8U * codes->period_words / codes->period_codes; }
    std::uint32_t header_offset() const { return 512 * loads(); }
};

/// Types that have a ring format: Q4_K, Q6_K, Q8_0, Q4_1, Q5_0.
std::span<const TensorType> ring_types();
/// Nothing for other types.
std::optional<RingFormat> ring_format(TensorType type);

/// Bytes of a packed matrix; the type must have a ring format.
std::uint64_t ring_bytes(TensorType type, std::uint64_t rows, std::uint64_t cols);

/// Packs row tiles [first_tile, first_tile + tiles) of a matrix of `rows` × `cols` (a multiple of the type's block)
/// from GGUF blocks at `stored` (row 0) to `packed`, where the unit (first_tile, 0) goes: tiles · super_blocks ·
/// unit_bytes bytes. Threads may pack different tiles at once. The type must have a ring format.
void pack_ring(TensorType type, std::uint64_t rows, std::uint64_t cols, const std::byte* stored,
               std::uint64_t first_tile, std::uint64_t tiles, std::byte* packed);

} // namespace ptxgen::kernels
