#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"

namespace ptxgen::kernels {

/// What stands between the q, k, v products and attention, in one kernel: head norms of queries and keys, their rotary
/// embedding, and keys and values into the cache. The same arithmetic as head_rms_norm, rope and kv_append.
struct HeadInputsConfig {
    KvCacheShape cache;
    std::uint32_t heads = 9; ///< query heads
    RopeKind kind = RopeKind::interleaved;
    std::uint32_t rope_dim = 64; ///< even, from 2 to the head's size
    bool norms = false;          ///< whether heads are normed
    double epsilon = 1e-6;
};

/// Kernel head_inputs(q, k, v, [q_norm, k_norm,] table, k_cache, v_cache, position, tokens): q f32
/// [tokens][heads][head_dim], in place; k and v f32 [tokens][kv_heads][head_dim]; the norms' weights f32 [head_dim];
/// table as for rope(). Token t stands at *position + t, which must be less than the capacity.
Result<Generated> head_inputs(const HeadInputsConfig& config, std::optional<Target> target = {},
                              std::optional<PtxVersion> version = {});
Grid head_inputs_grid(const HeadInputsConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
