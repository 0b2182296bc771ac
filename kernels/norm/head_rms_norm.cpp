#include "kernels/norm/head_rms_norm.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/memory.hpp"
#include "kernels/common/reduce.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t threads = 128;

std::uint32_t rows_of_cta(const HeadRmsNormConfig& config) { return threads / head_rms_norm_lanes(config); }

} // namespace

std::uint32_t head_rms_norm_lanes(const HeadRmsNormConfig& config) {
    return std::min(32u, std::bit_ceil(config.head_dim / vector_width(config.head_dim)));
}

template <pointer_type From, pointer_type Weight, pointer_type To>
void emit_head_rms_norm(KernelBuilder& k, const HeadRmsNormConfig& config, const Val<From>& x,
                        const Val<Weight>& weight, const Val<To>& out, const Val<u32>& lane, const Pred& has_row) {
    const std::uint32_t vector = vector_width(config.head_dim), vectors = config.head_dim / vector;
    const std::uint32_t lanes = head_rms_norm_lanes(config), rounds = ceil_div(vectors, lanes);
    const Val<u32> offset = lane * vector;
    const auto x_at = x + offset;
    const auto weight_at = weight + offset;
    const auto out_at = out + offset;
    const auto step = [&](std::uint32_t round) { return round * lanes * vector; };
    const Pred in_last = vectors % lanes == 0 ? has_row : has_row & (lane < vectors - (rounds - 1) * lanes);
    const auto takes_part = [&](std::uint32_t round) -> const Pred& { return round + 1 == rounds ? in_last : has_row; };

    std::vector<Accumulators> values;
    auto squares = k.var<f32>(0.f);
    for (std::uint32_t r = 0; r < rounds; r++) {
        values.push_back(accumulators(k, vector, 0.f));
        k.predicated(takes_part(r), [&] { load_into(k, values[r], x_at + step(r)); });
    }
    for (const auto& round : values)
        for (const auto& v : round) squares = k.fma(v, v, squares);
    const Val<f32> sum = lanes_sum(k, squares, 1, lanes);
    const auto mean = k.fma(sum, k.imm<f32>(1.0 / config.head_dim), k.imm<f32>(config.epsilon));
    const Val<f32> scale = k.div(k.imm<f32>(1.f), k.sqrt(mean, rn));
    for (std::uint32_t r = 0; r < rounds; r++)
        k.if_(takes_part(r), [&] {
            const Values w = load(k, weight_at + step(r), vector);
            Values scaled;
            for (std::uint32_t i = 0; i < vector; i++) scaled.push_back(values[r][i] * scale * w[i]);
            store(k, out_at + step(r), scaled);
        });
}

template void emit_head_rms_norm(KernelBuilder&, const HeadRmsNormConfig&, const Val<global_ptr<const f32>>&,
                                 const Val<global_ptr<const f32>>&, const Val<global_ptr<f32>>&, const Val<u32>&,
                                 const Pred&);
template void emit_head_rms_norm(KernelBuilder&, const HeadRmsNormConfig&, const Val<shared_ptr<f32>>&,
                                 const Val<global_ptr<const f32>>&, const Val<shared_ptr<f32>>&, const Val<u32>&,
                                 const Pred&);
template void emit_head_rms_norm(KernelBuilder&, const HeadRmsNormConfig&, const Val<shared_ptr<f32>>&,
                                 const Val<shared_ptr<f32>>&, const Val<shared_ptr<f32>>&, const Val<u32>&,
                                 const Pred&);

Result<Generated> head_rms_norm(const HeadRmsNormConfig& config, std::optional<Target> target,
                                std::optional<PtxVersion> version) {
    if (auto ok = check_range("heads", config.heads, 1, 1u << 16); !ok) return ok.error();
    if (auto ok = check_range("head-dim", config.head_dim, 1, 1024); !ok) return ok.error();
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("head_rms_norm");
    const auto x = k.param<global_ptr<const f32>>("x", "f32 [tokens][heads][head_dim]", row_alignment(config.head_dim));
    const auto weight = k.param<global_ptr<const f32>>("weight", "f32 [head_dim]", row_alignment(config.head_dim));
    const auto out =
        k.param<global_ptr<f32>>("out", "f32 [tokens][heads][head_dim], may be x", row_alignment(config.head_dim));
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(threads);
    const std::uint32_t lanes = head_rms_norm_lanes(config), rows = rows_of_cta(config);
    const auto in_cta = quotient(k.tid.x, lanes);
    const auto index = k.mad_lo(k.ctaid.x, rows, in_cta);
    const Pred has_row = index < tokens * config.heads;
    const auto lane = k.tid.x & (lanes - 1);
    const auto out_row = row(k, out, index, config.head_dim);
    const auto x_row = row(k, x, index, config.head_dim);
    emit_head_rms_norm(k, config, x_row, weight, out_row, lane, has_row);
    LaunchShape launch;
    launch.grid_x = fmt::format("ceil(tokens * {} / {})", config.heads, rows);
    launch.block_x = threads;
    return finish(std::move(module), launch);
}

Grid head_rms_norm_grid(const HeadRmsNormConfig& config, std::uint32_t tokens) {
    return {ceil_div(tokens * config.heads, rows_of_cta(config)), 1, 1};
}

} // namespace ptxgen::kernels
