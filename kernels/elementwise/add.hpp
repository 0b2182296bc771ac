#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// x[t][i] += y[t][i], both f32 [tokens][width]: the residual connection.
struct AddConfig {
    std::uint32_t width = 576; ///< from 1
};

/// Kernel add(x, y, tokens).
Result<Generated> add(const AddConfig& config, std::optional<Target> target = {},
                      std::optional<PtxVersion> version = {});
Grid add_grid(const AddConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
