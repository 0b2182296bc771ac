#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// ids[t] = index of the largest of logits[t][0 … vocab), the lowest one of equals. A NaN counts as −∞; 0 if nothing is
/// larger than −∞.
struct ArgmaxConfig {
    std::uint32_t vocab = 49152;  ///< from 1
    std::uint32_t threads = 1024; ///< of a CTA, a multiple of 32
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
