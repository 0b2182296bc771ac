#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "kernels/common/memory.hpp"
#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// Causal attention of query heads over a layer's cache: a token at position p sees the positions j ≤ p with
/// p − j < window; query head h uses key and value head h / (heads / kv_heads). Softmax in f32, in one pass with a
/// running maximum.
struct AttentionConfig {
    KvCacheShape cache;
    std::uint32_t heads = 9;  ///< query heads, a multiple of cache.kv_heads
    std::uint32_t window = 0; ///< positions that a token sees, its own included; 0: all
    double scale = 0.125;     ///< of q·k
    std::uint32_t warps = 8;  ///< of a CTA, at most; they share the positions
    /// Elements of q that a lane holds, at most, and as many of o and of rows in flight: each takes a register.
    std::uint32_t lane_elements = 64;
    /// CTAs that share the positions of a token's heads, from 1 to 256: as many of them as leave each at least
    /// split_positions, decided at run time; the others do nothing.
    std::uint32_t splits = 1;
    std::uint32_t split_positions = 128; ///< at least splits
};

/// How a CTA does its share. `lanes` neighbouring lanes hold a key row together, so a warp reads 32 / lanes positions
/// at once; the CTA handles `heads` query heads of one key head for one token.
struct AttentionPlan {
    std::uint32_t vector; ///< elements of one load
    std::uint32_t lanes;
    std::uint32_t chunks; ///< vectors of a row that a lane holds
    std::uint32_t heads;
    std::uint32_t tiles;  ///< CTAs for a token: query heads / heads
    std::uint32_t unroll; ///< positions that a group of lanes handles between two updates of the maximum
    std::uint32_t warps;

    std::uint32_t positions_of_warp() const { return unroll * 32 / lanes; }
    std::uint32_t elements_of_lane() const { return vector * chunks; }
};
AttentionPlan plan_attention(const AttentionConfig& config);

/// Softmax state of some heads over a part of the positions: with scores s_j in units of log2(e), m = max s_j,
/// l = Σ 2^(s_j − m), o = Σ 2^(s_j − m) v_j. A lane holds elements_of_lane() of every o; o[h][i] is element
/// (i / vector · lanes + lane) · vector + i % vector.
struct AttentionPart {
    std::vector<Var<f32>> m, l;
    std::vector<Accumulators> o;
};

/// The part of the positions [begin, end) that falls to warp `warp` of plan.warps. `q` points to the first of the
/// plan's query heads, `keys` and `values` (of element type T: f32 or f16) to position 0 of the key head. Every lane
/// group of the warp ends with the warp's result. All lanes take part; positions below `end` must have been written.
/// `q` may point to global or to shared memory.
template <value_type T, pointer_type Q>
AttentionPart emit_attention_part(KernelBuilder& k, const AttentionConfig& config, const AttentionPlan& plan,
                                  const Val<Q>& q, const Val<global_ptr<const T>>& keys,
                                  const Val<global_ptr<const T>>& values, const Val<u32>& begin, const Val<u32>& end,
                                  const Val<u32>& warp, const Val<u32>& lane);

/// Stores a warp's part into shared memory: with slot = warp · plan.heads + h for head h, m and l at element `slot` of
/// `m` and `l`, o at row `slot` of `o`, rows of head_dim elements, 16-byte aligned. All lanes of the warp take part.
void emit_store_attention_part(KernelBuilder& k, const AttentionConfig& config, const AttentionPlan& plan,
                               const AttentionPart& part, const Val<shared_ptr<f32>>& m, const Val<shared_ptr<f32>>& l,
                               const Val<shared_ptr<f32>>& o, const Val<u32>& warp, const Val<u32>& lane);

/// What m starts from: below every score, and finite, so that no difference is a NaN.
inline constexpr float lowest_score = -3.402823466e38f;

/// One element of several parts together, as those of one.
struct MergedPart {
    Var<f32> m, l, o;
};

/// One element over `count` parts (from 1). `m` and `l` point to the first part's scalars, `o` to its element; the next
/// part's are `scalar_stride` and `o_stride` elements on. Parts may lie in shared or in global memory.
template <pointer_type P>
MergedPart emit_attention_merge(KernelBuilder& k, const Val<P>& m, const Val<P>& l, const Val<P>& o,
                                std::uint32_t scalar_stride, std::uint32_t o_stride, const Val<u32>& count) {
    auto top = k.var<f32>(lowest_score);
    k.for_<u32>(0, count, 1, [&](Var<u32>& i) { top = k.max(top, k.ld(m + i * scalar_stride)); });
    auto norm = k.var<f32>(0.f);
    auto sum = k.var<f32>(0.f);
    k.for_<u32>(0, count, 1, [&](Var<u32>& i) {
        const auto at = i * scalar_stride;
        const auto from_top = k.ld(m + at) - top;
        const Val<f32> weight = k.ex2(from_top, approx);
        norm = k.fma(k.ld(l + at), weight, norm);
        sum = k.fma(k.ld(o + i * o_stride), weight, sum);
    });
    return {std::move(top), std::move(norm), std::move(sum)};
}

/// The same, o / l.
template <pointer_type P>
Val<f32> emit_attention_combine(KernelBuilder& k, const Val<P>& m, const Val<P>& l, const Val<P>& o,
                                std::uint32_t scalar_stride, std::uint32_t o_stride, const Val<u32>& count) {
    const MergedPart merged = emit_attention_merge(k, m, l, o, scalar_stride, o_stride, count);
    return k.div(merged.o, merged.l);
}

/// Kernel attention(q, k_cache, v_cache, out, position, tokens): CTA (t, tile) computes the tile's heads of token t at
/// *position + t; q and out are f32 [tokens][heads][head_dim]. The cache holds that position and all before it. With
/// splits > 1 the parameters `parts` and `arrivals` (attention_scratch()) come before `tokens`; the CTA of a token and
/// tile that arrives last combines the parts.
Result<Generated> attention(const AttentionConfig& config, std::optional<Target> target = {},
                            std::optional<PtxVersion> version = {});
/// Elements of the buffers `parts` (f32) and `arrivals` (u32, zero before the first launch, and zero again behind every
/// launch); both 0 if splits is 1.
struct AttentionScratch {
    std::uint64_t parts, arrivals;
};
AttentionScratch attention_scratch(const AttentionConfig& config, std::uint32_t tokens);
Grid attention_grid(const AttentionConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
