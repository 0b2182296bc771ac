#include "kernels/decoder/plan.hpp"

#include "kernels/decoder/edge.hpp"
#include "kernels/ring/segment.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <numeric>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t consumer_threads = 32 * ring_warps;

Status check(const DecoderConfig& config) {
    const ModelShape& s = config.shape;
    if (auto ok = check_range("ctas", config.ctas, 1, 4096); !ok) return ok;
    if (auto ok = check_range("context", config.context, 1, 1u << 20); !ok) return ok;
    if (auto ok = check_range("split-positions", config.split_positions, 16, 1u << 20); !ok) return ok;
    if (config.stage_units != 0 && (!std::has_single_bit(config.stage_units) || config.stage_units > ring_warps))
        return Error{fmt::format("stage-units must be 1, 2, 4, 8 or 16, not {}", config.stage_units)};
    if (auto ok = check_range("stages in flight", config.busy_stages, 0, 64); !ok) return ok;
    if (auto ok = check_range("stages in flight while waiting", config.waiting_stages, 1, 64); !ok) return ok;
    if (auto ok = check_range("heads for a key head", s.heads / s.kv_heads, 1, 64); !ok) return ok;
    if (auto ok = check_range("head_dim", s.head_dim, 1, 256); !ok) return ok;
    const std::pair<const char*, std::uint32_t> sizes[] = {
        {"embedding length", s.hidden}, {"length of all query heads", s.q_dim()}, {"feed-forward length", s.ffn}};
    for (const auto& [name, value] : sizes)
        if (value % 32 != 0)
            return Error{
                fmt::format("the persistent decoder needs a model whose {} is a multiple of 32, this one's is {}; the "
                            "graph engine runs it",
                            name, value)};
    if (s.layer_types.size() != s.layers || config.weights.layers.size() != s.layers)
        return Error{fmt::format("the decoder's description has {} layers, types of {} and places of {}", s.layers,
                                 s.layer_types.size(), config.weights.layers.size())};
    return {};
}

void find_kinds(const DecoderConfig& config, DecoderPlan& plan) {
    const WeightLayout& weights = config.weights;
    const auto same = [](const LayerKind& a, const LayerKind& b) {
        const auto types = [](const LayerTypes& t) {
            return std::array{t.attn_q, t.attn_k, t.attn_v, t.attn_output, t.ffn_gate, t.ffn_up, t.ffn_down};
        };
        return types(a.types) == types(b.types) && a.sliding == b.sliding && a.offsets == b.offsets &&
               a.stride == b.stride;
    };
    const auto start = [&](std::uint32_t l) { return weights.at(l, LayerTensor::attn_norm); };
    const std::uint32_t layers = config.shape.layers;
    for (std::uint32_t l = 0; l < layers; l++) {
        LayerKind kind;
        kind.types = config.shape.layer_types[l];
        kind.sliding = config.shape.is_sliding(l);
        for (std::size_t t = 0; t < layer_tensor_count; t++)
            kind.offsets[t] = has(config.shape, static_cast<LayerTensor>(t)) ? weights.layers[l][t] - start(l) : 0;
        // Nothing follows the last layer: it joins those of its kind.
        kind.stride = l + 1 < layers ? start(l + 1) - start(l) : 0;
        std::uint32_t index = 0;
        for (; index < plan.kinds.size(); index++) {
            if (l + 1 == layers) kind.stride = plan.kinds[index].stride;
            if (same(plan.kinds[index], kind)) break;
        }
        if (index == plan.kinds.size()) plan.kinds.push_back(kind);
        plan.kind_of.push_back(index);
    }
}

/// The op's segments for layers of one kind: neighbours of one type that lie behind each other in the ring format are
/// one.
std::vector<DecoderSegment> segments_of(const DecoderConfig& config, const LayerKind& kind, std::uint32_t layer,
                                        std::span<const LayerTensor> tensors, bool paired) {
    std::vector<DecoderSegment> segments;
    std::uint64_t end = 0;
    for (const LayerTensor tensor : tensors) {
        const TensorSize size = size_of(config.shape, layer, tensor);
        DecoderSegment segment;
        segment.tensors = {tensor};
        segment.type = size.type;
        segment.packed = is_packed(config.weights, size.type);
        segment.rows = size.rows;
        segment.tiles = ceil_div(size.rows, ring_tile_rows);
        const std::uint64_t at = kind.offsets[static_cast<std::size_t>(tensor)];
        if (!segments.empty()) {
            auto& last = segments.back();
            if (!paired) segment.first_tile = last.first_tile + last.tiles;
            if (!paired && !config.shape.qkv_bias && segment.packed && last.packed && last.type == size.type &&
                last.rows % ring_tile_rows == 0 && at == end) {
                last.tensors.push_back(tensor);
                last.rows += segment.rows;
                last.tiles += segment.tiles;
                end = at + ring_bytes(size.type, size.rows, size.cols);
                continue;
            }
        }
        end = segment.packed ? at + ring_bytes(size.type, size.rows, size.cols) : 0;
        segments.push_back(std::move(segment));
    }
    return segments;
}

bool same_segments(const std::vector<DecoderSegment>& a, const std::vector<DecoderSegment>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.tensors == y.tensors && x.type == y.type && x.rows == y.rows;
    });
}

void plan_op(const DecoderConfig& config, DecoderPlan& plan, OpName name, std::uint32_t cols,
             std::span<const LayerTensor> tensors, bool paired) {
    DecoderOp& op = plan.ops[static_cast<std::size_t>(name)];
    op.cols = cols;
    op.paired = paired;
    for (std::uint32_t kind = 0; kind < plan.kinds.size(); kind++) {
        const auto layer = static_cast<std::uint32_t>(std::find(plan.kind_of.begin(), plan.kind_of.end(), kind) -
                                                      plan.kind_of.begin());
        auto segments = segments_of(config, plan.kinds[kind], layer, tensors, paired);
        std::uint32_t variant = 0;
        while (variant < op.variants.size() && !same_segments(op.variants[variant], segments)) variant++;
        if (variant == op.variants.size()) op.variants.push_back(std::move(segments));
        op.variant_of_kind.push_back(variant);
    }
    const auto& last = op.variants[0].back();
    op.tiles = last.first_tile + last.tiles;
}

void plan_output(const DecoderConfig& config, DecoderPlan& plan) {
    const ModelShape& s = config.shape;
    DecoderOp& op = plan.ops[static_cast<std::size_t>(OpName::output)];
    op.cols = s.hidden;
    DecoderSegment segment;
    segment.type = s.output_type;
    segment.packed = is_packed(config.weights, s.output_type);
    segment.rows = s.vocab;
    segment.tiles = ceil_div(s.vocab, ring_tile_rows);
    op.tiles = segment.tiles;
    op.variants.push_back({segment});
}

/// Shares of tiles and how many of them, at most `pass_rows` rows, between two barriers.
void split_op(const DecoderConfig& config, DecoderOp& op, std::uint32_t pass_rows) {
    op.max_tiles = op.granule * ceil_div(op.granules(), config.ctas);
    // One thread sums a row; the partial sums of all rows have to fit.
    const std::uint32_t most = pass_rows / ring_tile_rows / (op.paired ? 2 : 1);
    op.pass_tiles = std::min(op.max_tiles, most);
    if (op.pass_tiles < op.max_tiles) {
        // Passes whose units fill whole rounds of the warps.
        const std::uint32_t granularity = ring_warps / std::gcd(ring_warps, op.super_blocks());
        if (granularity <= op.pass_tiles) op.pass_tiles -= op.pass_tiles % granularity;
    }
}

/// Rotates the CTAs' numbers in each op of a layer so that their bytes are about equal over the layer.
void balance(const DecoderConfig& config, DecoderPlan& plan) {
    std::vector<std::uint64_t> load(config.ctas, 0);
    for (std::size_t o = 0; o + 1 < op_count; o++) {
        DecoderOp& op = plan.ops[o];
        const std::uint64_t weight = std::uint64_t{op.cols} * (op.paired ? 2 : 1);
        const auto share = [&](std::uint32_t c) {
            return op.first_tile(c + 1, config.ctas) - op.first_tile(c, config.ctas);
        };
        std::uint64_t best = ~std::uint64_t{0};
        for (std::uint32_t rotation = 0; rotation < config.ctas; rotation += 1 + config.ctas / 64) {
            std::uint64_t worst = 0;
            for (std::uint32_t c = 0; c < config.ctas; c++) {
                const std::uint64_t sum = load[c] + weight * share((c + rotation) % config.ctas);
                worst = std::max(worst, sum);
            }
            if (worst < best) {
                best = worst;
                op.rotation = rotation;
            }
        }
        for (std::uint32_t c = 0; c < config.ctas; c++) load[c] += weight * share((c + op.rotation) % config.ctas);
    }
}

void plan_edges(const DecoderConfig& config, DecoderPlan& plan) {
    const ModelShape& s = config.shape;
    EdgePlan& e = plan.edges;
    e.blocks = config.wide_packets ? BlockPackets::triples : BlockPackets::words;
    const auto take = [&](std::uint32_t packets) {
        const std::uint32_t at = e.layer;
        e.layer += (packets + 15) / 16 * 16;
        return at;
    };
    const auto rows = [](std::uint32_t n) { return ceil_div(n, ring_tile_rows) * ring_tile_rows; };
    // The op's tiles one after the other, as they are published.
    e.q = take(rows(s.q_dim()));
    e.k = take(rows(s.kv_dim()));
    e.v = take(rows(s.kv_dim()));
    plan.attention_blocks = s.head_dim % block_values == 0;
    e.attention = take(plan.attention_blocks ? block_edge_size(s.q_dim() / block_values, e.blocks) : s.q_dim());
    e.attention_block = take(s.hidden);
    e.gated = take(block_edge_size(s.ffn / block_values, e.blocks));
    e.ffn_block = take(s.hidden);
    const DecodeAttentionPlan& attention = plan.attention;
    if (attention.splits > 1) e.part = take(attention.tiles() * attention.splits * attention.part_size());
    e.best = std::uint64_t{e.layer} * s.layers;
    e.total = e.best + 8ull * config.ctas;
}

void plan_attention_op(const DecoderConfig& config, DecoderPlan& plan) {
    const ModelShape& s = config.shape;
    const KvCacheShape cache{s.kv_heads, s.head_dim, config.context, config.cache};
    DecodeAttentionConfig attention = decode_attention_config(s, cache, config.ctas, config.mma);
    attention.split_positions = config.split_positions;
    plan.attention = plan_decode_attention(attention);
}

/// Small stages are there sooner; large ones cost less.
std::uint32_t stage_units(const DecoderConfig& config, const DecoderPlan& plan) {
    if (config.stage_units != 0) return config.stage_units;
    std::uint64_t units = 0;
    for (std::size_t o = 0; o + 1 < op_count; o++) {
        const DecoderOp& op = plan.ops[o];
        units += std::uint64_t{op.tiles} * op.super_blocks() * (op.paired ? 2 : 1);
    }
    const std::uint64_t of_op = units / (op_count - 1) / config.ctas;
    return of_op < ring_warps ? 4 : 8;
}

Status plan_shared(const DecoderConfig& config, DecoderPlan& plan) {
    const ModelShape& s = config.shape;
    SharedPlan& shared = plan.shared;
    const auto take = [&](std::uint64_t bytes) {
        const std::uint32_t at = shared.bytes;
        shared.bytes += static_cast<std::uint32_t>((bytes + 127) / 128 * 128);
        return at;
    };
    std::uint32_t records = 0, dequantised = 0;
    std::uint64_t partials = 0;
    for (const DecoderOp& op : plan.ops) {
        records = std::max(records, ring_activation_bytes(op.cols));
        if (op.any_general()) dequantised = std::max(dequantised, 4 * op.cols);
        RingSegment segment;
        segment.super_blocks = op.super_blocks();
        partials = std::max<std::uint64_t>(partials,
                                           std::uint64_t{op.pass_tiles} * (op.paired ? 2 : 1) * segment.tile_bytes());
    }
    shared.x = take(4ull * s.hidden);
    shared.records = take(records);
    shared.dequantised = take(dequantised);
    shared.partials = take(partials);
    const DecodeAttentionPlan& attention = plan.attention;
    shared.attention = shared.records;
    const std::uint32_t attention_end = shared.attention + attention.parts_bytes();
    if (attention_end > shared.bytes) take(attention_end - shared.bytes);
    const std::uint64_t rows = (attention.max_heads + 2ull) * (s.qk_norm ? 2 : 1);
    shared.heads = take(4 * rows * ((s.head_dim + 3) / 4 * 4));
    shared.columns = take(attention.columns_bytes());
    shared.fresh = take(attention.mma ? 4 * s.head_dim : 0);
    shared.item = take(32);
    shared.scratch = take(256);
    shared.ring = shared.bytes;
    const auto too_small = [&](std::uint64_t needed) {
        return Error{fmt::format("the decoder needs {} bytes of shared memory a CTA, {} are there", needed,
                                 config.shared_bytes)};
    };
    if (shared.bytes > config.shared_bytes) return too_small(shared.bytes);
    if (!config.ring) return {};
    std::vector<TensorType> types;
    for (const DecoderOp& op : plan.ops)
        for (const auto& variant : op.variants)
            for (const auto& segment : variant)
                if (segment.packed) types.push_back(segment.type);
    if (types.empty()) return {};
    for (std::uint32_t units = stage_units(config, plan); units > 0; units /= 2) {
        plan.ring = ring_plan(types, config.shared_bytes - shared.bytes, units);
        if (plan.ring) break;
    }
    if (!plan.ring) return too_small(shared.bytes + 16 * 4352);
    shared.bytes += plan.ring->bytes();
    return {};
}

} // namespace

bool DecoderOp::any_general() const {
    for (const auto& variant : variants)
        for (const auto& segment : variant)
            if (!segment.packed) return true;
    return false;
}

Result<DecoderPlan> plan_decoder(const DecoderConfig& config) {
    if (auto ok = check(config); !ok) return ok.error();
    const ModelShape& s = config.shape;
    DecoderPlan plan;
    find_kinds(config, plan);
    using enum LayerTensor;
    plan_op(config, plan, OpName::qkv, s.hidden, std::array{attn_q, attn_k, attn_v}, false);
    plan_op(config, plan, OpName::attention_output, s.q_dim(), std::array{LayerTensor::attn_output}, false);
    plan_op(config, plan, OpName::gate_up, s.hidden, std::array{ffn_gate, ffn_up}, true);
    plan_op(config, plan, OpName::down, s.ffn, std::array{ffn_down}, false);
    plan_output(config, plan);
    // A warp rounds a block of the gated vector: the rows of two tiles.
    plan.ops[static_cast<std::size_t>(OpName::gate_up)].granule = block_values / ring_tile_rows;
    for (DecoderOp& op : plan.ops) split_op(config, op, consumer_threads);
    balance(config, plan);
    plan_attention_op(config, plan);
    plan_edges(config, plan);
    // Long passes save barriers, but a round of the ring more saves more: take the longest with the most stages.
    std::optional<DecoderPlan> best;
    std::optional<Error> error;
    for (std::uint32_t rows = consumer_threads; rows >= consumer_threads / 4; rows /= 2) {
        DecoderPlan candidate = plan;
        for (DecoderOp& op : candidate.ops) split_op(config, op, rows);
        if (auto ok = plan_shared(config, candidate); !ok) {
            error = ok.error();
            continue;
        }
        const auto units = [](const DecoderPlan& p) { return p.ring ? p.ring->stages * p.ring->stage_units : 0; };
        if (!best || units(candidate) > units(*best)) best = std::move(candidate);
    }
    if (!best) return *error;
    return std::move(*best);
}

std::string_view DecoderProfile::step_name(std::uint32_t step) {
    static constexpr std::string_view names[layer_steps] = {
        "q, k, v products",  "attention",   "wait: attention output", "output products", "wait: attention block",
        "gate, up products", "wait: gated", "down products",          "wait: ffn block",
    };
    return names[step];
}

std::string_view DecoderProfile::last_step_name(std::uint32_t step) {
    return step == 0 ? "logits" : "wait: best logit";
}

DecoderBuffers decoder_buffers(const DecoderConfig& config) {
    DecoderBuffers buffers;
    const DecoderProfile profile{config.shape.layers};
    buffers.profile = config.profile ? 8ull * config.ctas * profile.words() : 8;
    buffers.status = 4ull * status_words * (config.ctas + 1);
    if (const auto plan = plan_decoder(config)) buffers.edges = 8 * plan->edges.total;
    return buffers;
}

} // namespace ptxgen::kernels
