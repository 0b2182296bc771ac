#include "kernels/sampling/next_token.hpp"

#include "kernels/common/memory.hpp"
#include "kernels/sampling/best.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t part_threads = 256;

Status check(const NextTokenConfig& config) {
    if (auto ok = check_range("vocab", config.vocab, 1, 1u << 30); !ok) return ok;
    return check_range("parts", config.parts, 1, 1024);
}

/// Logits of a part: whole vectors, so that every part starts aligned.
std::uint32_t part_length(const NextTokenConfig& config) {
    const std::uint32_t vector = vector_width(config.vocab);
    return ceil_div(ceil_div(config.vocab, config.parts), vector) * vector;
}

std::uint32_t reduce_threads(const NextTokenConfig& config) { return std::min(256u, ceil_div(config.parts, 32) * 32); }

} // namespace

Result<Generated> argmax_parts(const NextTokenConfig& config, std::optional<Target> target,
                               std::optional<PtxVersion> version) {
    if (auto ok = check(config); !ok) return ok.error();
    const std::uint32_t vector = vector_width(config.vocab), length = part_length(config);
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("argmax_parts");
    const auto logits = k.param<global_ptr<const f32>>("logits", "f32 [vocab]", row_alignment(config.vocab));
    const auto values = k.param<global_ptr<f32>>("values", "f32 [parts], the largest logits");
    const auto ids = k.param<global_ptr<u32>>("ids", "u32 [parts], their indices");
    k.max_threads(part_threads);
    const auto warp_values = k.shared<f32>("warp_values", part_threads / 32);
    const auto warp_indices = k.shared<u32>("warp_indices", part_threads / 32);
    const Val<u32> part = k.ctaid.x, thread = k.tid.x;
    const Val<u32> begin = part * length;
    const Val<u32> end = k.min(begin + length, config.vocab);
    Best best = no_best(k);
    k.for_<u32>(k.mad_lo(thread, vector, begin), end, part_threads * vector,
                [&](Var<u32>& i) { take_larger(k, best, load(k, logits + i, vector), i); });
    best_of_cta(k, best, thread, part_threads, warp_values, warp_indices);
    k.if_(thread == 0, [&] {
        k.st(values + part, best.value);
        k.st(ids + part, best.index);
    });
    LaunchShape launch;
    launch.grid_x = fmt::format("{}", config.parts);
    launch.block_x = part_threads;
    return finish(std::move(module), launch);
}

Grid argmax_parts_grid(const NextTokenConfig& config) { return {config.parts, 1, 1}; }

Result<Generated> next_token(const NextTokenConfig& config, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
    if (auto ok = check(config); !ok) return ok.error();
    const std::uint32_t threads = reduce_threads(config);
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("next_token");
    const auto values = k.param<global_ptr<const f32>>("values", "f32 [parts]");
    const auto ids = k.param<global_ptr<const u32>>("ids", "u32 [parts]");
    const auto state = k.param<global_ptr<u32>>("state", "u32 [2]: position and id of a token");
    k.max_threads(threads);
    const auto warp_values = k.shared<f32>("warp_values", threads / 32);
    const auto warp_indices = k.shared<u32>("warp_indices", threads / 32);
    const Val<u32> thread = k.tid.x;
    Best best = no_best(k);
    k.for_<u32>(thread, config.parts, threads, [&](Var<u32>& i) {
        const auto value = k.ld(values + i);
        const auto id = k.ld(ids + i);
        take_better(k, best, value, id);
    });
    best_of_cta(k, best, thread, threads, warp_values, warp_indices);
    k.if_(thread == 0, [&] {
        const auto position = k.ld(state);
        const auto next = position + 1;
        k.st(state, next);
        k.st(state + 1, best.index);
    });
    LaunchShape launch;
    launch.block_x = threads;
    return finish(std::move(module), launch);
}

Grid next_token_grid() { return {1, 1, 1}; }

} // namespace ptxgen::kernels
