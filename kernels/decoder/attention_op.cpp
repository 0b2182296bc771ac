#include "kernels/decoder/emitter.hpp"

#include "kernels/attention/rope.hpp"
#include "kernels/common/index.hpp"
#include "kernels/norm/head_rms_norm.hpp"

#include <algorithm>

namespace ptxgen::kernels {

/// The item's query heads, and their key and value if they belong to its positions: normed, turned, in shared memory,
/// key and value also in the cache. One warp does each. Whoever has the last positions of a key head appends the same
/// bytes.
void DecoderEmitter::take_heads(const DecodeItem& item, const Pred& appends) {
    const ModelShape& s = config_.shape;
    const DecodeAttentionPlan& plan = plan_.attention;
    const KvCacheShape& cache = plan.config.cache;
    const std::uint32_t dim = s.head_dim, most_rows = plan.max_heads + 2;
    const std::uint32_t vector = vector_width(dim), vectors = dim / vector;
    const auto heads_at = at<f32>(plan_.shared.heads);
    const RopeConfig rope{s.rope.kind, 1, dim, s.rope.dim};
    const std::uint32_t pairs = s.rope.dim / 2, pair_rounds = ceil_div(pairs, 32);
    k_.if_(warp_ < item.heads + 2, [&] {
        const auto is_query = warp_ < item.heads;
        const auto is_key = warp_ == item.heads;
        const auto turns = is_query | is_key;
        const auto wanted = is_query | appends;

        // What does not depend on the edge is fetched while it is waited for.
        std::vector<Accumulators> angles;
        const auto table_of = [&]() -> Val<u64> {
            if (s.sliding_window == 0) return p_.rope.as<u64>();
            return k_.selp(p_.rope_sliding.as<u64>(), p_.rope.as<u64>(), walk_.is_sliding());
        };
        const auto table = table_of().as<global_ptr<const f32>>();
        const auto in_row = lane_ * 2u;
        const auto own_angle = row(k_, table, position(), s.rope.dim) + in_row;
        for (std::uint32_t r = 0; r < pair_rounds; r++) {
            angles.push_back(accumulators(k_, 2, 0.f));
            const auto exists = lane_ < (pairs - 32 * r);
            k_.predicated(exists, [&] { load_into(k_, angles[r], own_angle + 64 * r); });
        }

        const HeadRmsNormConfig norm{1, dim, s.norm_epsilon};
        const auto own_weight = heads_at + most_rows * dim + warp_ * dim;
        if (s.qk_norm) {
            const auto of_query = walk_.tensor(LayerTensor::attn_q_norm);
            const auto of_key = walk_.tensor(LayerTensor::attn_k_norm);
            const auto weight = k_.selp(of_query.as<u64>(), of_key.as<u64>(), is_query).as<global_ptr<const f32>>();
            for (std::uint32_t c = 0; c < ceil_div(vectors, 32); c++) {
                const auto element = (lane_ + 32 * c) * vector;
                k_.if_(element < dim, [&] {
                    const Values loaded = load(k_, weight + element, vector);
                    store(k_, own_weight + element, loaded);
                });
            }
        }
        const auto query_head = item.first_head + warp_;
        const auto query_packet = k_.mad_lo(query_head, dim, k_.imm<u32>(plan_.edges.q));
        const auto key_packet = k_.mad_lo(item.kv_head, dim, k_.imm<u32>(plan_.edges.k));
        const auto value_packet = k_.mad_lo(item.kv_head, dim, k_.imm<u32>(plan_.edges.v));
        const auto key_or_value = k_.selp(key_packet, value_packet, is_key);
        const auto first_packet = k_.selp(query_packet, key_or_value, is_query);
        const auto own_row = heads_at + warp_ * dim;
        for (std::uint32_t c = 0; c < ceil_div(vectors, 32); c++) {
            const auto element = (lane_ + 32 * c) * vector;
            const auto exists = element < dim;
            const auto has = exists & wanted;
            const auto packet = first_packet + element;
            const Values values = emit_poll(k_, {layer_edges() + packet}, vector, has, epoch(), guard_,
                                            {WaitSite::query, walk_.layer(), packet});
            const auto own = own_row + element; // in all lanes: what only some of them compute stays in a register
            k_.predicated(has, [&] { store(k_, own, values); });
        }
        k_.bar_warp_sync(0xffffffffu);
        if (s.qk_norm) {
            const auto in_lanes = lane_ < head_rms_norm_lanes(norm);
            const auto wanted_turns = turns & wanted;
            const auto in_head = lane_ & (head_rms_norm_lanes(norm) - 1);
            const auto takes_part = wanted_turns & in_lanes;
            emit_head_rms_norm(k_, norm, own_row, own_weight, own_row, in_head, takes_part);
            k_.bar_warp_sync(0xffffffffu);
        }
        k_.if_(turns & wanted, [&] {
            for (std::uint32_t r = 0; r < pair_rounds; r++) {
                const auto pair = lane_ + 32 * r;
                const Values angle{Val<f32>(angles[r][0]), Val<f32>(angles[r][1])};
                const auto turn = [&] {
                    const auto offset = rope.kind == RopeKind::interleaved ? pair * 2u : pair;
                    emit_rope_pair(k_, rope, own_row + offset, angle);
                };
                if (32 * (r + 1) <= pairs)
                    turn();
                else
                    k_.if_(pair < pairs, turn);
            }
        });
        k_.bar_warp_sync(0xffffffffu);
        if (plan.mma)
            k_.if_(is_query, [&] {
                emit_query_columns(k_, plan, Val<shared_ptr<f32>>(own_row), at<u8>(plan_.shared.columns), warp_, lane_);
            });
        k_.if_(appends & !is_query, [&] {
            const auto part = static_cast<std::uint32_t>((cache.bytes() + 255) / 256 * 256);
            const auto offset = k_.selp(k_.imm<u32>(0), k_.imm<u32>(part), is_key);
            const auto buffer = layer_cache() + offset;
            const auto cache_row = k_.mad_lo(item.kv_head, cache.capacity, position());
            const auto to_fresh = k_.selp(k_.imm<u32>(0), k_.imm<u32>(2 * dim), is_key);
            const auto fresh = (at<u8>(plan_.shared.fresh) + to_fresh).as<shared_ptr<f16>>();
            for (std::uint32_t c = 0; c < ceil_div(vectors, 32); c++) {
                const auto element = (lane_ + 32 * c) * vector;
                k_.if_(element < dim, [&] {
                    const Values values = load(k_, own_row + element, vector);
                    if (plan.mma) store(k_, fresh + element, values);
                    if (cache.type == CacheType::f32)
                        store(k_, row(k_, buffer.as<global_ptr<f32>>(), cache_row, dim) + element, values);
                    else
                        store(k_, row(k_, buffer.as<global_ptr<f16>>(), cache_row, dim) + element, values);
                });
            }
        });
    });
    barrier();
}

/// The parts of this CTA's warps, in shared memory.
void DecoderEmitter::attend(const DecodeItem& item, const Pred& appends) {
    const DecodeAttentionPlan& plan = plan_.attention;
    const KvCacheShape& cache = plan.config.cache;
    const std::uint32_t dim = cache.head_dim;
    const auto value_offset = (cache.bytes() + 255) / 256 * 256;
    const auto parts = at<u8>(plan_.shared.attention);
    if (plan.mma) {
        const auto words = at<u32>(plan_.shared.item);
        // Numbers of the item are read back where they are needed: registers are short.
        bool requested = false;
        const auto keys = [&]() -> Val<global_ptr<const u8>> {
            const auto kv_head = [&]() -> Val<u32> {
                if (!requested) return item.kv_head;
                return k_.ld(words + 5, volatile_);
            }();
            const auto cache_row = kv_head * cache.capacity;
            return row(k_, layer_cache().as<global_ptr<const f16>>(), cache_row, dim).as<global_ptr<const u8>>();
        };
        const auto values = [&] { return keys() + value_offset; };
        const auto heads = [&] { return k_.ld(words + 1, volatile_); };
        const auto fresh = at<u8>(plan_.shared.fresh);
        DecodeWarp part(k_, plan, keys, values, DecodeWarp::Fresh{appends, fresh, fresh + 2 * dim}, item.begin,
                        item.end, warp_, lane_);
        part.request();
        requested = true;
        take_heads(item, appends);
        part.attend(at<u8>(plan_.shared.columns), heads, parts);
        barrier();
        return;
    }
    take_heads(item, appends);
    const auto queries = at<f32>(plan_.shared.heads);
    const auto general = [&]<value_type T>(const Val<global_ptr<const T>>& cache_of_layer) {
        const auto cache_row = item.kv_head * cache.capacity;
        const auto keys = row(k_, cache_of_layer, cache_row, dim);
        const auto values_at = cache_of_layer.template as<global_ptr<const u8>>() + value_offset;
        const auto values = row(k_, values_at.template as<global_ptr<const T>>(), cache_row, dim);
        emit_decode_general<T>(k_, plan, Val<shared_ptr<f32>>(queries), keys, values, item.begin, item.end, parts,
                               warp_, lane_);
    };
    if (cache.type == CacheType::f32)
        general(Val<global_ptr<const f32>>(layer_cache().as<global_ptr<const f32>>()));
    else
        general(Val<global_ptr<const f16>>(layer_cache().as<global_ptr<const f16>>()));
    barrier();
}

/// The heads' results, or those of a share with their weights.
void DecoderEmitter::publish_attention(const DecodeItem& item) {
    const DecodeAttentionPlan& plan = plan_.attention;
    const std::uint32_t dim = config_.shape.head_dim;
    const auto first_element = item.first_head * dim;
    const auto number = k_.mad_lo(item.tile, plan.splits, item.split);
    const auto part = k_.mad_lo(number, plan.part_size(), k_.imm<u32>(plan_.edges.part));
    const auto publish_part = [&](const DecodeElement& element) {
        const auto packet = part + element.index;
        k_.if_(element.exists, [&] { emit_publish(k_, layer_edges() + packet, element.value, epoch()); });
        const auto in_head = element.index - element.head * dim;
        k_.if_(in_head == 0, [&] {
            const auto of_head = part + (element.head + plan.max_heads * dim);
            const auto weight = element.weight();
            emit_publish(k_, layer_edges() + of_head, weight, epoch());
        });
    };
    const auto publish_whole = [&](const DecodeElement& element) {
        const auto of_vector = first_element + element.index;
        if (plan_.attention_blocks) return publish_attention_block(of_vector, element.value);
        const auto packet = of_vector + plan_.edges.attention;
        k_.if_(element.exists, [&] { emit_publish(k_, layer_edges() + packet, element.value, epoch()); });
    };
    emit_decode_elements(k_, plan, at<u8>(plan_.shared.attention), item.heads, warp_, lane_,
                         [&](const DecodeElement& element) {
                             if (!item.is_share) return publish_whole(element);
                             k_.if_(
                                 *item.is_share, [&] { publish_part(element); }, [&] { publish_whole(element); });
                         });
}

/// Lane l has element l of a block of the attention's output, `element` of the vector.
void DecoderEmitter::publish_attention_block(const Val<u32>& element, const Val<f32>& value) {
    const BlockEdge edge = block_edge(plan_.edges.attention);
    const auto block = element >> 5U;
    emit_publish_block(k_, edge, block, value, lane_, epoch(), config_.mma);
}

/// Each share's CTA puts as many of the tile's elements together.
void DecoderEmitter::combine_shares(const DecodeItem& item) {
    const DecodeAttentionPlan& plan = plan_.attention;
    const std::uint32_t dim = config_.shape.head_dim, most = plan.max_heads * dim;
    const std::uint32_t lanes = decode_combine_lanes(plan), at_once = 32 / lanes;
    const std::uint32_t granule = plan_.attention_blocks ? block_values : 1;
    const std::uint32_t own_elements = ceil_div(ceil_div(most, plan.splits), granule) * granule;
    const auto wholes = at<f32>(plan_.shared.heads); // the heads have been read
    const auto elements = item.heads * dim;
    const auto begin = item.split * own_elements;
    const auto wanted_end = begin + own_elements;
    const auto end = k_.min(wanted_end, elements);
    const auto first = k_.mad_lo(warp_, at_once, begin);
    k_.for_<u32>(first, end, ring_warps * at_once, [&](Var<u32>& base) {
        const Val<u32> in_turn = quotient(lane_, lanes);
        const auto element = base + in_turn;
        const auto share = lane_ & (lanes - 1);
        const auto exists = element < end;
        const auto has = exists & (share < plan.splits);
        const auto number = k_.mad_lo(item.tile, plan.splits, share);
        const auto part = k_.mad_lo(number, plan.part_size(), k_.imm<u32>(plan_.edges.part));
        const auto value_packet = part + element;
        const Val<u32> head = quotient(element, dim);
        const auto weight_packet = part + (head + most);
        const auto edges = layer_edges();
        const auto value_at = edges + value_packet;
        const auto weight_at = edges + weight_packet;
        const Values found = emit_poll(k_, {value_at, weight_at}, 1, has, epoch(), guard_,
                                       {WaitSite::attention_part, walk_.layer(), value_packet});
        const auto weight = k_.selp(found[1], k_.imm<f32>(lowest_score), has);
        const auto whole = emit_decode_combine(k_, plan, weight, found[0]);
        const auto first_element = k_.mad_lo(item.first_head, dim, k_.imm<u32>(plan_.edges.attention));
        const auto packet = first_element + element;
        const auto own = wholes + (element - begin);
        k_.if_(exists & (share == 0), [&] {
            if (plan_.attention_blocks)
                k_.st(own, whole);
            else
                emit_publish(k_, edges + packet, whole, epoch());
        });
    });
    if (!plan_.attention_blocks) return;
    barrier();
    k_.for_<u32>(k_.mad_lo(warp_, block_values, begin), end, ring_warps * block_values, [&](Var<u32>& base) {
        const auto element = base + lane_;
        const auto own = wholes + (element - begin);
        const auto value = k_.ld(own);
        const auto of_vector = k_.mad_lo(item.first_head, dim, element);
        publish_attention_block(of_vector, value);
    });
}

/// The item's numbers, kept in shared memory while the warps attend: registers are short there.
void DecoderEmitter::keep_item(const DecodeItem& item) {
    const auto words = at<u32>(plan_.shared.item);
    k_.if_(thread_ == decode_threads - 1, [&] {
        const auto share = item.is_share ? k_.selp(k_.imm<u32>(1), k_.imm<u32>(0), *item.is_share) : k_.imm<u32>(0);
        k_.st(words, std::array<Val<u32>, 4>{item.first_head, item.heads, item.tile, item.split}, v4);
        k_.st(words + 4, share);
        k_.st(words + 5, item.kv_head);
    });
}
DecodeItem DecoderEmitter::kept_item() {
    const auto words = at<u32>(plan_.shared.item);
    const auto found = k_.ld(words, v4);
    const auto none = k_.imm<u32>(0);
    if (plan_.attention.splits == 1) return {found[0], k_.imm<u32>(1), none, none, none, none, none, {}};
    const auto is_share = k_.ld(words + 4) != 0;
    return {found[0], found[1], none, none, none, found[2], found[3], is_share};
}

void DecoderEmitter::attend_item(const DecodeItem& item, const Val<u32>& end) {
    tell_waiting(true); // rows of the cache and packets would queue behind the weights; take_vector() ends it
    keep_item(item);
    attend(item, item.end == end);
    const DecodeItem kept = kept_item();
    publish_attention(kept);
    if (kept.is_share) k_.if_(*kept.is_share, [&] { combine_shares(kept); });
    barrier(); // the heads and parts have been read
}

/// Asks for the next layer's first rows of this CTA, without waiting: into the L2 cache, while the memory has little to
/// do. A warp's turn is `lines` lines of 128 bytes of keys and as many of values, one to a lane.
void DecoderEmitter::prefetch_rows() {
    const DecodeAttentionPlan& plan = plan_.attention;
    const KvCacheShape& cache = plan.config.cache;
    if (!plan.mma || config_.shape.sliding_window > 0) return;
    constexpr std::uint32_t line = 128, turns = 3;
    const std::uint32_t row_bytes = 2 * cache.head_dim, lines = plan.warp_positions * row_bytes / line;
    const auto part = static_cast<std::uint32_t>((cache.bytes() + 255) / 256 * 256);
    k_.comment("the next layer's rows");
    const auto end = position() + 1u;
    const auto none = k_.imm<u32>(0);
    const Val<u32> items = emit_decode_items(k_, plan, none, end);
    const auto next_layer = walk_.layer() + 1u;
    const auto is_layer = next_layer < config_.shape.layers;
    const auto has_item = cta_ < items;
    k_.if_(is_layer & has_item, [&] {
        const DecodeItem item = emit_decode_item(k_, plan, cta_, none, end);
        const auto own_line = lane_ & 15u;
        const auto first = k_.mad_lo(warp_, plan.warp_positions, item.begin);
        const auto bytes = own_line * line;
        const auto row_of_line = bytes / row_bytes;
        const auto row = first + row_of_line;
        const auto rows = k_.mad_lo(item.kv_head, cache.capacity, first);
        const auto offset = k_.selp(k_.imm<u32>(0), k_.imm<u32>(part), lane_ < 16u);
        const auto of_next = layer_cache() + 2ull * part;
        const auto of_part = of_next + (offset + bytes);
        const auto at = k_.mad_wide(rows, row_bytes, of_part.as<u64>()).as<global_ptr<const u8>>();
        const auto has_line = own_line < lines;
        for (std::uint32_t turn = 0; turn < turns; turn++) {
            const std::uint32_t ahead = turn * decode_warps * plan.warp_positions;
            const auto exists = row + ahead < item.end;
            const auto from = at + std::uint64_t{ahead} * row_bytes;
            k_.predicated(exists & has_line, [&] { k_.prefetch(from, l2); });
        }
    });
}

void DecoderEmitter::emit_attention() {
    const ModelShape& s = config_.shape;
    const DecodeAttentionPlan& plan = plan_.attention;
    k_.comment("attention");
    const auto end = position() + 1u;
    auto begin = k_.var<u32>(0u);
    if (s.sliding_window > 0) {
        const auto in_window = k_.max(end, k_.imm<u32>(s.sliding_window)) - s.sliding_window;
        k_.predicated(walk_.is_sliding(), [&] { begin = in_window; });
    }
    const Val<u32> items = emit_decode_items(k_, plan, begin, end);
    const auto take = [&](const Val<u32>& number) { attend_item(emit_decode_item(k_, plan, number, begin, end), end); };
    if (plan.items() <= config_.ctas)
        k_.if_(cta_ < items, [&] { take(cta_); });
    else
        k_.for_<u32>(cta_, items, config_.ctas,
                     [&](Var<u32>& number) { take(Val<u32>(k_.state(), number.operand())); });
}

} // namespace ptxgen::kernels
