#include "kernels/ring/vector_records.hpp"

#include "kernels/generated.hpp"
#include "kernels/ring/segment.hpp"

namespace ptxgen::kernels {
namespace {

void emit_super_block(KernelBuilder& k, const VectorLane& lane, std::uint32_t cols, const Val<u32>& super_block,
                      const SuperBlockBody& body) {
    const auto block = k.mad_lo(super_block, 8U, lane.group);
    const auto within = lane.quad * 4U;
    const auto column = k.mad_lo(block, 32U, within);
    const auto has = block < cols / 32;
    body(super_block, column, has);
}

} // namespace

void emit_each_super_block(KernelBuilder& k, const VectorLane& lane, std::uint32_t cols, const SuperBlockBody& body) {
    const std::uint32_t super_blocks = ceil_div(cols, ring_super_block);
    for (std::uint32_t first = 0; first < super_blocks; first += ring_warps) {
        const auto one = [&] {
            const auto super_block = lane.warp + first;
            emit_super_block(k, lane, cols, super_block, body);
        };
        if (super_blocks - first >= ring_warps)
            one();
        else
            k.if_(lane.warp < super_blocks - first, one);
    }
}

void emit_loop_over_super_blocks(KernelBuilder& k, const VectorLane& lane, std::uint32_t cols,
                                 const SuperBlockBody& body) {
    k.for_<u32>(lane.warp, ceil_div(cols, ring_super_block), ring_warps, [&](Var<u32>& super_block) {
        emit_super_block(k, lane, cols, Val<u32>(k.state(), super_block.operand()), body);
    });
}

namespace {

/// value + that of the lane at each distance, one after the other.
Val<f32> lanes_combined(KernelBuilder& k, const Val<f32>& value, std::initializer_list<std::uint32_t> distances) {
    auto sum = k.var<f32>(value);
    for (const std::uint32_t distance : distances) {
        const auto other = k.shfl_sync_bfly(sum, distance, 31U, 0xffffffffU);
        sum = sum + other;
    }
    return Val<f32>(sum);
}

} // namespace

void emit_add_squares(KernelBuilder& k, const LaneVector& values, Var<f32>& sum) {
    std::vector<Val<f32>> terms;
    for (const auto& value : values) terms.push_back(value * value);
    while (terms.size() > 1) {
        std::vector<Val<f32>> pairs;
        for (std::size_t i = 0; i < terms.size(); i += 2) pairs.push_back(terms[i] + terms[i + 1]);
        terms.swap(pairs);
    }
    const auto of_block = lanes_combined(k, terms[0], {1U, 2U});
    sum += of_block;
}

void emit_weigh(KernelBuilder&, LaneVector& norm, const LaneVector& x) {
    for (std::size_t i = 0; i < norm.size(); i++) norm[i] = norm[i] * x[i];
}

void emit_store_squares(KernelBuilder& k, const VectorLane& lane, const Var<f32>& sum,
                        const Val<shared_ptr<f32>>& squares) {
    const auto of_warp = lanes_sum(k, sum, 4, 32); // a block's lanes have the same
    const auto target = squares + lane.warp;
    k.predicated(lane.lane == 0, [&] { k.st(target, of_warp); });
}

Val<f32> emit_inverse_rms(KernelBuilder& k, const Val<shared_ptr<f32>>& squares, std::uint32_t width, double epsilon) {
    auto sum = k.var<f32>(0.f);
    for (std::uint32_t w = 0; w < ring_warps; w += 4)
        for (const auto& part : k.ld(squares + w, v4)) sum += part;
    const auto mean = k.fma(sum, k.imm<f32>(1.0 / width), k.imm<f32>(epsilon));
    return k.rsqrt(mean, approx);
}

Val<f32> emit_post_scale(KernelBuilder& k, const Var<f32>& sum, const Val<u32>& thread,
                         const Val<shared_ptr<f32>>& scratch, const CtaBarrier& consumers, std::uint32_t width,
                         double epsilon) {
    const auto total = cta_sum(k, sum, thread, 32 * ring_warps, scratch, consumers);
    const auto mean = k.fma(total, k.imm<f32>(0.25 / width), k.imm<f32>(epsilon)); // each block counts four times
    const auto root = k.sqrt(mean, rn);
    return k.div(k.imm<f32>(1.f), root);
}

void emit_post_norm(KernelBuilder&, LaneVector& to, const LaneVector& y, const Val<f32>& scale,
                    const LaneVector& weight) {
    for (std::size_t i = 0; i < to.size(); i++) {
        const auto scaled = y[i] * scale;
        to[i] = scaled * weight[i];
    }
}

} // namespace ptxgen::kernels
