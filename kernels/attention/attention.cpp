#include "kernels/attention/attention.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/reduce.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <limits>
#include <numbers>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t max_unroll = 4;
constexpr std::uint32_t shared_budget = 48 * 1024;

std::uint32_t shared_floats(const AttentionPlan& plan, std::uint32_t head_dim) {
    return plan.warps * plan.heads * (head_dim + 2);
}

/// Where a lane finds its elements of a row: chunks of `vector` elements, `lanes * vector` apart. A lane that has none
/// in the last chunk reads the row's first elements instead.
class LaneChunks {
public:
    LaneChunks(KernelBuilder& k, const AttentionPlan& plan, std::uint32_t head_dim, const Val<u32>& lane)
        : plan_(&plan), first_((lane & (plan.lanes - 1)) * plan.vector) {
        if (plan.lanes * plan.elements_of_lane() == head_dim) return;
        const std::uint32_t last = (plan.chunks - 1) * plan.lanes * plan.vector;
        has_last_.emplace(first_ + last < head_dim);
        const auto back = -first_.as<s32>();
        to_last_.emplace(k.selp(k.imm<s32>(last), back, *has_last_));
    }
    /// A lane's own pointer for a pointer to an element that all rows share; chunk() takes it from there.
    template <pointer_type P>
    Val<P> own(const Val<P>& row) const {
        return row + first_;
    }
    template <pointer_type P>
    Val<P> chunk(const Val<P>& own_row, std::uint32_t c) const {
        if (ragged(c)) return own_row + *to_last_;
        return own_row + c * plan_->lanes * plan_->vector;
    }
    /// Whether only lanes with has_last() have elements in this chunk.
    bool ragged(std::uint32_t c) const { return has_last_ && c + 1 == plan_->chunks; }
    const Pred& has_last() const { return *has_last_; }

private:
    const AttentionPlan* plan_;
    Val<u32> first_;                  ///< element of the lane's first chunk
    std::optional<Val<s32>> to_last_; ///< elements from there to its last chunk
    std::optional<Pred> has_last_;
};

/// Scales a part to a larger maximum.
template <typed_value A>
void rescale(KernelBuilder& k, AttentionPart& part, std::size_t head, const A& top) {
    const Val<f32> weight = k.ex2(part.m[head] - top, approx);
    part.m[head] = top;
    part.l[head] = part.l[head] * weight;
    for (auto& o : part.o[head]) o = o * weight;
}

} // namespace

AttentionPlan plan_attention(const AttentionConfig& config) {
    const std::uint32_t head_dim = config.cache.head_dim, group = config.heads / config.cache.kv_heads;
    AttentionPlan best{};
    best.vector = vector_width(head_dim);
    const std::uint32_t vectors = head_dim / best.vector;
    double best_cost = std::numeric_limits<double>::infinity();
    // Four lanes at least, so that a group reads 64 neighbouring bytes.
    for (std::uint32_t lanes = std::min(4u, std::bit_ceil(vectors)); lanes <= 32; lanes *= 2) {
        const std::uint32_t chunks = ceil_div(vectors, lanes), elements = chunks * best.vector;
        std::uint32_t heads = 1;
        for (std::uint32_t h = 1; h <= group; h++)
            if (group % h == 0 && h * elements <= config.lane_elements) heads = h;
        if (elements > config.lane_elements && lanes < 32) continue;
        // Instructions for a head and position: products, shuffles, and the loads (weighed as memory traffic) that the
        // heads share.
        const double cost = (2.0 * elements + 2.0 * std::countr_zero(lanes) + 16.0 * chunks / heads) * lanes / 32;
        if (cost >= best_cost) continue;
        best_cost = cost;
        best.lanes = lanes;
        best.chunks = chunks;
        best.heads = heads;
    }
    best.unroll = std::clamp(config.lane_elements / (best.chunks * best.vector), 1u, max_unroll);
    best.tiles = config.heads / best.heads;
    best.warps = config.warps;
    while (best.warps > 1 && shared_floats(best, head_dim) * 4 > shared_budget) best.warps--;
    return best;
}

template <value_type T, pointer_type Q>
AttentionPart emit_attention_part(KernelBuilder& k, const AttentionConfig& config, const AttentionPlan& plan,
                                  const Val<Q>& q, const Val<global_ptr<const T>>& keys,
                                  const Val<global_ptr<const T>>& values, const Val<u32>& begin, const Val<u32>& end,
                                  const Val<u32>& warp, const Val<u32>& lane) {
    const std::uint32_t head_dim = config.cache.head_dim, lanes = plan.lanes, groups = 32 / lanes;
    const LaneChunks chunks(k, plan, head_dim, lane);
    const Val<u32> group = quotient(lane, lanes);

    // Scores in units of log2(e): softmax is a power of two.
    k.comment("queries, scaled");
    const auto to_log2 = k.imm<f32>(config.scale * std::numbers::log2e);
    std::vector<Values> query(plan.heads);
    const auto own_q = chunks.own(q);
    for (std::uint32_t h = 0; h < plan.heads; h++)
        for (std::uint32_t c = 0; c < plan.chunks; c++)
            for (const auto& element : load(k, chunks.chunk(own_q + h * head_dim, c), plan.vector)) {
                const Val<f32> scaled = element * to_log2;
                if (chunks.ragged(c))
                    query[h].push_back(k.selp(scaled, k.imm<f32>(0.f), chunks.has_last()));
                else
                    query[h].push_back(scaled);
            }

    AttentionPart part;
    for (std::uint32_t h = 0; h < plan.heads; h++) {
        part.m.push_back(k.var<f32>(lowest_score));
        part.l.push_back(k.var<f32>(0.f));
        part.o.push_back(accumulators(k, plan.elements_of_lane(), 0.f));
    }

    const std::uint32_t step = plan.positions_of_warp();
    const Val<u32> last = end - 1;
    const auto own_keys = chunks.own(keys), own_values = chunks.own(values);
    auto base = k.var<u32>(k.mad_lo(warp, step, begin));
    k.loop([&](Loop& loop) {
        loop.break_if(base >= end); // the same in all lanes of a warp
        const Val<u32> position = base + group;
        std::vector<Pred> exists;
        std::vector<Val<global_ptr<const T>>> value_rows;
        std::vector<Accumulators> scores;
        // Positions beyond the end read the last one instead and get no weight.
        for (std::uint32_t u = 0; u < plan.unroll; u++) {
            const auto wanted = position + u * groups;
            exists.push_back(wanted < end);
            const Val<u32> at = k.min(wanted, last);
            const auto key_row = row(k, own_keys, at, head_dim);
            value_rows.push_back(row(k, own_values, at, head_dim));
            Accumulators sums;
            for (std::uint32_t h = 0; h < plan.heads; h++) sums.push_back(k.var<f32>());
            for (std::uint32_t c = 0; c < plan.chunks; c++) {
                const Values key = load(k, chunks.chunk(key_row, c), plan.vector);
                for (std::uint32_t h = 0; h < plan.heads; h++)
                    for (std::uint32_t e = 0; e < plan.vector; e++) {
                        const auto& factor = query[h][c * plan.vector + e];
                        if (c + e == 0)
                            sums[h] = factor * key[e];
                        else
                            sums[h] = k.fma(factor, key[e], sums[h]);
                    }
            }
            scores.push_back(std::move(sums));
        }
        for (std::uint32_t h = 0; h < plan.heads; h++) {
            auto top = k.var<f32>();
            for (std::uint32_t u = 0; u < plan.unroll; u++) {
                const auto sum = lanes_sum(k, scores[u][h], 1, lanes);
                scores[u][h] = k.selp(sum, k.imm<f32>(-std::numeric_limits<float>::infinity()), exists[u]);
                if (u == 0)
                    top = k.max(part.m[h], scores[u][h]);
                else
                    top = k.max(top, scores[u][h]);
            }
            rescale(k, part, h, top);
            for (std::uint32_t u = 0; u < plan.unroll; u++) {
                scores[u][h] = k.ex2(scores[u][h] - top, approx);
                part.l[h] += scores[u][h];
            }
        }
        for (std::uint32_t u = 0; u < plan.unroll; u++)
            for (std::uint32_t c = 0; c < plan.chunks; c++) {
                const Values value = load(k, chunks.chunk(value_rows[u], c), plan.vector);
                for (std::uint32_t h = 0; h < plan.heads; h++)
                    for (std::uint32_t e = 0; e < plan.vector; e++) {
                        auto& o = part.o[h][c * plan.vector + e];
                        o = k.fma(scores[u][h], value[e], o);
                    }
            }
        base += step * plan.warps;
    });
    k.comment("the lane groups of the warp together");
    if (groups > 1)
        for (std::uint32_t h = 0; h < plan.heads; h++) {
            rescale(k, part, h, lanes_max(k, part.m[h], lanes, 32));
            part.l[h] = lanes_sum(k, part.l[h], lanes, 32);
            for (auto& o : part.o[h]) o = lanes_sum(k, o, lanes, 32);
        }
    return part;
}

void emit_store_attention_part(KernelBuilder& k, const AttentionConfig& config, const AttentionPlan& plan,
                               const AttentionPart& part, const Val<shared_ptr<f32>>& m, const Val<shared_ptr<f32>>& l,
                               const Val<shared_ptr<f32>>& o, const Val<u32>& warp, const Val<u32>& lane) {
    const std::uint32_t head_dim = config.cache.head_dim;
    k.if_(lane < plan.lanes, [&] {
        const LaneChunks chunks(k, plan, head_dim, lane);
        const Val<u32> slot = warp * plan.heads;
        const auto own_o = chunks.own(o + slot * head_dim);
        for (std::uint32_t h = 0; h < plan.heads; h++) {
            const auto store_chunk = [&](std::uint32_t c) {
                Values values_of_chunk;
                for (std::uint32_t e = 0; e < plan.vector; e++)
                    values_of_chunk.push_back(part.o[h][c * plan.vector + e]);
                store(k, chunks.chunk(own_o + h * head_dim, c), values_of_chunk);
            };
            for (std::uint32_t c = 0; c < plan.chunks; c++) {
                if (chunks.ragged(c))
                    k.if_(chunks.has_last(), [&] { store_chunk(c); });
                else
                    store_chunk(c);
            }
            // All lanes of the group hold the same m and l.
            k.st(m + slot + h, part.m[h]);
            k.st(l + slot + h, part.l[h]);
        }
    });
}

namespace {

/// The positions [begin, end) of one CTA of `splits` that work on a token and tile.
struct PositionShare {
    Val<u32> begin, end, splits;
};

/// CTAs beyond those that are needed end here.
PositionShare share_of_cta(KernelBuilder& k, const AttentionConfig& config, const Val<u32>& begin,
                           const Val<u32>& end) {
    if (config.splits == 1) return {begin, end, k.imm<u32>(1)};
    const auto count = end - begin;
    const auto wanted = quotient(count + (config.split_positions - 1), config.split_positions);
    const auto splits = k.min(wanted, k.imm<u32>(config.splits));
    const Val<u32> split = k.ctaid.z;
    k.ret_if(split >= splits);
    // Never empty: splits <= split_positions, so splits · (splits − 1) < count.
    const auto rounded_up = count + splits - 1;
    const auto length = rounded_up / splits;
    const auto from = k.mad_lo(split, length, begin);
    const auto to = k.min(from + length, end);
    return {from, to, splits};
}

template <value_type T>
void emit_attention_kernel(KernelBuilder& k, const AttentionConfig& config, const AttentionPlan& plan) {
    const std::uint32_t head_dim = config.cache.head_dim, width = config.heads * head_dim;
    const auto q =
        k.param<global_ptr<const f32>>("q", "f32 [tokens][heads][head_dim]", row_alignment(config.cache.head_dim));
    const auto k_cache = k.param<global_ptr<const T>>("k_cache", "[kv_heads][capacity][head_dim]",
                                                      row_alignment(config.cache.head_dim, byte_size(T::type)));
    const auto v_cache = k.param<global_ptr<const T>>("v_cache", "[kv_heads][capacity][head_dim]",
                                                      row_alignment(config.cache.head_dim, byte_size(T::type)));
    const auto out =
        k.param<global_ptr<f32>>("out", "f32 [tokens][heads][head_dim]", row_alignment(config.cache.head_dim));
    const auto position = k.param<global_ptr<const u32>>("position", "u32 [1]: position of the first token");
    std::optional<Val<global_ptr<f32>>> parts;
    std::optional<Val<global_ptr<u32>>> arrivals;
    if (config.splits > 1) {
        parts.emplace(k.param<global_ptr<f32>>("parts", "f32, scratch"));
        arrivals.emplace(k.param<global_ptr<u32>>("arrivals", "u32, zero"));
    }
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(32 * plan.warps);
    const auto m_parts = k.shared<f32>("m_parts", plan.warps * plan.heads);
    const auto l_parts = k.shared<f32>("l_parts", plan.warps * plan.heads);
    const auto o_parts = k.shared<f32>("o_parts", plan.warps * plan.heads * head_dim, align(16));
    std::optional<Val<shared_ptr<u32>>> arrived;
    if (config.splits > 1) arrived.emplace(k.shared<u32>("arrived", 1));
    k.ret_if(k.ctaid.x >= tokens);

    const Val<u32> token = k.ctaid.x, tile = k.ctaid.y, thread = k.tid.x;
    const Val<u32> all_end = k.ld(position) + token + 1;
    const auto all_begin = [&]() -> Val<u32> {
        if (config.window == 0) return k.imm<u32>(0);
        return k.max(all_end, k.imm<u32>(config.window)) - config.window;
    }();
    const PositionShare share = share_of_cta(k, config, all_begin, all_end);
    const Val<u32>& begin = share.begin;
    const Val<u32>& end = share.end;
    const Val<u32>& splits = share.splits;
    const std::uint32_t tiles_of_kv_head = plan.tiles / config.cache.kv_heads;
    const Val<u32> kv_row = quotient(tile, tiles_of_kv_head) * config.cache.capacity;
    const auto keys = row(k, k_cache, kv_row, head_dim), values = row(k, v_cache, kv_row, head_dim);
    const Val<u32> first_head = tile * plan.heads;
    const auto q_row = row(k, row(k, q, token, width), first_head, head_dim);
    const auto out_row = row(k, row(k, out, token, width), first_head, head_dim);

    const Val<u32> warp = thread >> 5, lane = thread & 31;
    // Warps without a position stay out; the first one always has one.
    const std::uint32_t step = plan.positions_of_warp();
    const Val<u32> active = k.min(quotient(end - begin + (step - 1), step), k.imm<u32>(plan.warps));
    k.if_(warp < active, [&] {
        const AttentionPart part = emit_attention_part<T>(k, config, plan, q_row, keys, values, begin, end, warp, lane);
        emit_store_attention_part(k, config, plan, part, m_parts, l_parts, o_parts, warp, lane);
    });
    k.bar_sync(0);
    const std::uint32_t elements = plan.heads * head_dim;
    const auto merged_element = [&](const Val<u32>& i, const Val<u32>& head) {
        const auto m = m_parts + head;
        const auto l = l_parts + head;
        const auto o = o_parts + i;
        return emit_attention_merge(k, m, l, o, plan.heads, elements, active);
    };
    const auto write_out = [&] {
        k.for_<u32>(thread, elements, 32 * plan.warps, [&](Var<u32>& i) {
            const Val<u32> head = quotient(i, head_dim);
            const MergedPart merged = merged_element(i, head);
            const auto whole = k.div(merged.o, merged.l);
            k.st(out_row + i, whole);
        });
    };
    if (config.splits == 1) {
        write_out();
        return;
    }
    k.comment("one CTA: its result is the whole");
    k.if_(splits == 1, [&] {
        write_out();
        k.ret();
    });
    k.comment("this CTA's part");
    const std::uint32_t part_floats = elements + 2 * plan.heads;
    const auto cell = k.mad_lo(token, plan.tiles, tile);
    const auto first_part = row(k, row(k, *parts, cell, config.splits * part_floats), k.imm<u32>(0), part_floats);
    const auto part = row(k, first_part, k.ctaid.z, part_floats);
    k.for_<u32>(thread, elements, 32 * plan.warps, [&](Var<u32>& i) {
        const Val<u32> head = quotient(i, head_dim);
        const MergedPart merged = merged_element(i, head);
        k.st(part + i, merged.o);
        k.if_(remainder(i, head_dim) == 0, [&] {
            const auto scalars = part + elements + head;
            k.st(scalars, merged.m);
            k.st(scalars + plan.heads, merged.l);
        });
    });
    k.bar_sync(0);
    const auto last = splits - 1;
    k.if_(thread == 0, [&] {
        // Counts to `last`, then starts again at zero for the next launch.
        const auto before = k.atom_inc(*arrivals + cell, last, acq_rel, gpu);
        k.st(*arrived, before);
    });
    k.bar_sync(0);
    k.ret_if(k.ld(*arrived) != last);
    k.comment("the last one to arrive puts all parts together");
    k.for_<u32>(thread, elements, 32 * plan.warps, [&](Var<u32>& i) {
        const auto m = first_part + elements + quotient(i, head_dim);
        const auto o = first_part + i;
        const auto whole = emit_attention_combine(k, m, m + plan.heads, o, part_floats, part_floats, splits);
        k.st(out_row + i, whole);
    });
}

} // namespace

#define PTXGEN_ATTENTION_PART(T, Q)                                                                                    \
    template AttentionPart emit_attention_part<T>(                                                                     \
        KernelBuilder&, const AttentionConfig&, const AttentionPlan&, const Val<Q>&, const Val<global_ptr<const T>>&,  \
        const Val<global_ptr<const T>>&, const Val<u32>&, const Val<u32>&, const Val<u32>&, const Val<u32>&);
PTXGEN_ATTENTION_PART(f32, global_ptr<const f32>)
PTXGEN_ATTENTION_PART(f16, global_ptr<const f32>)
PTXGEN_ATTENTION_PART(f32, shared_ptr<f32>)
PTXGEN_ATTENTION_PART(f16, shared_ptr<f32>)
#undef PTXGEN_ATTENTION_PART

Result<Generated> attention(const AttentionConfig& config, std::optional<Target> target,
                            std::optional<PtxVersion> version) {
    if (auto ok = check_range("heads", config.heads, 1, 1u << 12); !ok) return ok.error();
    if (auto ok = check_range("kv-heads", config.cache.kv_heads, 1, config.heads); !ok) return ok.error();
    if (config.heads % config.cache.kv_heads != 0)
        return Error{fmt::format("heads must be a multiple of kv-heads, but {} is none of {}", config.heads,
                                 config.cache.kv_heads)};
    if (auto ok = check_range("head-dim", config.cache.head_dim, 1, 256); !ok) return ok.error();
    if (auto ok = check_range("capacity", config.cache.capacity, 1, 1u << 20); !ok) return ok.error();
    if (auto ok = check_range("warps", config.warps, 1, 16); !ok) return ok.error();
    if (auto ok = check_range("splits", config.splits, 1, 256); !ok) return ok.error();
    if (auto ok = check_range("split-positions", config.split_positions, config.splits, 1u << 20); !ok)
        return ok.error();
    const AttentionPlan plan = plan_attention(config);
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("attention");
    if (config.cache.type == CacheType::f32)
        emit_attention_kernel<f32>(k, config, plan);
    else
        emit_attention_kernel<f16>(k, config, plan);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.grid_y = fmt::format("{}", plan.tiles);
    launch.grid_z = fmt::format("{}", config.splits);
    launch.block_x = 32 * plan.warps;
    return finish(std::move(module), launch);
}

AttentionScratch attention_scratch(const AttentionConfig& config, std::uint32_t tokens) {
    if (config.splits == 1) return {0, 0};
    const AttentionPlan plan = plan_attention(config);
    const std::uint64_t cells = std::uint64_t{tokens} * plan.tiles;
    return {cells * config.splits * plan.heads * (config.cache.head_dim + 2), cells};
}

Grid attention_grid(const AttentionConfig& config, std::uint32_t tokens) {
    return {tokens, plan_attention(config).tiles, config.splits};
}

} // namespace ptxgen::kernels
