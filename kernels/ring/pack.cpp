#include "kernels/ring/code_layouts.hpp"
#include "kernels/ring/format.hpp"

#include <algorithm>
#include <array>
#include <cstring>

// Packing in two steps: a row's part of a unit becomes 256 codes and its header fields; then the codes of four columns
// at a time go to the word (and bits) where the row's lanes look for them.
namespace ptxgen::kernels {
namespace {

using Codes = std::array<std::uint8_t, ring_super_block>;

/// Place of a row in its unit's lanes: lanes 4g … 4g + 3, and whether it is row g or g + 8.
struct RowPlace {
    explicit RowPlace(unsigned row) : group(row % 8), upper(row / 8) {}
    unsigned group, upper;
};

void low_then_high_nibbles(const std::uint8_t* bytes, std::uint8_t* low, std::uint8_t* high, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        low[i] = bytes[i] & 15;
        high[i] = bytes[i] >> 4;
    }
}

/// Each type: `decode` reads the `blocks` blocks of a row that lie in the unit, and writes codes (whose bits above the
/// layout's value_bits do not matter) and the header.
struct PackQ4K {
    static constexpr TensorType type = TensorType::q4_k;
    static constexpr const RingCodeLayout& layout = ring_nibbles;
    // u32 a lane: scales of sub-blocks 2q, 2q + 1, then their minima, 6 bits each, of row g; then 8 of the 24 bits of
    // row g + 8; u16 a lane: the other 16; then {d, dmin} of rows g and g + 8.
    static void decode(const std::uint8_t* block, unsigned /*blocks*/, Codes& codes, std::uint8_t* header,
                       RowPlace at) {
        for (unsigned c = 0; c < 4; c++)
            low_then_high_nibbles(block + 16 + 32 * c, &codes[64 * c], &codes[64 * c + 32], 32);
        const std::uint8_t* s = block + 4;
        std::array<unsigned, 8> scale{}, minimum{};
        for (unsigned j = 0; j < 8; j++) {
            scale[j] = j < 4 ? s[j] & 63U : (s[j + 4] & 15U) | (s[j - 4] >> 6U) << 4U;
            minimum[j] = j < 4 ? s[j + 4] & 63U : (s[j + 4] >> 4U) | (s[j] >> 6U) << 4U;
        }
        for (unsigned q = 0; q < 4; q++) {
            const unsigned lane = 4 * at.group + q;
            const unsigned bits =
                scale[2 * q] | scale[2 * q + 1] << 6 | minimum[2 * q] << 12 | minimum[2 * q + 1] << 18;
            std::uint8_t* word = header + 4 * lane;
            std::uint8_t* half = header + 128 + 2 * lane;
            if (at.upper == 0) {
                for (unsigned i = 0; i < 3; i++) word[i] = static_cast<std::uint8_t>(bits >> 8 * i);
            } else {
                word[3] = static_cast<std::uint8_t>(bits);
                half[0] = static_cast<std::uint8_t>(bits >> 8);
                half[1] = static_cast<std::uint8_t>(bits >> 16);
            }
        }
        std::memcpy(header + 192 + 8 * at.group + 4 * at.upper, block, 4);
    }
};

struct PackQ6K {
    static constexpr TensorType type = TensorType::q6_k;
    static constexpr const RingCodeLayout& layout = ring_sixes;
    // 8 bytes a lane: signed scales of the 16-column sub-blocks 2q, 2q + 1, 8 + 2q, 9 + 2q of row g, then of row g + 8;
    // then d of rows g and g + 8.
    static void decode(const std::uint8_t* block, unsigned /*blocks*/, Codes& codes, std::uint8_t* header,
                       RowPlace at) {
        for (unsigned n = 0; n < 2; n++) {
            const std::uint8_t *low = block + 64 * n, *high = block + 128 + 32 * n;
            std::uint8_t* out = &codes[128 * n];
            // Subtracting 32 from six bits turns the highest one round.
            for (unsigned l = 0; l < 32; l++) {
                const unsigned h = high[l];
                out[l] = static_cast<std::uint8_t>(((low[l] & 15U) | (h << 4 & 48U)) ^ 32U);
                out[l + 32] = static_cast<std::uint8_t>(((low[l + 32] & 15U) | (h << 2 & 48U)) ^ 32U);
                out[l + 64] = static_cast<std::uint8_t>((low[l] >> 4U | (h & 48U)) ^ 32U);
                out[l + 96] = static_cast<std::uint8_t>((low[l + 32] >> 4U | (h >> 2 & 48U)) ^ 32U);
            }
        }
        const std::uint8_t* scales = block + 192;
        for (unsigned q = 0; q < 4; q++) {
            std::uint8_t* to = header + 8 * (4 * at.group + q) + 4 * at.upper;
            for (unsigned i = 0; i < 4; i++) to[i] = scales[2 * q + i % 2 + 8 * (i / 2)];
        }
        std::memcpy(header + 256 + 4 * at.group + 2 * at.upper, block + 208, 2);
    }
};

/// Types in blocks of 32: `header_bytes` of a block stand in front of the codes.
template <class Derived, unsigned block_bytes, unsigned header_bytes>
struct PackBlocks {
    // A lane: the header fields of blocks 2q and 2q + 1 of row g, then of row g + 8.
    static void decode(const std::uint8_t* row, unsigned blocks, Codes& codes, std::uint8_t* header, RowPlace at) {
        if (blocks < 8) codes.fill(0);
        for (unsigned b = 0; b < blocks; b++) {
            const std::uint8_t* block = row + block_bytes * b;
            const unsigned lane = 4 * at.group + b / 2;
            std::memcpy(header + header_bytes * (4 * lane + 2 * at.upper + b % 2), block, header_bytes);
            Derived::codes(block, &codes[32 * b]);
        }
    }
};
struct PackQ41 : PackBlocks<PackQ41, 20, 4> {
    static constexpr TensorType type = TensorType::q4_1;
    static constexpr const RingCodeLayout& layout = ring_nibbles;
    static void codes(const std::uint8_t* block, std::uint8_t* out) {
        low_then_high_nibbles(block + 4, out, out + 16, 16);
    }
};
struct PackQ50 : PackBlocks<PackQ50, 22, 2> {
    static constexpr TensorType type = TensorType::q5_0;
    static constexpr const RingCodeLayout& layout = ring_fives;
    static void codes(const std::uint8_t* block, std::uint8_t* out) {
        std::uint32_t fifth = 0;
        std::memcpy(&fifth, block + 2, 4);
        low_then_high_nibbles(block + 6, out, out + 16, 16);
        // Eight bits at a time to the fifth place of eight bytes; subtracting 16 turns that bit round.
        for (unsigned i = 0; i < 4; i++) {
            const std::uint64_t spread = (fifth >> 8 * i & 255U) * 0x0101010101010101U & 0x8040201008040201U;
            const std::uint64_t bits = (spread + 0x00406070787c7e7fU) >> 3 & 0x1010101010101010U;
            std::uint64_t eight = 0;
            std::memcpy(&eight, out + 8 * i, 8);
            eight |= bits;
            eight ^= 0x1010101010101010U;
            std::memcpy(out + 8 * i, &eight, 8);
        }
    }
};
struct PackQ80 : PackBlocks<PackQ80, 34, 2> {
    static constexpr TensorType type = TensorType::q8_0;
    static constexpr const RingCodeLayout& layout = ring_bytes_layout;
    static void codes(const std::uint8_t* block, std::uint8_t* out) { std::memcpy(out, block + 2, 32); }
};

constexpr std::uint32_t in_each_byte(unsigned bits) { return ((1U << bits) - 1) * 0x01010101U; }

/// The codes of the four lanes of a group.
struct FourWords {
    std::array<std::uint32_t, 4> word{};
};

/// Puts a row's codes into the unit's words; `words` is [load][lane][4].
template <const RingCodeLayout& layout>
void place_codes(const Codes& codes, std::uint32_t* words, RowPlace at) {
    constexpr unsigned period = layout.period_codes;
    for (unsigned base = 0; base < 8; base += period)
        for (unsigned half = 0; half < 2; half++) {
            std::array<FourWords, layout.period_words> packed{};
            for (unsigned j = 0; j < period; j++) {
                FourWords four;
                std::memcpy(&four, &codes[32 * (base + j) + 16 * half], 16);
                const RingCode& code = layout.code[j];
                for (unsigned p = 0; p < code.pieces; p++) {
                    const RingPiece& piece = code.piece[p];
                    const unsigned right = piece.to_bit - code.shift;
                    for (unsigned q = 0; q < 4; q++)
                        packed[piece.word].word[q] |= (four.word[q] >> right & in_each_byte(piece.bits))
                                                      << piece.from_bit;
                }
            }
            std::uint32_t* lanes =
                words + 16 * at.group + at.upper + 2 * half + 128 * (base / period * layout.period_words);
            for (unsigned w = 0; w < layout.period_words; w++)
                for (unsigned q = 0; q < 4; q++) lanes[128 * w + 4 * q] = packed[w].word[q];
        }
}

template <class Pack>
void pack(std::uint64_t rows, std::uint64_t cols, const std::uint8_t* stored, std::uint64_t first_tile,
          std::uint64_t tiles, std::uint8_t* packed) {
    const RingFormat format = *ring_format(Pack::type);
    const TensorTypeInfo& info = tensor_type_info(Pack::type);
    const std::uint64_t row_size = row_bytes(Pack::type, cols), row_blocks = cols / info.block_elements;
    const unsigned unit_blocks = ring_super_block / info.block_elements;
    const std::uint64_t super_blocks = ring_shape(rows, cols).super_blocks;
    std::array<std::uint32_t, 1024> words{};
    Codes codes{};
    for (std::uint64_t t = first_tile; t < first_tile + tiles; t++)
        for (std::uint64_t s = 0; s < super_blocks; s++, packed += format.unit_bytes) {
            const unsigned blocks =
                static_cast<unsigned>(std::min<std::uint64_t>(unit_blocks, row_blocks - s * unit_blocks));
            const unsigned present =
                static_cast<unsigned>(std::min<std::uint64_t>(ring_tile_rows, rows - t * ring_tile_rows));
            std::uint8_t* header = packed + format.header_offset();
            if (present < ring_tile_rows) words.fill(0);
            if (present < ring_tile_rows || blocks < unit_blocks)
                std::memset(header, 0, format.unit_bytes - format.header_offset());
            for (unsigned r = 0; r < present; r++) {
                const std::uint8_t* row =
                    stored + (t * ring_tile_rows + r) * row_size + s * unit_blocks * info.block_bytes;
                Pack::decode(row, blocks, codes, header, RowPlace(r));
                place_codes<Pack::layout>(codes, words.data(), RowPlace(r));
            }
            std::memcpy(packed, words.data(), format.header_offset());
        }
}

} // namespace

void pack_ring(TensorType type, std::uint64_t rows, std::uint64_t cols, const std::byte* stored,
               std::uint64_t first_tile, std::uint64_t tiles, std::byte* packed) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(stored);
    auto* to = reinterpret_cast<std::uint8_t*>(packed);
    switch (type) {
    case TensorType::q4_1: return pack<PackQ41>(rows, cols, from, first_tile, tiles, to);
    case TensorType::q5_0: return pack<PackQ50>(rows, cols, from, first_tile, tiles, to);
    case TensorType::q8_0: return pack<PackQ80>(rows, cols, from, first_tile, tiles, to);
    case TensorType::q4_k: return pack<PackQ4K>(rows, cols, from, first_tile, tiles, to);
    case TensorType::q6_k: return pack<PackQ6K>(rows, cols, from, first_tile, tiles, to);
    default: return;
    }
}

} // namespace ptxgen::kernels
