#include "kernels/attention/decode_attention.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/reduce.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t max_splits = 32; ///< one for each lane of a warp
/// What a lane holds of a query and of an output without tensor cores, and of rows in flight.
constexpr std::uint32_t general_lane_elements = 8, general_in_flight = 32;

void plan_general(DecodeAttentionPlan& plan) {
    const std::uint32_t dim = plan.config.cache.head_dim;
    AttentionConfig& general = plan.general;
    general.cache = plan.config.cache;
    general.heads = plan.config.heads;
    general.scale = plan.config.scale;
    general.lane_elements = general_lane_elements;
    general.warps = decode_warps;
    AttentionPlan& lanes = plan.general_plan;
    lanes.vector = vector_width(dim);
    lanes.lanes = 4;
    while (lanes.lanes < 32 && lanes.lanes * general_lane_elements < dim) lanes.lanes *= 2;
    lanes.chunks = ceil_div(dim / lanes.vector, lanes.lanes);
    lanes.heads = 1;
    lanes.tiles = plan.config.heads;
    lanes.unroll = std::clamp(general_in_flight / lanes.elements_of_lane(), 1u, 4u);
    lanes.warps = decode_warps;
    plan.warp_positions = lanes.positions_of_warp();
}

} // namespace

DecodeAttentionConfig decode_attention_config(const ModelShape& model, const KvCacheShape& cache, std::uint32_t ctas,
                                              bool mma) {
    DecodeAttentionConfig config;
    config.cache = cache;
    config.heads = model.heads;
    config.scale = model.query_scale;
    config.ctas = ctas;
    config.mma = mma;
    return config;
}

DecodeAttentionPlan plan_decode_attention(const DecodeAttentionConfig& config) {
    DecodeAttentionPlan plan;
    plan.config = config;
    const KvCacheShape& cache = config.cache;
    // Rows in whole 64-byte pieces; a lane's elements of larger heads would not fit its registers.
    plan.mma = config.mma && cache.type == CacheType::f16 && cache.head_dim % 32 == 0 && cache.head_dim <= 128;
    const std::uint32_t group = plan.group();
    if (plan.mma) {
        plan.max_heads = ceil_div(group, ceil_div(group, 4)); // two columns of eight a head
        plan.warp_positions = cache.head_dim <= 64 ? 16 : 8;
    } else {
        plan_general(plan);
    }
    plan.tiles_of_key = ceil_div(group, plan.max_heads);
    plan.splits = std::max(1u, std::min({config.ctas / plan.tiles(), max_splits, config.split_positions}));
    return plan;
}

Val<u32> emit_decode_items(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<u32>& begin,
                           const Val<u32>& end) {
    const auto heads = k.imm<u32>(plan.config.heads);
    if (plan.splits == 1) return heads;
    const auto count = end - begin;
    return k.selp(k.imm<u32>(plan.tiles() * plan.splits), heads, count > plan.config.split_positions);
}

DecodeItem emit_decode_item(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<u32>& item,
                            const Val<u32>& begin, const Val<u32>& end) {
    const Val<u32> own_key = quotient(item, plan.group());
    const auto one = k.imm<u32>(1), none = k.imm<u32>(0);
    if (plan.splits == 1) return {item, one, own_key, begin, end, none, none, {}};
    const auto count = end - begin;
    const Pred is_share = count > plan.config.split_positions;
    const Val<u32> tile = remainder(item, plan.tiles());
    const Val<u32> split = quotient(item, plan.tiles());
    const Val<u32> key = quotient(tile, plan.tiles_of_key);
    const Val<u32> first_in_key = remainder(tile, plan.tiles_of_key) * plan.max_heads;
    const auto first = k.mad_lo(key, plan.group(), first_in_key);
    const auto rest = k.sub(k.imm<u32>(plan.group()), first_in_key);
    const auto heads = k.min(rest, k.imm<u32>(plan.max_heads));
    // Never empty: there are more positions than splits.
    const auto before = count * split;
    const Val<u32> from = quotient(before, plan.splits);
    const auto with = before + count;
    const Val<u32> to = quotient(with, plan.splits);
    const auto own_begin = begin + from;
    const auto own_end = begin + to;
    const auto first_head = k.selp(first, item, is_share);
    const auto own_heads = k.selp(heads, one, is_share);
    const auto kv_head = k.selp(key, own_key, is_share);
    const auto share_begin = k.selp(own_begin, begin, is_share);
    const auto share_end = k.selp(own_end, end, is_share);
    return {first_head, own_heads, kv_head, share_begin, share_end, tile, split, is_share};
}

namespace {

/// The parts in shared memory.
struct PartsAt {
    Val<shared_ptr<f32>> m, l, o;

    PartsAt(const DecodeAttentionPlan& plan, const Val<shared_ptr<u8>>& parts)
        : m(parts.as<shared_ptr<f32>>()), l(m + decode_warps * plan.max_heads),
          o((parts + plan.sums_offset()).as<shared_ptr<f32>>()) {}
};

} // namespace

template <value_type T, pointer_type Q>
void emit_decode_general(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<Q>& q,
                         const Val<global_ptr<const T>>& keys, const Val<global_ptr<const T>>& values,
                         const Val<u32>& begin, const Val<u32>& end, const Val<shared_ptr<u8>>& parts,
                         const Val<u32>& warp, const Val<u32>& lane) {
    const PartsAt at(plan, parts);
    const std::uint32_t dim = plan.config.cache.head_dim;
    const auto first = k.mad_lo(warp, plan.warp_positions, begin);
    k.if_(
        first < end,
        [&] {
            const AttentionPart part =
                emit_attention_part<T>(k, plan.general, plan.general_plan, q, keys, values, begin, end, warp, lane);
            emit_store_attention_part(k, plan.general, plan.general_plan, part, at.m, at.l, at.o, warp, lane);
        },
        [&] {
            k.comment("no position: nothing, without weight");
            k.st(at.m + warp, k.imm<f32>(lowest_score));
            k.st(at.l + warp, k.imm<f32>(0.f));
            const auto own = at.o + warp * dim;
            k.for_<u32>(lane, dim, 32, [&](Var<u32>& i) { k.st(own + i, k.imm<f32>(0.f)); });
        });
}

#define PTXGEN_DECODE_GENERAL(T, Q)                                                                                    \
    template void emit_decode_general<T>(KernelBuilder&, const DecodeAttentionPlan&, const Val<Q>&,                    \
                                         const Val<global_ptr<const T>>&, const Val<global_ptr<const T>>&,             \
                                         const Val<u32>&, const Val<u32>&, const Val<shared_ptr<u8>>&,                 \
                                         const Val<u32>&, const Val<u32>&);
PTXGEN_DECODE_GENERAL(f32, global_ptr<const f32>)
PTXGEN_DECODE_GENERAL(f16, global_ptr<const f32>)
PTXGEN_DECODE_GENERAL(f32, shared_ptr<f32>)
PTXGEN_DECODE_GENERAL(f16, shared_ptr<f32>)
#undef PTXGEN_DECODE_GENERAL

void emit_decode_elements(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<shared_ptr<u8>>& parts,
                          const Val<u32>& heads, const Val<u32>& warp, const Val<u32>& lane,
                          const std::function<void(const DecodeElement&)>& body) {
    const PartsAt at(plan, parts);
    const std::uint32_t dim = plan.config.cache.head_dim, row = plan.row_stride();
    const auto elements = heads * dim;
    const auto last = elements - 1;
    const auto first = warp << 5;
    k.for_<u32>(first, elements, decode_threads, [&](Var<u32>& base) {
        const auto index = base + lane;
        // All lanes of a warp have one head: several heads are multiples of 32.
        const Val<u32> head = plan.max_heads == 1 ? k.imm<u32>(0) : quotient(base, dim);
        const Val<u32> readable = k.min(index, last);
        const auto part = lane & (decode_warps - 1);
        const auto scalar = k.mad_lo(part, plan.max_heads, head);
        const auto m = k.ld(at.m + scalar);
        const auto l = k.ld(at.l + scalar);
        const Val<f32> top = lanes_max(k, m, 1, decode_warps);
        const auto from_top = m - top;
        const Val<f32> factor = k.ex2(from_top, approx);
        const auto weighed = l * factor;
        const Val<f32> norm = lanes_sum(k, weighed, 1, decode_warps);
        const Val<f32> inverse = k.div(k.imm<f32>(1.f), norm);
        // Rows of a head are dim elements apart in the index, row_stride() in memory.
        const auto own = at.o + k.mad_lo(head, row - dim, readable);
        auto sum = k.var<f32>(0.f);
        for (std::uint32_t w = 0; w < decode_warps; w++) {
            const auto of_warp = k.shfl_sync_idx(factor, w, 31, 0xffffffffu);
            const auto x = k.ld(own + w * plan.max_heads * row);
            sum = k.fma(x, of_warp, sum);
        }
        const Val<f32> value = sum * inverse;
        body({index, head, index < elements, value, [&]() -> Val<f32> {
                  const auto log = k.lg2(norm, approx);
                  return log + top;
              }});
    });
}

std::uint32_t decode_combine_lanes(const DecodeAttentionPlan& plan) { return std::bit_ceil(plan.splits); }

Val<f32> emit_decode_combine(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<f32>& weight,
                             const Val<f32>& value) {
    const std::uint32_t lanes = decode_combine_lanes(plan);
    const Val<f32> top = lanes_max(k, weight, 1, lanes);
    const auto from_top = weight - top;
    const Val<f32> factor = k.ex2(from_top, approx);
    const Val<f32> norm = lanes_sum(k, factor, 1, lanes);
    const auto weighed = value * factor;
    const Val<f32> sum = lanes_sum(k, weighed, 1, lanes);
    return k.div(sum, norm);
}

namespace {

template <value_type T>
void emit_kernel(KernelBuilder& k, const DecodeAttentionPlan& plan, std::uint32_t window) {
    const DecodeAttentionConfig& config = plan.config;
    const KvCacheShape& cache = config.cache;
    const std::uint32_t dim = cache.head_dim, width = config.heads * dim;
    const Alignment row_bytes = plan.mma ? align(16) : row_alignment(dim, byte_size(T::type));
    const auto q = k.param<global_ptr<const f32>>("q", "f32 [tokens][heads][head_dim]", row_alignment(dim));
    const auto k_cache = k.param<global_ptr<const T>>("k_cache", "[kv_heads][capacity][head_dim]", row_bytes);
    const auto v_cache = k.param<global_ptr<const T>>("v_cache", "[kv_heads][capacity][head_dim]", row_bytes);
    const auto out = k.param<global_ptr<f32>>("out", "f32 [tokens][heads][head_dim]", row_alignment(dim));
    const auto position = k.param<global_ptr<const u32>>("position", "u32 [1]: position of the first token");
    std::optional<Val<global_ptr<f32>>> scratch;
    std::optional<Val<global_ptr<u32>>> arrivals;
    if (plan.splits > 1) {
        scratch.emplace(k.param<global_ptr<f32>>("parts", "f32, scratch"));
        arrivals.emplace(k.param<global_ptr<u32>>("arrivals", "u32, zero"));
    }
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(decode_threads);
    const auto parts = k.shared<u8>("parts_of_warps", plan.parts_bytes(), align(16));
    std::optional<Val<shared_ptr<u8>>> columns;
    if (plan.mma) columns.emplace(k.shared<u8>("columns", plan.columns_bytes(), align(16)));
    std::optional<Val<shared_ptr<u32>>> arrived;
    if (plan.splits > 1) arrived.emplace(k.shared<u32>("arrived", 1));
    k.ret_if(k.ctaid.x >= tokens);

    const Val<u32> token = k.ctaid.x, thread = k.tid.x;
    const Val<u32> lane = thread & 31, warp = thread >> 5;
    const Val<u32> number = k.ctaid.y;
    const Val<u32> all_end = k.ld(position) + token + 1;
    const auto all_begin = [&]() -> Val<u32> {
        if (window == 0) return k.imm<u32>(0);
        return k.max(all_end, k.imm<u32>(window)) - window;
    }();
    const Val<u32> items = emit_decode_items(k, plan, all_begin, all_end);
    k.ret_if(number >= items);
    const DecodeItem item = emit_decode_item(k, plan, number, all_begin, all_end);
    const auto q_row = row(k, row(k, q, token, width), item.first_head, dim);
    const Val<u32> kv_row = item.kv_head * cache.capacity;
    const auto keys = row(k, k_cache, kv_row, dim);
    const auto values = row(k, v_cache, kv_row, dim);
    if (plan.mma) {
        DecodeWarp part(
            k, plan, [&] { return keys.template as<global_ptr<const u8>>(); },
            [&] { return values.template as<global_ptr<const u8>>(); }, std::nullopt, item.begin, item.end, warp, lane);
        part.request();
        k.if_(warp < item.heads, [&] { emit_query_columns(k, plan, row(k, q_row, warp, dim), *columns, warp, lane); });
        k.bar_sync(0);
        part.attend(
            *columns, [&] { return item.heads; }, parts);
    } else {
        emit_decode_general<T>(k, plan, q_row, keys, values, item.begin, item.end, parts, warp, lane);
    }
    k.bar_sync(0);

    const auto out_row = row(k, row(k, out, token, width), item.first_head, dim);
    if (plan.splits == 1) {
        emit_decode_elements(k, plan, parts, item.heads, warp, lane, [&](const DecodeElement& element) {
            const auto target = out_row + element.index;
            k.predicated(element.exists, [&] { k.st(target, element.value); });
        });
        return;
    }
    const auto cell = k.mad_lo(token, plan.tiles(), item.tile);
    const auto first_part = row(k, *scratch, cell * plan.splits, plan.part_size());
    const auto own_part = row(k, first_part, item.split, plan.part_size());
    const std::uint32_t weights = plan.max_heads * dim;
    const auto target =
        k.selp(own_part.template as<u64>(), out_row.template as<u64>(), *item.is_share).template as<global_ptr<f32>>();
    emit_decode_elements(k, plan, parts, item.heads, warp, lane, [&](const DecodeElement& element) {
        const auto of_element = target + element.index;
        k.predicated(element.exists, [&] { k.st(of_element, element.value); });
        const auto weight = element.weight();
        const auto in_head = element.index - element.head * dim;
        const auto is_first = in_head == 0;
        const auto of_head = own_part + (element.head + weights);
        k.predicated(is_first & *item.is_share, [&] { k.st(of_head, weight); });
    });
    k.ret_if(!*item.is_share);
    k.bar_sync(0);
    k.if_(thread == 0, [&] {
        // Counts to the last one, then starts again at zero for the next launch.
        const auto before = k.atom_inc(*arrivals + cell, k.imm<u32>(plan.splits - 1), acq_rel, gpu);
        k.st(*arrived, before);
    });
    k.bar_sync(0);
    k.ret_if(k.ld(*arrived) != plan.splits - 1);
    k.comment("the last one to arrive puts all shares together");
    const std::uint32_t lanes = decode_combine_lanes(plan), at_once = 32 / lanes;
    const auto share = lane & (lanes - 1);
    const auto of_share = row(k, first_part, share, plan.part_size());
    const auto elements = item.heads * dim;
    k.for_<u32>(warp * at_once, elements, decode_warps * at_once, [&](Var<u32>& base) {
        const auto element = base + quotient(lane, lanes);
        const auto exists = element < elements;
        const auto has = exists & (share < plan.splits);
        auto value = k.var<f32>(0.f);
        auto weight = k.var<f32>(lowest_score);
        const auto value_at = of_share + element;
        const auto weight_at = of_share + (quotient(element, dim) + weights);
        k.predicated(has, [&] {
            value = k.ld(value_at);
            weight = k.ld(weight_at);
        });
        const Val<f32> own_weight = weight;
        const Val<f32> own_value = value;
        const auto whole = emit_decode_combine(k, plan, own_weight, own_value);
        const auto to = out_row + element;
        k.predicated(exists & (share == 0), [&] { k.st(to, whole); });
    });
}

} // namespace

Result<Generated> decode_attention(const DecodeAttentionConfig& config, std::uint32_t window,
                                   std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("heads", config.heads, 1, 1u << 12); !ok) return ok.error();
    if (auto ok = check_range("kv-heads", config.cache.kv_heads, 1, config.heads); !ok) return ok.error();
    if (config.heads % config.cache.kv_heads != 0)
        return Error{fmt::format("heads must be a multiple of kv-heads, but {} is none of {}", config.heads,
                                 config.cache.kv_heads)};
    if (auto ok = check_range("head-dim", config.cache.head_dim, 1, 256); !ok) return ok.error();
    if (auto ok = check_range("capacity", config.cache.capacity, 1, 1u << 20); !ok) return ok.error();
    if (auto ok = check_range("ctas", config.ctas, 1, 4096); !ok) return ok.error();
    if (auto ok = check_range("split-positions", config.split_positions, 2, 1u << 20); !ok) return ok.error();
    DecodeAttentionPlan plan = plan_decode_attention(config);
    plan.movmatrix = has_movmatrix(version);
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("decode_attention");
    if (config.cache.type == CacheType::f32)
        emit_kernel<f32>(k, plan, window);
    else
        emit_kernel<f16>(k, plan, window);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.grid_y = fmt::format("{}", plan.items());
    launch.block_x = decode_threads;
    return finish(std::move(module), launch);
}

AttentionScratch decode_attention_scratch(const DecodeAttentionConfig& config, std::uint32_t tokens) {
    const DecodeAttentionPlan plan = plan_decode_attention(config);
    if (plan.splits == 1) return {0, 0};
    const std::uint64_t cells = std::uint64_t{tokens} * plan.tiles();
    return {cells * plan.splits * plan.part_size(), cells};
}

Grid decode_attention_grid(const DecodeAttentionConfig& config, std::uint32_t tokens) {
    return {tokens, plan_decode_attention(config).items(), 1};
}

} // namespace ptxgen::kernels
