#pragma once

#include "kernels/common/memory.hpp"
#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"

namespace ptxgen::kernels {

/// Rotary position embedding in place: pair p < dim/2 of every head becomes (a c − b s, b c + a s) with c, s from a
/// table f32 [positions][dim/2][2]; elements from `dim` on stay. x is f32 [tokens][heads][head_dim].
struct RopeConfig {
    RopeKind kind = RopeKind::interleaved; ///< pairs (2p, 2p+1) or (p, p + dim/2)
    std::uint32_t heads = 9;               ///< from 1
    std::uint32_t head_dim = 64;           ///< from 2
    std::uint32_t dim = 64;                ///< even, from 2 to head_dim
};

/// Threads of a CTA that the fragment is written for.
std::uint32_t rope_threads(const RopeConfig& config);

/// Turns pair `pair` < dim / 2 of one head in place by the cosine and sine in `angle`. `head` points to the head's pair
/// 0, in global or shared memory: its first element, moved by `pair` elements, two for interleaved pairs.
template <pointer_type P>
void emit_rope_pair(KernelBuilder& k, const RopeConfig& config, const Val<P>& first, const Values& angle);

/// One row by the threads of a CTA. `x` points to the row, `table` to the row of its position.
void emit_rope(KernelBuilder& k, const RopeConfig& config, const Val<global_ptr<f32>>& x,
               const Val<global_ptr<const f32>>& table, const Val<u32>& thread);

/// Kernel rope(x, table, position, tokens): one CTA for each token. Token t stands at *position + t, which must be less
/// than the table's positions.
Result<Generated> rope(const RopeConfig& config, std::optional<Target> target = {},
                       std::optional<PtxVersion> version = {});
Grid rope_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
