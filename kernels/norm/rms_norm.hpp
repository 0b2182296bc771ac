#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// out[t][i] = x[t][i] / sqrt(mean over i of x[t][i]² + epsilon) · weight[i], all f32, x and out [tokens][width].
struct RmsNormConfig {
    std::uint32_t width = 576; ///< from 1
    double epsilon = 1e-5;     ///< from 0
};

/// Threads of a CTA that the fragment is written for.
std::uint32_t rms_norm_threads(const RmsNormConfig& config);

/// One row by the threads of a CTA; `x`, `out` point to the row and may be the same, `weight` to its first element.
/// `thread` counts from 0 to rms_norm_threads(); `scratch` has an element for each warp. One barrier.
void emit_rms_norm(KernelBuilder& k, const RmsNormConfig& config, const Val<global_ptr<const f32>>& x,
                   const Val<global_ptr<const f32>>& weight, const Val<global_ptr<f32>>& out, const Val<u32>& thread,
                   const Val<shared_ptr<f32>>& scratch);

/// Kernel rms_norm(x, weight, out, tokens): one CTA for each token. `out` may be `x`.
Result<Generated> rms_norm(const RmsNormConfig& config, std::optional<Target> target = {},
                           std::optional<PtxVersion> version = {});
Grid rms_norm_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
