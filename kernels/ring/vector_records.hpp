#pragma once

#include "kernels/common/memory.hpp"
#include "kernels/common/reduce.hpp"
#include "kernels/ring/activations.hpp"

#include <functional>

/// A vector on its way into records, by the 16 consumer warps of a CTA: warp w has the super-blocks w, w + 16, …, a
/// lane eight elements of each. Here is what stands between the vector and emit_quantize_record(): residual sums and
/// RMS norms. Every kernel that takes them from here adds the same numbers in the same order, so that vectors that are
/// equal bit for bit give records and products that are.
///
/// A norm's 1 / rms is known only behind the whole vector, and a factor of all elements changes nothing of how they are
/// rounded relative to their block's largest: x · weight is quantised, and the rows of the product are multiplied by
/// emit_inverse_rms().
namespace ptxgen::kernels {

/// A consumer thread's place.
struct VectorLane {
    Val<u32> warp, lane, group, quad; ///< group = lane / 4, quad = lane % 4
};

/// A lane's eight elements of a super-block, in the order of RingLaneValues.
using LaneVector = Accumulators;
inline LaneVector zero_lane_vector(KernelBuilder& k) { return accumulators(k, 8, 0); }
inline RingLaneValues values_of(const LaneVector& v) { return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}; }

/// What is done with a super-block: its number, the lane's first column, and whether the lane has columns at all.
using SuperBlockBody = std::function<void(const Val<u32>& super_block, const Val<u32>& column, const Pred& has)>;

/// Emits `body` for each super-block of this warp, one after the other, of a vector of `cols` columns (a multiple of
/// 32): as many times as a warp has super-blocks at most. All lanes of the warp take part.
void emit_each_super_block(KernelBuilder& k, const VectorLane& lane, std::uint32_t cols, const SuperBlockBody& body);

/// The same in a loop of the kernel, `body` emitted once.
void emit_loop_over_super_blocks(KernelBuilder& k, const VectorLane& lane, std::uint32_t cols,
                                 const SuperBlockBody& body);

/// Loads the elements at `from` and 16 behind it, four of each; leaves `values` alone where the lane has none.
template <pointer_type P>
void emit_load_lane_vector(KernelBuilder& k, LaneVector& values, const Val<P>& from, const Pred& has) {
    k.predicated(has, [&] {
        for (std::uint32_t half = 0; half < 2; half++) {
            auto four = k.ld(from + 16 * half, v4);
            for (std::uint32_t i = 0; i < 4; i++) values[4 * half + i] = std::move(four[i]);
        }
    });
}

/// sum += Σ v² of the lane's block of 32, in the block's four lanes alike. A block is summed as a tree over bits 0, 1,
/// 4, 2, 3 of the column. All lanes of the warp take part.
void emit_add_squares(KernelBuilder& k, const LaneVector& values, Var<f32>& sum);

/// norm = norm · x: what becomes a record.
void emit_weigh(KernelBuilder& k, LaneVector& norm, const LaneVector& x);

/// The warp's sum of squares to word `warp` of `squares`, f32 [16], aligned to 16; consumers read it behind a barrier.
void emit_store_squares(KernelBuilder& k, const VectorLane& lane, const Var<f32>& sum,
                        const Val<shared_ptr<f32>>& squares);

/// 1 / sqrt(mean of the squares + epsilon) of a vector of `width` elements, from there.
Val<f32> emit_inverse_rms(KernelBuilder& k, const Val<shared_ptr<f32>>& squares, std::uint32_t width, double epsilon);

/// The same, to the last bit a quotient, for the norm of a block's result: in every consumer thread, from each one's
/// sum of squares. One barrier of the consumers (`thread` counts them); `scratch` is f32 [16].
Val<f32> emit_post_scale(KernelBuilder& k, const Var<f32>& sum, const Val<u32>& thread,
                         const Val<shared_ptr<f32>>& scratch, const CtaBarrier& consumers, std::uint32_t width,
                         double epsilon);

/// y · scale · weight: what is added to the residual stream. `to` may be `weight`.
void emit_post_norm(KernelBuilder& k, LaneVector& to, const LaneVector& y, const Val<f32>& scale,
                    const LaneVector& weight);

/// x = x at `at` + x, kept there and in registers.
template <pointer_type P>
void emit_add_residual(KernelBuilder& k, LaneVector& x, const Val<P>& at, const Pred& has) {
    // Not registers that only some lanes assign: to the assembler those are in use from the kernel's start.
    LaneVector before = zero_lane_vector(k);
    emit_load_lane_vector(k, before, at, has);
    for (std::size_t i = 0; i < x.size(); i++) x[i] = before[i] + x[i];
    k.predicated(has, [&] {
        for (std::uint32_t half = 0; half < 2; half++) {
            const auto value = [&](std::uint32_t i) { return Val<f32>(k.state(), x[4 * half + i].operand()); };
            k.st(at + 16 * half, std::array{value(0), value(1), value(2), value(3)}, v4);
        }
    });
}

/// What a lane gave to the record at `record`, as f32 again: to `to` and 16 elements behind it. The warp must have met
/// since the record was written. For products of types without a ring format.
template <pointer_type P>
void emit_dequantize_record(KernelBuilder& k, const VectorLane& lane, const Val<shared_ptr<u8>>& record,
                            const Val<P>& to, const Pred& has) {
    const auto bytes = k.ld((record + k.mad_lo(lane.group, 32U, lane.quad * 8U)).as<shared_ptr<u32>>(), v2);
    const auto pair = lane.group >> 1U;
    const auto in_pair = (lane.group & 1U) * 4U;
    const auto scale_at = (record + k.mad_lo(pair, 16U, in_pair) + ring_super_block).as<shared_ptr<f32>>();
    const auto scale = k.ld(scale_at);
    for (std::uint32_t half = 0; half < 2; half++) {
        Values four;
        for (std::uint32_t i = 0; i < 4; i++) {
            const auto byte = k.bfe(bytes[half].template as<s32>(), 8 * i, 8U);
            const auto number = k.cvt<f32>(byte, rn);
            four.push_back(number * scale);
        }
        k.predicated(has, [&] { store(k, to + 16 * half, four); });
    }
}

} // namespace ptxgen::kernels
