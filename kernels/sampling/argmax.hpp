#pragma once

#include "kernels/common/reduce.hpp"
#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// ids[t] = index of the largest of logits[t][0 … vocab), the lowest one of equals. A NaN counts as −∞; 0 if nothing is
/// larger than −∞.
struct ArgmaxConfig {
    std::uint32_t vocab = 49152;  ///< from 1
    std::uint32_t threads = 1024; ///< of a CTA, a multiple of 32
};

/// The largest of some logits and its index, the lowest one of equals; a NaN never wins.
struct BestLogit {
    Var<f32> value;
    Var<u32> index;

    /// Of none.
    explicit BestLogit(KernelBuilder& k);
    /// Takes another candidate if it is better.
    void take(KernelBuilder& k, const Val<f32>& other, const Val<u32>& other_index);
    /// The best of each `lanes` neighbouring lanes, in all of them.
    void reduce_lanes(KernelBuilder& k, std::uint32_t lanes);
    /// The best of a CTA's threads, in all of them; `values` and `indices` have an element for each warp. One barrier.
    void reduce_cta(KernelBuilder& k, const Val<u32>& thread, std::uint32_t threads, const Val<shared_ptr<f32>>& values,
                    const Val<shared_ptr<u32>>& indices, const CtaBarrier& barrier = {});
    /// The index, 0 if nothing was larger than −∞.
    Val<u32> id(KernelBuilder& k) const;
};

/// One row by the threads of a CTA; all threads get the id. `values` and `indices` have an element for each warp. One
/// barrier.
Val<u32> emit_argmax(KernelBuilder& k, const ArgmaxConfig& config, const Val<global_ptr<const f32>>& logits,
                     const Val<u32>& thread, const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices);

/// Kernel argmax(logits, ids, tokens): one CTA for each token; logits f32 [tokens][vocab], ids u32 [tokens].
Result<Generated> argmax(const ArgmaxConfig& config, std::optional<Target> target = {},
                         std::optional<PtxVersion> version = {});
Grid argmax_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
