#pragma once

#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"

namespace ptxgen::kernels {

/// out[t][i] = act(gate[t][i]) · up[t][i], all f32 [tokens][width].
struct GatedConfig {
    std::uint32_t width = 1536; ///< from 1
};

/// silu(x) = x / (1 + e^-x); −0 for large negative x.
Val<f32> emit_silu(KernelBuilder& k, const Val<f32>& x);
/// GELU's tanh form, x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), which is x / (1 + e^(−2 √(2/π) (x + 0.044715 x³))).
Val<f32> emit_gelu(KernelBuilder& k, const Val<f32>& x);
Val<f32> emit_activation(KernelBuilder& k, Activation activation, const Val<f32>& x);

/// Kernels swiglu(gate, up, out, tokens) and geglu(gate, up, out, tokens): silu and gelu. `out` may be `gate` or `up`.
Result<Generated> swiglu(const GatedConfig& config, std::optional<Target> target = {},
                         std::optional<PtxVersion> version = {});
Result<Generated> geglu(const GatedConfig& config, std::optional<Target> target = {},
                        std::optional<PtxVersion> version = {});
Grid gated_grid(const GatedConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
