#pragma once

#include "kernels/ring/format.hpp"
#include "ptxgen/ptxgen.hpp"

#include <array>

/// Activations as the ring's products take them: signed bytes with one scale for each 32, d = max|x| / 127, rounded to
/// the nearest, halves to even.
///
/// A record holds 256 of them, in shared memory:
///   [0, 256)    32-block b at 32 b; its word 2i is columns 4i … 4i + 3, word 2i + 1 is columns 16 + 4i …, i < 4
///   [256, 320)  for each i < 4: f32 d of blocks 2i and 2i + 1, then d · Σ bytes of these blocks
/// A vector of K columns is ceil(K / 256) records; blocks beyond K are zero.
namespace ptxgen::kernels {

inline constexpr std::uint32_t ring_record_bytes = 320;
constexpr std::uint32_t ring_activation_bytes(std::uint64_t cols) {
    return static_cast<std::uint32_t>((cols + ring_super_block - 1) / ring_super_block) * ring_record_bytes;
}

/// What a lane contributes to a record: lane (g = lane / 4, q = lane % 4) columns 32g + 4q + {0, 1, 2, 3} and
/// 32g + 16 + 4q + {0, 1, 2, 3} of the 256.
using RingLaneValues = std::array<Val<f32>, 8>;

/// How the values of a block of 32 are rounded.
struct BlockScale {
    Val<f32> scale;   ///< d
    Val<f32> inverse; ///< what values are multiplied by: 127 / max|x|, or 0
};
/// `largest`: the largest of the values' bits without their signs.
BlockScale emit_block_scale(KernelBuilder& k, const Val<u32>& largest);
/// The value's signed byte, in the low byte of the word.
Val<u32> emit_rounded(KernelBuilder& k, const Val<f32>& value, const BlockScale& scale);

/// What becomes of a lane's values: the bytes of its eight columns, and of their block of 32, the same in its four
/// lanes, d and d · Σ bytes.
struct RingQuantized {
    Val<u32> low, high;
    Val<f32> scale, scaled_sum;
};
/// All 32 lanes take part; lanes whose columns do not exist give zeros. Infinities and NaNs make the block's scale
/// infinite or NaN. The bytes and scales are the same on every device.
RingQuantized emit_quantize(KernelBuilder& k, const RingLaneValues& values);

/// A warp quantises 256 values into the record at `record` (16-byte aligned), as emit_quantize() does. Others read it
/// after a barrier.
void emit_quantize_record(KernelBuilder& k, const RingLaneValues& values, const Val<shared_ptr<u8>>& record,
                          const Val<u32>& lane);

/// Loads a lane's values of super-block `super_block` < ceil(cols / 256) of the f32 vector x (16-byte aligned, cols a
/// multiple of 32); zeros beyond cols. From global or shared memory.
RingLaneValues emit_record_values(KernelBuilder& k, const Val<global_ptr<const f32>>& x, std::uint32_t cols,
                                  const Val<u32>& super_block, const Val<u32>& lane);
RingLaneValues emit_record_values(KernelBuilder& k, const Val<shared_ptr<f32>>& x, std::uint32_t cols,
                                  const Val<u32>& super_block, const Val<u32>& lane);

} // namespace ptxgen::kernels
