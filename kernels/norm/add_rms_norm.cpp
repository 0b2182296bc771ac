#include "kernels/norm/add_rms_norm.hpp"

#include "kernels/ring/segment.hpp"
#include "kernels/ring/vector_records.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t threads = 32 * ring_warps;

void emit_body(KernelBuilder& k, const AddRmsNormConfig& config, const Val<global_ptr<f32>>& x,
               const Val<global_ptr<const f32>>& y, const Val<global_ptr<const f32>>& weight) {
    const auto scratch = k.shared<f32>("partial_sums", ring_warps, align(16));
    const Val<u32> thread = k.tid.x, lane = thread & 31U;
    const VectorLane place{thread >> 5U, lane, lane >> 2U, lane & 3U};
    auto squares = k.var<f32>(0.F);
    emit_loop_over_super_blocks(k, place, config.width, [&](const auto&, const auto& column, const Pred& has) {
        LaneVector values = zero_lane_vector(k);
        emit_load_lane_vector(k, values, y + column, has);
        emit_add_squares(k, values, squares);
    });
    const auto scale = emit_post_scale(k, squares, thread, scratch, {}, config.width, config.epsilon);
    emit_loop_over_super_blocks(k, place, config.width, [&](const auto&, const auto& column, const Pred& has) {
        LaneVector values = zero_lane_vector(k), factors = zero_lane_vector(k);
        emit_load_lane_vector(k, values, y + column, has);
        emit_load_lane_vector(k, factors, weight + column, has);
        emit_post_norm(k, values, values, scale, factors);
        emit_add_residual(k, values, x + column, has);
    });
}

} // namespace

Result<Generated> add_rms_norm(const AddRmsNormConfig& config, std::optional<Target> target,
                               std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 32, 1U << 20U); !ok) return ok.error();
    if (config.width % 32 != 0) return Error{fmt::format("width must be a multiple of 32, not {}", config.width)};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("add_rms_norm");
    const auto x = k.param<global_ptr<f32>>("x", "f32 [tokens][width], in place", align(16));
    const auto y = k.param<global_ptr<const f32>>("y", "f32 [tokens][width]", align(16));
    const auto weight = k.param<global_ptr<const f32>>("weight", "f32 [width]", align(16));
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(threads);
    k.ret_if(k.ctaid.x >= tokens);
    const auto x_row = row(k, x, k.ctaid.x, config.width);
    const auto y_row = row(k, y, k.ctaid.x, config.width);
    emit_body(k, config, x_row, y_row, weight);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), launch);
}

Grid add_rms_norm_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
