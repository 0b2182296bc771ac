#include "kernels/common/reduce.hpp"

#include <bit>

namespace ptxgen::kernels {
Val<f32> cta_sum(KernelBuilder& k, const Val<f32>& value, const Val<u32>& thread, std::uint32_t threads,
                 const Val<shared_ptr<f32>>& scratch, const CtaBarrier& barrier) {
    const Val<f32> of_warp = lanes_sum(k, value);
    const std::uint32_t warps = threads / 32;
    if (warps == 1) return of_warp;
    const Val<u32> lane = thread & 31;
    k.predicated(lane == 0, [&] { k.st(scratch + (thread >> 5), of_warp); });
    barrier.emit(k);
    const std::uint32_t slots = std::bit_ceil(warps);
    const Val<u32> slot = lane & (slots - 1);
    auto part = k.var<f32>(0.f);
    const auto source = scratch + slot;
    k.predicated(slot < warps, [&] { part = k.ld(source); });
    return lanes_sum(k, part, 1, slots);
}

} // namespace ptxgen::kernels
