#pragma once

#include "kernels/generated.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

/// What products of weights that have no ring format take of a normed vector, with the bits that it has in the
/// persistent decoder (kernels/ring/vector_records.hpp): x · norm rounded to eight bits and back as round_q8 does it,
/// and the factor of the product's rows, 1 / sqrt(mean of x² + epsilon).
struct NormRoundConfig {
    std::uint32_t width = 576; ///< a multiple of 32
    double epsilon = 1e-5;     ///< from 0
};

/// Kernel norm_round_q8(x, norm, out, scale, tokens): x, out f32 [tokens][width] and norm f32 [width], 16-byte aligned;
/// scale f32 [tokens]. One CTA for each token.
Result<Generated> norm_round_q8(const NormRoundConfig& config, std::optional<Target> target = std::nullopt,
                                std::optional<PtxVersion> version = std::nullopt);
Grid norm_round_q8_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
