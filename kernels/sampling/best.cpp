#include "kernels/sampling/best.hpp"

#include <bit>
#include <limits>

namespace ptxgen::kernels {
namespace {

void best_of_lanes(KernelBuilder& k, Best& best, std::uint32_t lanes) {
    for (std::uint32_t offset = lanes / 2; offset > 0; offset /= 2) {
        const auto value = k.shfl_sync_bfly(best.value, offset, 31, 0xffffffffu);
        const auto index = k.shfl_sync_bfly(best.index, offset, 31, 0xffffffffu);
        take_better(k, best, value, index);
    }
}

} // namespace

Best no_best(KernelBuilder& k) {
    auto value = k.var<f32>(-std::numeric_limits<float>::infinity());
    auto index = k.var<u32>(no_index);
    return {std::move(value), std::move(index)};
}

void take_better(KernelBuilder& k, Best& best, const Val<f32>& value, const Val<u32>& index) {
    const Pred larger = value > best.value;
    const Pred equal = value == best.value;
    const Pred earlier = index < best.index;
    const Pred tie = equal & earlier;
    const Pred better = larger | tie;
    best.value = k.selp(value, best.value, better);
    best.index = k.selp(index, best.index, better);
}

void take_larger(KernelBuilder& k, Best& best, const Values& values, const Var<u32>& first) {
    for (std::uint32_t e = 0; e < values.size(); e++) {
        // Indices grow, so only a larger value is better; a comparison with a NaN is false.
        const Pred better = values[e] > best.value;
        best.value = k.selp(values[e], best.value, better);
        best.index = k.selp(first + e, best.index, better);
    }
}

void best_of_cta(KernelBuilder& k, Best& best, const Val<u32>& thread, std::uint32_t threads,
                 const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices, const CtaBarrier& barrier) {
    best_of_lanes(k, best, 32);
    const std::uint32_t warps = threads / 32;
    if (warps == 1) return;
    const Val<u32> lane = thread & 31;
    const Val<u32> warp = thread >> 5;
    k.if_(lane == 0, [&] {
        k.st(values + warp, best.value);
        k.st(indices + warp, best.index);
    });
    barrier.emit(k);
    const std::uint32_t slots = std::bit_ceil(warps);
    const Val<u32> slot = k.min(lane & (slots - 1), k.imm<u32>(warps - 1));
    best.value = k.ld(values + slot);
    best.index = k.ld(indices + slot);
    best_of_lanes(k, best, slots);
}

} // namespace ptxgen::kernels
