#include "kernels/attention/head_inputs.hpp"

#include "kernels/attention/rope.hpp"
#include "kernels/common/memory.hpp"
#include "kernels/norm/head_rms_norm.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t warps = 4;

/// A warp has one head of a token: a query's, a key's or a value's.
std::uint32_t rows_of_token(const HeadInputsConfig& config) { return config.heads + 2 * config.cache.kv_heads; }

/// Emits `access` for the vectors of a row, spread over the lanes of a warp.
template <class Access>
void vectors_of_lane(KernelBuilder& k, std::uint32_t head_dim, const Val<u32>& lane, Access access) {
    const std::uint32_t vector = vector_width(head_dim);
    k.for_<u32>(lane * vector, head_dim, 32 * vector, [&](Var<u32>& i) { access(i, vector); });
}

template <value_type T>
void emit_kernel(KernelBuilder& k, const HeadInputsConfig& config) {
    const std::uint32_t head_dim = config.cache.head_dim, kv_heads = config.cache.kv_heads;
    const auto q = k.param<global_ptr<f32>>("q", "f32 [tokens][heads][head_dim], in place", row_alignment(head_dim));
    const auto keys = k.param<global_ptr<const f32>>("k", "f32 [tokens][kv_heads][head_dim]", row_alignment(head_dim));
    const auto values =
        k.param<global_ptr<const f32>>("v", "f32 [tokens][kv_heads][head_dim]", row_alignment(head_dim));
    std::optional<Val<global_ptr<const f32>>> q_norm, k_norm;
    if (config.norms) {
        q_norm.emplace(k.param<global_ptr<const f32>>("q_norm", "f32 [head_dim]", row_alignment(head_dim)));
        k_norm.emplace(k.param<global_ptr<const f32>>("k_norm", "f32 [head_dim]", row_alignment(head_dim)));
    }
    const auto table = k.param<global_ptr<const f32>>("table", "f32 [positions][dim/2][2]: cosine, sine", align(8));
    const auto k_cache = k.param<global_ptr<T>>("k_cache", "[kv_heads][capacity][head_dim]",
                                                row_alignment(head_dim, byte_size(T::type)));
    const auto v_cache = k.param<global_ptr<T>>("v_cache", "[kv_heads][capacity][head_dim]",
                                                row_alignment(head_dim, byte_size(T::type)));
    const auto position = k.param<global_ptr<const u32>>("position", "u32 [1]: position of the first token");
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(32 * warps);
    const auto rows = k.shared<f32>("rows", warps * head_dim, align(16));
    k.ret_if(k.ctaid.x >= tokens);
    const Val<u32> token = k.ctaid.x;
    const Val<u32> lane = k.laneid;
    const auto warp = k.tid.x >> 5U;
    const auto index = k.mad_lo(k.ctaid.y, warps, warp);
    k.exit_if(index >= rows_of_token(config));

    const auto is_query = index < config.heads;
    const auto is_value = index >= config.heads + kv_heads;
    const auto first = k.selp(k.imm<u32>(config.heads + kv_heads), k.imm<u32>(config.heads), is_value);
    const auto head = k.selp(index, index - first, is_query);
    const auto heads_of_row = k.selp(k.imm<u32>(config.heads), k.imm<u32>(kv_heads), is_query);
    const auto key_or_value = k.selp(values.template as<u64>(), keys.template as<u64>(), is_value);
    const auto base = k.selp(q.template as<u64>(), key_or_value, is_query).template as<global_ptr<f32>>();
    const auto source = row(k, base, k.mad_lo(token, heads_of_row, head), head_dim);
    const auto own = rows + warp * head_dim;
    vectors_of_lane(k, head_dim, lane, [&](const Var<u32>& i, std::uint32_t vector) {
        const Values loaded = load(k, source + i, vector);
        store(k, own + i, loaded);
    });
    k.bar_warp_sync(0xffffffffU);

    if (config.norms) {
        const HeadRmsNormConfig norm{config.heads, head_dim, config.epsilon};
        const std::uint32_t lanes = head_rms_norm_lanes(norm);
        const auto in_row = lane < lanes;
        const auto is_normed = in_row & !is_value;
        const auto weight = k.selp(q_norm->template as<u64>(), k_norm->template as<u64>(), is_query)
                                .template as<global_ptr<const f32>>();
        emit_head_rms_norm(k, norm, own, weight, own, lane & (lanes - 1), is_normed);
        k.bar_warp_sync(0xffffffffU);
    }

    const auto at = k.ld(position) + token;
    const RopeConfig rope{config.kind, config.heads, head_dim, config.rope_dim};
    const std::uint32_t pairs = config.rope_dim / 2;
    const auto angles = row(k, table, at, config.rope_dim);
    const auto pair_end = k.selp(k.imm<u32>(0), k.imm<u32>(pairs), is_value);
    k.for_<u32>(lane, pair_end, 32, [&](Var<u32>& pair) {
        const auto twice = pair * 2U;
        const Values angle = load(k, angles + twice, 2);
        if (config.kind == RopeKind::interleaved)
            emit_rope_pair(k, rope, own + twice, angle);
        else
            emit_rope_pair(k, rope, own + pair, angle);
    });
    k.bar_warp_sync(0xffffffffU);

    k.if_(
        is_query,
        [&] {
            const auto to = row(k, q, k.mad_lo(token, config.heads, head), head_dim);
            vectors_of_lane(k, head_dim, lane, [&](const Var<u32>& i, std::uint32_t vector) {
                const Values turned = load(k, own + i, vector);
                store(k, to + i, turned);
            });
        },
        [&] {
            const auto cache =
                k.selp(v_cache.template as<u64>(), k_cache.template as<u64>(), is_value).template as<global_ptr<T>>();
            const auto to = row(k, cache, k.mad_lo(head, config.cache.capacity, at), head_dim);
            vectors_of_lane(k, head_dim, lane, [&](const Var<u32>& i, std::uint32_t vector) {
                const Values turned = load(k, own + i, vector);
                store(k, to + i, turned);
            });
        });
}

} // namespace

Result<Generated> head_inputs(const HeadInputsConfig& config, std::optional<Target> target,
                              std::optional<PtxVersion> version) {
    if (auto ok = check_range("heads", config.heads, 1, 1u << 12); !ok) return ok.error();
    if (auto ok = check_range("kv-heads", config.cache.kv_heads, 1, 1u << 12); !ok) return ok.error();
    if (auto ok = check_range("head-dim", config.cache.head_dim, 2, 1024); !ok) return ok.error();
    if (auto ok = check_range("capacity", config.cache.capacity, 1, 1u << 20); !ok) return ok.error();
    if (auto ok = check_range("rope-dim", config.rope_dim, 2, config.cache.head_dim); !ok) return ok.error();
    if (config.rope_dim % 2 != 0) return Error{fmt::format("rope-dim must be even, not {}", config.rope_dim)};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("head_inputs");
    if (config.cache.type == CacheType::f32)
        emit_kernel<f32>(k, config);
    else
        emit_kernel<f16>(k, config);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.grid_y = fmt::format("{}", ceil_div(rows_of_token(config), warps));
    launch.block_x = 32 * warps;
    return finish(std::move(module), launch);
}

Grid head_inputs_grid(const HeadInputsConfig& config, std::uint32_t tokens) {
    return {tokens, ceil_div(rows_of_token(config), warps), 1};
}

} // namespace ptxgen::kernels
