#pragma once

#include "kernels/ring/pipeline.hpp"

/// A segment: row tiles [a, b) of one packed matrix times the activations in shared memory, by the 16 consumer warps of
/// a CTA.
///
/// Warp w takes the units u ≡ w (mod 16) of the segment. For each tile it has units of, it leaves one partial sum a
/// row, in the slot of the first super-block that it has there (< 16): partials[token][tile][row][slot]. The slots are
/// summed in their order, so results do not depend on timing.
namespace ptxgen::kernels {

struct RingSegment {
    RingProduct* product = nullptr;
    std::uint32_t super_blocks = 1; ///< of a row
    std::uint32_t tokens = 1;       ///< that share the units: 1 … 8
    std::uint32_t max_tiles = 1;    ///< that the partial sums have room for

    std::uint32_t slots() const { return super_blocks < ring_warps ? super_blocks : ring_warps; }
    std::uint32_t row_floats() const { return slots() | 1U; } ///< odd, against bank conflicts
    std::uint32_t tile_bytes() const { return 4 * ring_tile_rows * row_floats(); }
    std::uint32_t token_partial_bytes() const { return max_tiles * tile_bytes(); }
    std::uint32_t partial_bytes() const { return tokens * token_partial_bytes(); }
    /// Whether a warp has several units of a tile. Then, with several tokens, its sums stand in shared memory
    /// meanwhile.
    bool gathers() const { return super_blocks > ring_warps; }
    std::uint32_t sum_bytes() const { return tokens > 1 && gathers() ? ring_warps * tokens * 256 : 0; }
    std::uint32_t token_record_bytes() const { return super_blocks * ring_record_bytes; }
    std::uint32_t record_bytes() const { return tokens * token_record_bytes(); }
    /// Tiles whose units fill whole rounds: a segment that is consumed in passes of a multiple of it is streamed as
    /// one.
    std::uint32_t pass_granularity() const;
};

/// Where a segment's vectors stand in shared memory.
struct RingBuffers {
    Val<shared_ptr<u8>> records;   ///< the tokens' activations, token_record_bytes() apart; aligned to 16
    Val<shared_ptr<f32>> partials; ///< partial_bytes()
    Val<shared_ptr<f32>> sums;     ///< sum_bytes(), aligned to 8
};

/// Consumes `tiles` <= max_tiles tiles from the ring, by the calling warp: all 16 consumer warps call it. No barrier:
/// before the rows are summed the consumers must meet, and again before the partial sums are overwritten.
void emit_ring_segment(KernelBuilder& k, const RingSegment& segment, RingConsumer& consumer, const RingBuffers& buffers,
                       const Val<u32>& tiles);

/// The same without a ring: warps load their units from global memory, `units` being the segment's first one.
void emit_direct_segment(KernelBuilder& k, const RingSegment& segment, const Val<global_ptr<const u8>>& units,
                         const Val<u32>& warp, const RingBuffers& buffers, const Val<u32>& tiles);

/// The product of row `row` (16 · tile + row of the tile) with token `token`'s activations.
Val<f32> emit_ring_row(KernelBuilder& k, const RingSegment& segment, const Val<shared_ptr<f32>>& partials,
                       const Val<u32>& row, std::uint32_t token = 0);

} // namespace ptxgen::kernels
