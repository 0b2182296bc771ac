#pragma once

#include "kernels/attention/attention.hpp"
#include "kernels/attention/kv_cache.hpp"
#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"

#include <algorithm>
#include <functional>
#include <optional>

/// Attention of one token at a time, for engines that decode. Which CTA, warp and lane has which positions, and in
/// which order what they find is put together, follows from the configuration and the number of positions alone: the
/// kernel here and the persistent decoder, made of the same fragments, give the same bits. What a head's result is does
/// not depend on which other heads its CTA has.
namespace ptxgen::kernels {

inline constexpr std::uint32_t decode_warps = 16; ///< of a CTA that attends
inline constexpr std::uint32_t decode_threads = 32 * decode_warps;

struct DecodeAttentionConfig {
    KvCacheShape cache;
    std::uint32_t heads = 9;             ///< query heads, a multiple of cache.kv_heads
    double scale = 0.125;                ///< of q·k
    std::uint32_t ctas = 132;            ///< that work on one token
    std::uint32_t split_positions = 256; ///< up to which a CTA attends for a head alone, from 2
    bool mma = false;                    ///< on sm_80 and newer: products by tensor cores where cache and head allow it
};

/// Of a model's layers. `mma`: whether the device has what it needs, sm_80.
DecodeAttentionConfig decode_attention_config(const ModelShape& model, const KvCacheShape& cache, std::uint32_t ctas,
                                              bool mma);

/// Up to split_positions, an item of work is a query head with all positions. Behind that it is a tile of query heads
/// of one key head with one of `splits` equal shares of the positions. A CTA's warps take its positions in turns of
/// warp_positions.
///
/// With tensor cores, f16 keys and values are operands as they are. Queries and weights are split into two f16 each, of
/// 22 bits together: eight columns are four heads. Without, scores and sums are those of emit_attention_part().
struct DecodeAttentionPlan {
    DecodeAttentionConfig config;
    bool mma = false;
    bool movmatrix = true;          ///< weights are turned by one instruction, of PTX 7.8; else by shuffles
    std::uint32_t max_heads = 1;    ///< of a tile
    std::uint32_t tiles_of_key = 1; ///< tiles of a key head: the last one may have fewer heads
    std::uint32_t splits = 1;       ///< at most 32; 1: positions are never split
    std::uint32_t warp_positions = 8;
    AttentionConfig general; ///< of emit_attention_part, without tensor cores
    AttentionPlan general_plan;

    std::uint32_t group() const { return config.heads / config.cache.kv_heads; }
    std::uint32_t tiles() const { return config.cache.kv_heads * tiles_of_key; }
    /// Items of work, whole heads or shares, at most.
    std::uint32_t items() const { return std::max(config.heads, splits > 1 ? tiles() * splits : 0u); }
    /// Elements of a share's result: o [max_heads][head_dim], then log2 of each head's weight.
    std::uint32_t part_size() const { return max_heads * (config.cache.head_dim + 1); }
    /// Of an o in shared memory, in elements.
    std::uint32_t row_stride() const { return config.cache.head_dim + (mma ? 8 : 0); }

    /// Bytes of shared memory, 16-byte aligned, for the warps' parts: m and l [decode_warps][max_heads], then o
    /// [decode_warps][max_heads][row_stride()].
    std::uint32_t sums_offset() const { return (8 * decode_warps * max_heads + 15) / 16 * 16; }
    std::uint32_t parts_bytes() const { return sums_offset() + 4 * decode_warps * max_heads * row_stride(); }
    /// Bytes of shared memory, 16-byte aligned, for the queries as columns, f16 [8]: upper and lower part of each head.
    std::uint32_t column_stride() const { return (2 * config.cache.head_dim + 127) / 128 * 128 + 64; }
    std::uint32_t columns_bytes() const { return mma ? 8 * column_stride() : 0; }
};
DecodeAttentionPlan plan_decode_attention(const DecodeAttentionConfig& config);
/// Whether a kernel for this version has movmatrix.
constexpr bool has_movmatrix(std::optional<PtxVersion> version) { return !version || *version >= PtxVersion{7, 8}; }

/// An item of work for positions [begin, end) of a token.
struct DecodeItem {
    Val<u32> first_head, heads, kv_head;
    Val<u32> begin, end; ///< its own
    Val<u32> tile, split;
    std::optional<Pred> is_share; ///< of several; nothing: never
};
/// How many items there are. Of tokens whose positions are never split: the heads.
Val<u32> emit_decode_items(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<u32>& begin,
                           const Val<u32>& end);
DecodeItem emit_decode_item(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<u32>& item,
                            const Val<u32>& begin, const Val<u32>& end);

/// A query as two columns: `row` has head_dim f32 elements, 16-byte aligned, `head` counts within the item. By one
/// warp.
template <pointer_type P>
void emit_query_columns(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<P>& row,
                        const Val<shared_ptr<u8>>& columns, const Val<u32>& head, const Val<u32>& lane);

/// The part of a warp, with tensor cores: request() asks for the first rows, which depend on no query; attend() does
/// the rest when the queries are there.
class DecodeWarp {
public:
    /// Emits the address of a key head's row of position 0.
    using Rows = std::function<Val<global_ptr<const u8>>()>;
    /// If `is_last` holds, the last position's rows, f16 [head_dim], 16-byte aligned, are taken from shared memory.
    struct Fresh {
        Pred is_last;
        Val<shared_ptr<u8>> key, value;
    };

    /// Positions [begin, end).
    DecodeWarp(KernelBuilder& k, const DecodeAttentionPlan& plan, Rows keys, Rows values, std::optional<Fresh> fresh,
               const Val<u32>& begin, const Val<u32>& end, const Val<u32>& warp, const Val<u32>& lane);
    void request();
    /// Behind it the warp's part is in `parts`, and a barrier must follow. All lanes take part. `heads` emits the
    /// item's number of heads.
    void attend(const Val<shared_ptr<u8>>& columns, const std::function<Val<u32>()>& heads,
                const Val<shared_ptr<u8>>& parts);

private:
    std::uint32_t row_bytes() const;
    /// Whether a position's rows are in the cache; whether in shared memory.
    Pred is_stored(const Val<u32>& position);
    Pred is_fresh(const Val<u32>& position);
    void request_keys();
    void request_values();
    /// Of eight rows of eight halves, a lane's pair of the transposed.
    Val<f16x2> transposed(const Val<f16x2>& pair);

    KernelBuilder k_;
    const DecodeAttentionPlan& plan_;
    Rows keys_at_, values_at_;
    std::optional<Fresh> fresh_;
    Val<u32> end_, warp_, group_, quad_;
    Var<u32> base_; ///< the warp's next position
    std::vector<Var<u32>> keys_, values_;
};

/// The same without tensor cores, of the item's one head: q f32 [head_dim], keys and values at position 0 of the key
/// head.
template <value_type T, pointer_type Q>
void emit_decode_general(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<Q>& q,
                         const Val<global_ptr<const T>>& keys, const Val<global_ptr<const T>>& values,
                         const Val<u32>& begin, const Val<u32>& end, const Val<shared_ptr<u8>>& parts,
                         const Val<u32>& warp, const Val<u32>& lane);

/// Element i = head · head_dim + e of an item, from all warps' parts.
struct DecodeElement {
    Val<u32> index, head;
    Pred exists;
    Val<f32> value;                   ///< o / l
    std::function<Val<f32>()> weight; ///< emits log2 of the head's weight
};
/// Emits `body` for the elements of the item's heads, by decode_threads threads.
void emit_decode_elements(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<shared_ptr<u8>>& parts,
                          const Val<u32>& heads, const Val<u32>& warp, const Val<u32>& lane,
                          const std::function<void(const DecodeElement&)>& body);

/// Lanes that put the shares of an element together: lane s of them has that of split s.
std::uint32_t decode_combine_lanes(const DecodeAttentionPlan& plan);
/// An element from its shares, in every lane of those that have one: `weight` is log2 of this lane's, lowest_score
/// where there is none.
Val<f32> emit_decode_combine(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<f32>& weight,
                             const Val<f32>& value);

/// Kernel decode_attention(q, k_cache, v_cache, out, position, [parts, arrivals,] tokens): as attention(), whose
/// scratch buffers it takes if positions may be split. `window`: positions that a token sees, its own included; 0: all.
Result<Generated> decode_attention(const DecodeAttentionConfig& config, std::uint32_t window,
                                   std::optional<Target> target = {}, std::optional<PtxVersion> version = {});
AttentionScratch decode_attention_scratch(const DecodeAttentionConfig& config, std::uint32_t tokens);
Grid decode_attention_grid(const DecodeAttentionConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
