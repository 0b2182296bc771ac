#pragma once

#include "kernels/generated.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

/// Activations rounded to eight bits and back, as the ring's products see them (kernels/ring/activations.hpp): for
/// products of weights that have no ring format. out[t][c] = d · round(x[t][c] / d), d = max|x| / 127 over each 32
/// columns (the last ones may be fewer).
struct RoundConfig {
    std::uint32_t width = 576;       ///< from 1
    std::uint32_t warps_per_cta = 4; ///< 1 to 32
};

/// Kernel round_q8(x, out): both f32 [tokens][width], 16-byte aligned; out may be x.
Result<Generated> round_q8(const RoundConfig& config, std::optional<Target> target = std::nullopt,
                           std::optional<PtxVersion> version = std::nullopt);

/// CTAs for `tokens` tokens, each of 32 · warps_per_cta threads.
Grid round_q8_grid(const RoundConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
