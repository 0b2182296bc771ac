#pragma once

#include "kernels/common/memory.hpp"
#include "kernels/common/reduce.hpp"

#include <cstdint>

namespace ptxgen::kernels {

/// Index of a candidate that is none, behind all others.
inline constexpr std::uint32_t no_index = 0xffffffff;

/// The best candidate so far: the largest value, the lowest index of equals. A NaN is never taken.
struct Best {
    Var<f32> value;
    Var<u32> index;
};

/// −∞ with no_index.
Best no_best(KernelBuilder& k);

/// Takes the other candidate if it is better.
void take_better(KernelBuilder& k, Best& best, const Val<f32>& value, const Val<u32>& index);

/// Takes the largest of consecutive values from `first` on if it is larger; for indices beyond all taken so far.
void take_larger(KernelBuilder& k, Best& best, const Values& values, const Var<u32>& first);

/// Combines the candidates of a CTA's threads (a multiple of 32); all threads get the result. `values` and `indices`
/// have an element for each warp. One barrier.
void best_of_cta(KernelBuilder& k, Best& best, const Val<u32>& thread, std::uint32_t threads,
                 const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices,
                 const CtaBarrier& barrier = {});

} // namespace ptxgen::kernels
