#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>

namespace ptxgen::kernels {

/// `value` of all lanes whose numbers differ in the bits [low, high), combined: in every lane, and the same bits in all
/// of them. `low` and `high` are powers of two; all 32 lanes of the warp take part.
template <typed_value A, class Combine>
Val<value_t<A>> lanes_reduce(KernelBuilder& k, const A& value, std::uint32_t low, std::uint32_t high, Combine combine) {
    if (high <= low) return value;
    return lanes_reduce(k, combine(value, k.shfl_sync_bfly(value, high / 2, 31, 0xffffffffu)), low, high / 2, combine);
}
template <typed_value A>
Val<f32> lanes_sum(KernelBuilder& k, const A& value, std::uint32_t low = 1, std::uint32_t high = 32) {
    return lanes_reduce(k, value, low, high, [](const auto& a, const auto& b) { return a + b; });
}
template <typed_value A>
Val<f32> lanes_max(KernelBuilder& k, const A& value, std::uint32_t low = 1, std::uint32_t high = 32) {
    return lanes_reduce(k, value, low, high, [&k](const auto& a, const auto& b) { return k.max(a, b); });
}

/// A barrier of a CTA's threads: all of them, or the first `threads` that use the number `id` for it.
struct CtaBarrier {
    std::uint32_t id = 0;
    std::uint32_t threads = 0; ///< 0: all

    void emit(KernelBuilder& k) const {
        if (threads == 0)
            k.bar_sync(id);
        else
            k.bar_sync(id, threads);
    }
};

/// Sum over a CTA of `threads` (a multiple of 32) in every thread. `thread` is the index in the CTA; `scratch` has one
/// element for each warp and may be used again after the next barrier.
Val<f32> cta_sum(KernelBuilder& k, const Val<f32>& value, const Val<u32>& thread, std::uint32_t threads,
                 const Val<shared_ptr<f32>>& scratch, const CtaBarrier& barrier = {});

} // namespace ptxgen::kernels
