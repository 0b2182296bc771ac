#pragma once

#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/scheduled.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace ptxgen::kernels {

/// y[t][r] = Σ_c W[r][c] · x[t][c] (· scale[t]) (+ bias[r]) (+ residual[t][r]), accumulated in f32.
///
/// W: `rows` rows of `cols` weights as GGUF stores them, from a 32-byte aligned address. x: f32 [tokens][cols], 16-byte
/// aligned. y, residual: f32 [tokens][rows]; residual may be y itself. bias: f32 [rows]. scale: f32 [tokens].
///
/// A row is worked on by `lanes_per_row` lanes of a warp, each of which has `rows_per_lane` consecutive rows in hand at
/// once, so that these share the loads of x; `token_tile` tokens share one pass over the weights.
struct GemvConfig {
    TensorType type = TensorType::f32;
    std::uint32_t rows = 1;
    std::uint32_t cols = 32; ///< a multiple of the type's block_elements
    bool bias = false;
    bool residual = false;
    std::uint32_t token_tile = 1;    ///< 1, 2, 4 or 8
    std::uint32_t lanes_per_row = 0; ///< 1, 2, 4 … 32, at least the units of a block; 0: chosen to leave few lanes idle
    std::uint32_t rows_per_lane = 0; ///< 1 to 8; 0: 4, or fewer if there are fewer rows
    std::uint32_t warps_per_cta = 4; ///< 1 to 16
    bool scale = false;
};

/// The name it is registered by: "gemv_q4_k".
std::string gemv_name(TensorType type);

/// The same with the fields that are 0 filled in. The error says which field is out of range.
Result<GemvConfig> completed(const GemvConfig& config);

/// The shape for kernels that share rows out by tiles of 16, of which a warp's rows are a part; for one token. Shapes
/// decide in which order a row's products are added: engines that are to round alike take the same one.
Result<GemvConfig> shared_out_by_tiles(GemvConfig config);

/// A shape for many warps at once, as a GPU of that many multiprocessors wants it, instead of the few instructions that
/// the default shape is made for.
GemvConfig spread(GemvConfig config, std::uint32_t multiprocessors);

/// Parameters in order: weights, x, y, [scale], [bias], [residual], tokens (u32).
Result<Generated> gemv(const GemvConfig& config, std::optional<Target> target = std::nullopt,
                       std::optional<PtxVersion> version = std::nullopt);

/// The same to be scheduled: a tile is what a CTA of the plain form computes.
Result<TileKernel> gemv_tile(const GemvConfig& config);

/// CTAs for `tokens` tokens, each of 32 · warps_per_cta threads. `config` must be complete.
Grid gemv_grid(const GemvConfig& config, std::uint32_t tokens);

/// What the fragment reads and writes; x and y lie in global or in shared memory, both.
template <pointer_type X, pointer_type Y>
struct GemvOperands {
    Val<global_ptr<const u8>> weights;
    Val<X> x;
    Val<Y> y;
    std::optional<Val<global_ptr<const f32>>> bias;
    std::optional<Val<global_ptr<const f32>>> residual;
    Val<u32> tokens;
    std::optional<Val<global_ptr<const f32>>> scale = {};
};

/// The computation by one warp: tile `row_tile` (gemv_rows_per_warp() rows) for the token_tile tokens from
/// `first_token` < tokens on. Tiles beyond the last row do nothing. All lanes of the warp must be there. `config` must
/// be complete.
template <pointer_type X, pointer_type Y>
void emit_gemv(KernelBuilder& k, const GemvConfig& config, const GemvOperands<X, Y>& operands, const Val<u32>& row_tile,
               const Val<u32>& first_token);

inline std::uint32_t gemv_rows_per_warp(const GemvConfig& config) {
    return 32 / config.lanes_per_row * config.rows_per_lane;
}

} // namespace ptxgen::kernels
