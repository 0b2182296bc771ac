#include "kernels/attention/rope.hpp"

#include "kernels/common/index.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t wanted_threads = 256;

/// A thread turns one pair of every `heads_at_once`-th head, so that it loads its angle once.
std::uint32_t heads_at_once(const RopeConfig& config) {
    const std::uint32_t most = std::max(1u, wanted_threads / (config.dim / 2));
    const std::uint32_t rounds = ceil_div(config.heads, most);
    return ceil_div(config.heads, rounds);
}

} // namespace

std::uint32_t rope_threads(const RopeConfig& config) { return heads_at_once(config) * (config.dim / 2); }

template <pointer_type P>
void emit_rope_pair(KernelBuilder& k, const RopeConfig& config, const Val<P>& first, const Values& angle) {
    const bool interleaved = config.kind == RopeKind::interleaved;
    const bool as_vector = interleaved && config.head_dim % 2 == 0;
    const auto second = first + (interleaved ? 1 : config.dim / 2);
    Values pair_values = as_vector ? load(k, first, 2) : load(k, first, 1);
    if (!as_vector) pair_values.push_back(k.ld(second));
    const auto& a = pair_values[0];
    const auto& b = pair_values[1];
    const auto& c = angle[0];
    const auto& s = angle[1];
    const Values turned{k.fma(a, c, -(b * s)), k.fma(b, c, a * s)};
    if (as_vector) {
        store(k, first, turned);
    } else {
        k.st(first, turned[0]);
        k.st(second, turned[1]);
    }
}

template void emit_rope_pair(KernelBuilder&, const RopeConfig&, const Val<global_ptr<f32>>&, const Values&);
template void emit_rope_pair(KernelBuilder&, const RopeConfig&, const Val<shared_ptr<f32>>&, const Values&);

void emit_rope(KernelBuilder& k, const RopeConfig& config, const Val<global_ptr<f32>>& x,
               const Val<global_ptr<const f32>>& table, const Val<u32>& thread) {
    const std::uint32_t half = config.dim / 2, at_once = heads_at_once(config);
    const std::uint32_t rounds = ceil_div(config.heads, at_once);
    const Val<u32> head = quotient(thread, half);
    const Val<u32> pair = remainder(thread, half);
    const bool interleaved = config.kind == RopeKind::interleaved;
    const Values angle = load(k, table + pair * 2u, 2);
    const auto x_at = x + k.mad_lo(head, config.head_dim, interleaved ? pair * 2u : pair);
    for (std::uint32_t r = 0; r < rounds; r++) {
        const auto first = x_at + r * at_once * config.head_dim;
        const auto turn = [&] { emit_rope_pair(k, config, first, angle); };
        if ((r + 1) * at_once <= config.heads)
            turn();
        else
            k.if_(head < config.heads - r * at_once, turn);
    }
}

Result<Generated> rope(const RopeConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("heads", config.heads, 1, 1u << 16); !ok) return ok.error();
    if (auto ok = check_range("head-dim", config.head_dim, 2, 1024); !ok) return ok.error();
    if (auto ok = check_range("dim", config.dim, 2, config.head_dim); !ok) return ok.error();
    if (config.dim % 2 != 0) return Error{fmt::format("dim must be even, not {}", config.dim)};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("rope");
    const auto x =
        k.param<global_ptr<f32>>("x", "f32 [tokens][heads][head_dim], in place",
                                 align(config.kind == RopeKind::interleaved && config.head_dim % 2 == 0 ? 8 : 4));
    const auto table = k.param<global_ptr<const f32>>("table", "f32 [positions][dim/2][2]: cosine, sine", align(8));
    const auto position = k.param<global_ptr<const u32>>("position", "u32 [1]: position of the first token");
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    const std::uint32_t threads = rope_threads(config);
    k.max_threads(threads);
    k.ret_if(k.ctaid.x >= tokens);
    const auto at = k.ld(position) + k.ctaid.x;
    const auto table_row = row(k, table, at, config.dim);
    const auto x_row = row(k, x, k.ctaid.x, config.heads * config.head_dim);
    emit_rope(k, config, x_row, table_row, k.tid.x);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), launch);
}

Grid rope_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
