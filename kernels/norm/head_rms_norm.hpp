#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// The RMS norm of each head by itself: rows of head_dim elements in f32 [tokens][heads][head_dim], one weight vector
/// f32 [head_dim] for all heads.
struct HeadRmsNormConfig {
    std::uint32_t heads = 16;     ///< from 1
    std::uint32_t head_dim = 128; ///< from 1
    double epsilon = 1e-6;        ///< from 0
};

/// Lanes (a power of two up to 32) that share a row.
std::uint32_t head_rms_norm_lanes(const HeadRmsNormConfig& config);

/// One row by head_rms_norm_lanes() neighbouring lanes; `lane` counts within them. All lanes of the warp take part,
/// those without `has_row` neither load nor store. `x` and `out` point to the row, in global or shared memory, and may
/// be the same.
template <pointer_type From, pointer_type Weight, pointer_type To>
void emit_head_rms_norm(KernelBuilder& k, const HeadRmsNormConfig& config, const Val<From>& x,
                        const Val<Weight>& weight, const Val<To>& out, const Val<u32>& lane, const Pred& has_row);

/// Kernel head_rms_norm(x, weight, out, tokens). `out` may be `x`.
Result<Generated> head_rms_norm(const HeadRmsNormConfig& config, std::optional<Target> target = {},
                                std::optional<PtxVersion> version = {});
Grid head_rms_norm_grid(const HeadRmsNormConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
