#pragma once

#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// Greedy sampling on the device in two kernels: argmax_parts finds the best logit of each of `parts` equal shares of
/// a row, next_token the best of those, which becomes the token that is evaluated next. Ties and NaN as with argmax.
struct NextTokenConfig {
    std::uint32_t vocab = 49152; ///< from 1
    std::uint32_t parts = 32;    ///< CTAs of argmax_parts, from 1 to 1024
};

/// Kernel argmax_parts(logits, values, ids): logits f32 [vocab]; the largest logit of each part and its index go to
/// values f32 [parts] and ids u32 [parts]. A part without a logit above −∞ has the index 2^32 − 1.
Result<Generated> argmax_parts(const NextTokenConfig& config, std::optional<Target> target = {},
                               std::optional<PtxVersion> version = {});
Grid argmax_parts_grid(const NextTokenConfig& config);

/// Kernel next_token(values, ids, state): state u32 [2] is the position of the token that was evaluated and its id;
/// they become the next position and the best id of all parts, 2^32 − 1 if no logit is above −∞.
Result<Generated> next_token(const NextTokenConfig& config, std::optional<Target> target = {},
                             std::optional<PtxVersion> version = {});
Grid next_token_grid();

} // namespace ptxgen::kernels
