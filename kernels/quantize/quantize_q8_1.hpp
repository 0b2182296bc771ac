#pragma once

#include "kernels/generated.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

/// Activations as Q8_1 blocks: for 32 values x, f16 d = max|x| / 127, f16 s = d · Σq, and q = round(x / d) as signed
/// bytes, halves away from zero, as ggml's CPU code computes them (quantize_row_q8_1_ref). Blocks whose d is no normal
/// f32 are zero.
struct QuantizeConfig {
    std::uint32_t width = 32;        ///< values of a token, a multiple of 32
    std::uint32_t warps_per_cta = 4; ///< 1 to 32
};

/// Parameters in order: x (f32 [tokens][width], 16-byte aligned), out (blocks [tokens][width / 32], 4-byte aligned),
/// tokens (u32). tokens · width is at most 2^32.
Result<Generated> quantize_q8_1(const QuantizeConfig& config, std::optional<Target> target = std::nullopt,
                                std::optional<PtxVersion> version = std::nullopt);

/// CTAs for `tokens` tokens, each of 32 · warps_per_cta threads.
Grid quantize_q8_1_grid(const QuantizeConfig& config, std::uint32_t tokens);

/// Eight consecutive lanes quantise the block `block` of x into that of `out`, each the values 4 · part to
/// 4 · part + 3, part < 8. All lanes of the warp must be there; only where `valid` holds something is stored.
void emit_quantize_q8_1(KernelBuilder& k, const Val<global_ptr<const f32>>& x, const Val<global_ptr<u8>>& out,
                        const Val<u32>& block, const Val<u32>& part, const Pred& valid);

} // namespace ptxgen::kernels
