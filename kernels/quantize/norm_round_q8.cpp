#include "kernels/quantize/norm_round_q8.hpp"

#include "kernels/ring/segment.hpp"
#include "kernels/ring/vector_records.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t threads = 32 * ring_warps;

} // namespace

Result<Generated> norm_round_q8(const NormRoundConfig& config, std::optional<Target> target,
                                std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 32, 1U << 20U); !ok) return ok.error();
    if (config.width % 32 != 0) return Error{fmt::format("width must be a multiple of 32, not {}", config.width)};
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel("norm_round_q8");
    const auto x = k.param<global_ptr<const f32>>("x", "f32 [tokens][width]", align(16));
    const auto norm = k.param<global_ptr<const f32>>("norm", "f32 [width]", align(16));
    const auto out = k.param<global_ptr<f32>>("out", "f32 [tokens][width]", align(16));
    const auto scale = k.param<global_ptr<f32>>("scale", "f32 [tokens]");
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(threads);
    const auto records = k.shared<u8>("records", ring_warps * ring_record_bytes, align(16));
    const auto squares = k.shared<f32>("squares", ring_warps, align(16));
    const Val<u32> token = k.ctaid.x, thread = k.tid.x;
    k.ret_if(token >= tokens);
    const Val<u32> lane = thread & 31U;
    const VectorLane place{thread >> 5U, lane, lane >> 2U, lane & 3U};
    const auto record = records + place.warp * ring_record_bytes;
    const auto x_row = row(k, x, token, config.width);
    const auto out_row = row(k, out, token, config.width);
    auto sum = k.var<f32>(0.F);
    emit_loop_over_super_blocks(k, place, config.width, [&](const auto&, const auto& column, const Pred& has) {
        LaneVector values = zero_lane_vector(k), weights = zero_lane_vector(k);
        emit_load_lane_vector(k, values, x_row + column, has);
        emit_load_lane_vector(k, weights, norm + column, has);
        emit_add_squares(k, values, sum);
        emit_weigh(k, weights, values);
        emit_quantize_record(k, values_of(weights), record, lane);
        k.bar_warp_sync(0xffffffffU);
        emit_dequantize_record(k, place, record, out_row + column, has);
        k.bar_warp_sync(0xffffffffU);
    });
    emit_store_squares(k, place, sum, squares);
    k.bar_sync(0);
    const auto inverse = emit_inverse_rms(k, squares, config.width, config.epsilon);
    const auto to = scale + token;
    k.predicated(thread == 0, [&] { k.st(to, inverse); });
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), std::move(launch));
}

Grid norm_round_q8_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
