#pragma once

#include "kernels/generated.hpp"
#include "kernels/ring/segment.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ptxgen::kernels {

/// Where units come from.
enum class RingSource {
    automatic, ///< bulk where the target has it, else direct
    bulk,      ///< cp.async.bulk into a ring in shared memory, sm_90 and newer
    direct     ///< loads from global memory
};

/// y[t][r] = Σ_c W[r][c] · x[t][c] (+ bias[r]) (+ residual[t][r]): W packed in the ring format, x quantised to signed
/// bytes with a scale for each 32 (ring/activations.hpp) in the kernel, integer products, f32 sums. With a norm, x[t]
/// is replaced by x[t] / sqrt(mean of x[t]² + epsilon) · norm: x · norm is quantised, and the sums of rows are
/// multiplied by 1 / rms (ring/vector_records.hpp), as the persistent decoder does it, to the last bit.
///
/// Other matrices with as many columns may be multiplied by the same x in the same launch: their rows follow the first
/// one's, and all rows are shared out among the CTAs.
///
/// x: f32 [tokens][cols], 16-byte aligned. y, residual: f32 [tokens][rows]; residual may be y itself. norm: f32 [cols],
/// 16-byte aligned. bias: f32 [rows].
struct GemvRingMatrix {
    TensorType type = TensorType::q4_k;
    std::uint32_t rows = 1;
    bool bias = false;
};
struct GemvRingConfig {
    TensorType type = TensorType::q4_k;
    std::uint32_t rows = 1;
    std::uint32_t cols = 256;                ///< a multiple of the type's block
    std::optional<double> norm_epsilon = {}; ///< nothing: no norm
    bool bias = false;
    bool residual = false;
    std::uint32_t token_tile = 1; ///< 1 to 8 tokens share a pass over the weights
    std::uint32_t ctas = 132;     ///< CTAs that share the row tiles, as many as run at once
    RingSource source = RingSource::automatic;
    std::optional<RingDots> dots = {};       ///< nothing: mma where the target has it
    std::uint32_t stage_units = 4;           ///< units of a stage: 1, 2, 4, 8 or 16
    std::uint32_t stages = 0;                ///< 0: as many as fit
    std::uint32_t in_flight = 0;             ///< stages that may be on their way at once; 0: all
    std::uint32_t shared_bytes = 227 * 1024; ///< that a CTA may take, dynamic; at most what the target has
    std::vector<GemvRingMatrix> others = {}; ///< at most 7; `residual` is the first one's alone
};

/// The name it is registered by: "gemv_ring_q4_k".
std::string gemv_ring_name(TensorType type);

/// Parameters in order: weights, x, y, [norm], [bias], [residual], for each other matrix i (from 2) weights{i}, y{i},
/// [bias{i}], then tokens (u32).
Result<Generated> gemv_ring(const GemvRingConfig& config, std::optional<Target> target = std::nullopt,
                            std::optional<PtxVersion> version = std::nullopt);

/// CTAs for `tokens` tokens, each of ring_threads threads (512 without bulk copies).
Grid gemv_ring_grid(const GemvRingConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
