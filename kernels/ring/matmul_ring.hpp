#pragma once

#include "kernels/generated.hpp"
#include "kernels/ring/columns.hpp"
#include "kernels/ring/format.hpp"

#include <optional>
#include <string>

namespace ptxgen::kernels {

/// Y[t][r] = Σ_c W[r][c] · X[t][c] (+ bias[r]) (+ residual[t][r]) for many tokens t: W packed in the ring format, X as
/// column blocks (columns.hpp), integer products by mma with the tokens as the columns of B, f32 sums. What gemv_ring
/// computes, but for the order of the sums; sm_80 and newer.
///
/// y, residual: f32 [tokens][rows]; residual may be y itself. bias: f32 [rows].
///
/// A CTA computes 16 · row_tiles · warps rows of token_tile tokens: every warp row_tiles row tiles, whose units it
/// loads from global memory one super-block ahead; the CTA's column blocks pass through shared memory.
struct MatmulRingConfig {
    TensorType type = TensorType::q4_k;
    std::uint32_t rows = 1;
    std::uint32_t cols = 256; ///< a multiple of the type's block
    bool bias = false;
    bool residual = false;
    std::uint32_t token_tile = 64; ///< 8 to 64, a multiple of 8
    std::uint32_t row_tiles = 1;   ///< of a warp, 1 or 2; more than 1 is faster where the registers suffice
    std::uint32_t warps = 8;       ///< 1 to 8
};

/// The name it is registered by: "matmul_ring_q4_k".
std::string matmul_ring_name(TensorType type);

/// The same with row_tiles and warps for a device of that many multiprocessors and this many tokens: the shape whose
/// CTAs are done soonest.
MatmulRingConfig spread(MatmulRingConfig config, std::uint32_t tokens, std::uint32_t multiprocessors, Target target);

/// Parameters in order: weights, columns, y, [bias], [residual], tokens (u32).
Result<Generated> matmul_ring(const MatmulRingConfig& config, std::optional<Target> target = std::nullopt,
                              std::optional<PtxVersion> version = std::nullopt);

Grid matmul_ring_grid(const MatmulRingConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
