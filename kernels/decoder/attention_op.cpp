#include "kernels/decoder/emitter.hpp"

#include "kernels/attention/rope.hpp"
#include "kernels/common/index.hpp"
#include "kernels/norm/head_rms_norm.hpp"

#include <algorithm>

namespace ptxgen::kernels {

/// A query head, and its key and value if they belong to this CTA's positions: normed, turned, in shared memory, key
/// and value also in the cache. One warp does each. The CTAs of all query heads of a key head append the same bytes.
void DecoderEmitter::take_heads(const Val<u32>& query_head, const Val<u32>& kv_head, const Pred& appends) {
    const ModelShape& s = config_.shape;
    const std::uint32_t dim = s.head_dim;
    constexpr std::uint32_t heads = 1;
    const std::uint32_t vector = vector_width(dim), vectors = dim / vector;
    const auto heads_at = at<f32>(plan_.shared.heads);
    const RopeConfig rope{s.rope.kind, 1, dim, s.rope.dim};
    const std::uint32_t pairs = s.rope.dim / 2, pair_rounds = ceil_div(pairs, 32);
    k_.for_<u32>(warp_, heads + 2, ring_warps, [&](Var<u32>& head) {
        const auto is_query = head < heads;
        const auto is_key = head == heads;
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
        const auto own_weight = heads_at + (heads + 2) * dim + head * dim;
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
        const auto query_packet = k_.mad_lo(query_head, dim, k_.imm<u32>(plan_.edges.q));
        const auto key_packet = k_.mad_lo(kv_head, dim, k_.imm<u32>(plan_.edges.k));
        const auto value_packet = k_.mad_lo(kv_head, dim, k_.imm<u32>(plan_.edges.v));
        const auto key_or_value = k_.selp(key_packet, value_packet, is_key);
        const auto first_packet = k_.selp(query_packet, key_or_value, is_query);
        const auto own_row = heads_at + head * dim;
        for (std::uint32_t c = 0; c < ceil_div(vectors, 32); c++) {
            const auto element = (lane_ + 32 * c) * vector;
            const auto exists = element < dim;
            const auto has = exists & wanted;
            const auto packet = first_packet + element;
            const Values values = emit_poll(k_, {layer_edges() + packet}, vector, has, epoch(), guard_,
                                            {WaitSite::query, walk_.layer(), packet});
            k_.predicated(has, [&] { store(k_, own_row + element, values); });
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
        k_.if_(head >= heads, [&] {
            k_.if_(appends, [&] {
                const KvCacheShape& cache = plan_.attention.cache;
                const auto part = static_cast<std::uint32_t>((cache.bytes() + 255) / 256 * 256);
                const auto offset = k_.selp(k_.imm<u32>(0), k_.imm<u32>(part), is_key);
                const auto buffer = layer_cache() + offset;
                const auto cache_row = k_.mad_lo(kv_head, cache.capacity, position());
                for (std::uint32_t c = 0; c < ceil_div(vectors, 32); c++) {
                    const auto element = (lane_ + 32 * c) * vector;
                    k_.if_(element < dim, [&] {
                        const Values values = load(k_, own_row + element, vector);
                        if (cache.type == CacheType::f32)
                            store(k_, row(k_, buffer.as<global_ptr<f32>>(), cache_row, dim) + element, values);
                        else
                            store(k_, row(k_, buffer.as<global_ptr<f16>>(), cache_row, dim) + element, values);
                    });
                }
            });
        });
    });
    barrier();
}

/// Parts of this CTA's positions [begin, end) by its warps, in shared memory.
template <value_type T>
void DecoderEmitter::attend(const Val<u32>& kv_head, const Val<u32>& begin, const Val<u32>& end) {
    const AttentionPlan& plan = plan_.attention_plan;
    const KvCacheShape& cache = plan_.attention.cache;
    const std::uint32_t dim = cache.head_dim;
    constexpr std::uint32_t group = 1;
    const std::uint32_t tiles = group / plan.heads;
    const auto part = (cache.bytes() + 255) / 256 * 256;
    const auto slice = quotient(warp_, tiles);
    const auto tile = remainder(warp_, tiles);
    const auto positions = end - begin;
    const auto slices = quotient(positions + (plan.positions_of_warp() - 1), plan.positions_of_warp());
    const auto active = k_.min(slices, k_.imm<u32>(plan.warps));
    const auto m = at<f32>(plan_.shared.partials);
    const auto l = m + plan.warps * group;
    const auto o = at<f32>(plan_.shared.partials + (8 * plan.warps * group + 15) / 16 * 16);
    k_.if_(slice < active, [&] {
        const auto cache_row = kv_head * cache.capacity;
        const auto cache_of_layer = layer_cache();
        const auto keys = row(k_, cache_of_layer.as<global_ptr<const T>>(), cache_row, dim);
        const auto values = row(k_, (cache_of_layer + part).template as<global_ptr<const T>>(), cache_row, dim);
        const auto queries = at<f32>(plan_.shared.heads) + tile * (plan.heads * dim);
        const AttentionPart result = emit_attention_part<T>(k_, plan_.attention, plan, Val<shared_ptr<f32>>(queries),
                                                            keys, values, begin, end, slice, lane_);
        emit_store_attention_part(k_, plan_.attention, plan, result, m, l, o, warp_, lane_);
    });
    barrier();
}

void DecoderEmitter::publish_attention(const Val<u32>& query_head, const Val<u32>& split, const Val<u32>& splits,
                                       const Val<u32>& active) {
    const AttentionPlan& plan = plan_.attention_plan;
    const std::uint32_t dim = config_.shape.head_dim;
    constexpr std::uint32_t group = 1;
    const auto m = at<f32>(plan_.shared.partials);
    const auto l = m + plan.warps * group;
    const auto o = at<f32>(plan_.shared.partials + (8 * plan.warps * group + 15) / 16 * 16);
    const auto first = k_.mad_lo(query_head, group * dim, k_.imm<u32>(plan_.edges.attention));
    const auto target = k_.var<u32>(first);
    if (plan_.max_splits > 1)
        k_.if_(splits > 1, [&] {
            const auto number = k_.mad_lo(query_head, plan_.max_splits, split);
            const_cast<Var<u32>&>(target) = k_.mad_lo(number, plan_.edges.part_size, k_.imm<u32>(plan_.edges.part));
        });
    k_.for_<u32>(thread_, group * dim, 32 * ring_warps, [&](Var<u32>& i) {
        const auto head = quotient(i, dim);
        const auto own_m = m + head;
        const auto own_l = l + head;
        const auto own_o = o + i;
        const auto value = emit_attention_combine(k_, own_m, own_l, own_o, group, group * dim, active);
        const auto packet = target + i;
        emit_publish(k_, layer_edges() + packet, value, epoch());
    });
}

/// Each split's CTA combines a share of the elements.
void DecoderEmitter::combine_splits(const Val<u32>& query_head, const Val<u32>& split, const Val<u32>& splits,
                                    const Val<u32>& active) {
    const AttentionPlan& plan = plan_.attention_plan;
    const std::uint32_t dim = config_.shape.head_dim;
    constexpr std::uint32_t group = 1;
    const std::uint32_t elements = group * dim;
    {
        const auto m = at<f32>(plan_.shared.partials);
        const auto l = m + plan.warps * group;
        k_.if_(thread_ < group, [&] {
            auto top = k_.var<f32>(lowest_score);
            const auto own_m = m + thread_, own_l = l + thread_;
            k_.for_<u32>(0, active, 1, [&](Var<u32>& i) { top = k_.max(top, k_.ld(own_m + i * group)); });
            auto sum = k_.var<f32>(0.f);
            k_.for_<u32>(0, active, 1, [&](Var<u32>& i) {
                const auto difference = k_.ld(own_m + i * group) - top;
                const auto weight = k_.ex2(difference, approx);
                sum = k_.fma(k_.ld(own_l + i * group), weight, sum);
            });
            const auto weight = k_.lg2(sum, approx) + top;
            const auto number = k_.mad_lo(query_head, plan_.max_splits, split);
            const auto first = k_.mad_lo(number, plan_.edges.part_size, k_.imm<u32>(plan_.edges.part + elements));
            const auto packet = first + thread_;
            emit_publish(k_, layer_edges() + packet, weight, epoch());
        });
    }
    barrier(); // the parts have been read
    // [splits][share] elements, [splits][group] weights, ones
    const auto values = at<f32>(plan_.shared.partials);
    const auto share = (k_.sub(splits, 1u) + elements) / splits;
    const auto begin = share * split;
    const auto rest = k_.max(begin, k_.imm<u32>(elements)) - begin;
    const auto count = k_.min(share, rest);
    const auto weights = at<f32>(plan_.shared.partials) + (elements + plan_.max_splits);
    const auto ones = weights + plan_.max_splits * group;
    const auto first_part =
        k_.mad_lo(query_head, plan_.max_splits * plan_.edges.part_size, k_.imm<u32>(plan_.edges.part));
    const auto take = [&](const Val<u32>& items, const Val<u32>& width, const Val<u32>& from,
                          const Val<shared_ptr<f32>>& target) {
        auto base = k_.var<u32>(warp_ * 32u);
        k_.loop([&](Loop& loop) {
            loop.break_if(base >= items); // the same in all lanes of a warp
            const auto item = base + lane_;
            const auto has = item < items;
            const auto other = item / width;
            const auto within = item - other * width;
            const auto of_other = k_.mad_lo(other, plan_.edges.part_size, from);
            const auto packet = of_other + within;
            const auto own = target + item;
            const Values value = emit_poll(k_, {layer_edges() + packet}, 1, has, epoch(), guard_,
                                           {WaitSite::attention_part, walk_.layer(), packet});
            k_.predicated(has, [&] { k_.st(own, value[0]); });
            base += 32 * ring_warps;
        });
    };
    const auto width = k_.max(count, k_.imm<u32>(1));
    const auto all_elements = splits * count;
    const auto own_elements = first_part + begin;
    take(all_elements, width, own_elements, values);
    const auto all_weights = splits * group;
    const auto own_weights = first_part + elements;
    take(all_weights, k_.imm<u32>(group), own_weights, weights);
    const auto own_one = ones + thread_;
    k_.for_<u32>(thread_, splits * group, 32 * ring_warps, [&](Var<u32>& i) { k_.st(ones + i, k_.imm<f32>(1.f)); });
    barrier();
    k_.for_<u32>(thread_, count, 32 * ring_warps, [&](Var<u32>& i) {
        const auto element = begin + i;
        const auto head = quotient(element, dim);
        // Parts lie `count` elements apart, which is no constant: the sum by hand.
        auto top = k_.var<f32>(lowest_score);
        k_.for_<u32>(0, splits, 1, [&](Var<u32>& other) {
            const auto at_weight = k_.mad_lo(other, group, head);
            top = k_.max(top, k_.ld(weights + at_weight));
        });
        auto norm = k_.var<f32>(0.f), sum = k_.var<f32>(0.f);
        k_.for_<u32>(0, splits, 1, [&](Var<u32>& other) {
            const auto at_weight = k_.mad_lo(other, group, head);
            const auto difference = k_.ld(weights + at_weight) - top;
            const auto weight = k_.ex2(difference, approx);
            const auto at_value = k_.mad_lo(other, count, i);
            norm = norm + weight;
            sum = k_.fma(k_.ld(values + at_value), weight, sum);
        });
        const auto first = k_.mad_lo(query_head, elements, k_.imm<u32>(plan_.edges.attention));
        const auto packet = first + element;
        const auto whole = k_.div(sum, norm);
        emit_publish(k_, layer_edges() + packet, whole, epoch());
    });
}

void DecoderEmitter::emit_attention() {
    const ModelShape& s = config_.shape;
    const AttentionPlan& plan = plan_.attention_plan;
    k_.comment("attention");
    const auto end = position() + 1u;
    auto begin = k_.var<u32>(0u);
    if (s.sliding_window > 0) {
        const auto in_window = k_.max(end, k_.imm<u32>(s.sliding_window)) - s.sliding_window;
        k_.predicated(walk_.is_sliding(), [&] { begin = in_window; });
    }
    const std::uint32_t group = s.heads / s.kv_heads;
    const auto one = [&](const Val<u32>& query_head, const Val<u32>& split, const Val<u32>& splits,
                         const Val<u32>& own_begin, const Val<u32>& own_end) {
        const auto appends = own_end == end;
        const auto kv_head = quotient(query_head, group);
        take_heads(query_head, kv_head, appends);
        if (plan_.attention.cache.type == CacheType::f32)
            attend<f32>(kv_head, own_begin, own_end);
        else
            attend<f16>(kv_head, own_begin, own_end);
        const auto positions = own_end - own_begin;
        const auto slices = quotient(positions + (plan.positions_of_warp() - 1), plan.positions_of_warp());
        const auto active = k_.min(slices, k_.imm<u32>(plan.warps));
        publish_attention(query_head, split, splits, active);
        // The next token's readers, on any CTA, see the appended rows behind a packet that follows this fence.
        k_.if_(appends, [&] { k_.fence(acq_rel, gpu); });
        if (plan_.max_splits > 1) k_.if_(splits > 1, [&] { combine_splits(query_head, split, splits, active); });
    };
    if (plan_.max_splits == 1) {
        k_.for_<u32>(cta_, s.heads, config_.ctas, [&](Var<u32>& query_head) {
            one(Val<u32>(k_.state(), query_head.operand()), k_.imm<u32>(0), k_.imm<u32>(1),
                Val<u32>(k_.state(), begin.operand()), end);
            barrier(); // the heads and parts have been read
        });
        return;
    }
    const auto positions = end - begin;
    const auto wanted_splits = (positions + (config_.split_positions - 1)) / config_.split_positions;
    const auto splits = k_.min(wanted_splits, k_.imm<u32>(plan_.max_splits));
    const auto query_head = remainder(cta_, s.heads);
    const auto split = quotient(cta_, s.heads);
    k_.if_(split < splits, [&] {
        const auto share = (k_.sub(splits, 1u) + positions) / splits;
        const auto own_begin = k_.mad_lo(share, split, begin);
        const auto own_end = k_.min(own_begin + share, end);
        one(query_head, split, splits, own_begin, own_end);
    });
}

} // namespace ptxgen::kernels
