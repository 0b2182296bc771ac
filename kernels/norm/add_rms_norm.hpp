#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// x[t][i] += y[t][i] / sqrt(mean over i of y[t][i]² + epsilon) · weight[i], all f32, x and y [tokens][width]: a
/// block's normed result joins the residual stream, with the bits that it has in the persistent decoder
/// (ring/vector_records.hpp).
struct AddRmsNormConfig {
    std::uint32_t width = 640; ///< a multiple of 32
    double epsilon = 1e-6;     ///< from 0
};

/// Kernel add_rms_norm(x, y, weight, tokens): one CTA for each token.
Result<Generated> add_rms_norm(const AddRmsNormConfig& config, std::optional<Target> target = {},
                               std::optional<PtxVersion> version = {});
Grid add_rms_norm_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
