#include "kernels/quantize/round_q8.hpp"

#include "kernels/common/memory.hpp"
#include "kernels/ring/activations.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

std::uint32_t records(const RoundConfig& config) { return ceil_div(config.width, ring_super_block); }

/// Emits `access` for four columns from `column` on: once with 4 if rows are whole vectors, else for each one, where
/// there is such a column.
template <class Access>
void four_columns(KernelBuilder& k, std::uint32_t width, const Val<u32>& column, Access access) {
    const std::uint32_t step = width % 4 == 0 ? 4 : 1;
    for (std::uint32_t i = 0; i < 4; i += step) {
        const auto at = column + i;
        k.predicated(at < width, [&] { access(i, step); });
    }
}

} // namespace

Result<Generated> round_q8(const RoundConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 1, 1u << 24); !ok) return ok.error();
    if (auto ok = check_range("warps", config.warps_per_cta, 1, 32); !ok) return ok.error();
    const std::uint32_t width = config.width;
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel("round_q8");
    k.max_threads(32 * config.warps_per_cta);
    const auto x = k.param<global_ptr<const f32>>("x", "f32 [tokens][width]", align(16));
    const auto out = k.param<global_ptr<f32>>("out", "f32 [tokens][width]", align(16));
    const auto shared = k.shared<u8>("records", config.warps_per_cta * ring_record_bytes, align(16));
    const Val<u32> lane = k.laneid;
    const auto warp = k.tid.x >> 5U;
    const auto index = k.mad_lo(k.ctaid.x, config.warps_per_cta, warp);
    k.exit_if(index >= records(config));
    const auto record = shared + warp * ring_record_bytes;
    const auto from = row(k, x, k.ctaid.y, width);
    const auto to = row(k, out, k.ctaid.y, width);

    // A lane's columns: four from 32 · (lane / 4) + 4 · (lane % 4) on, and the four that are 16 further.
    const auto block = lane >> 2U;
    const auto quad = (lane & 3U) << 2U;
    const auto in_record = k.mad_lo(block, 32U, quad);
    const auto first = k.mad_lo(index, ring_super_block, in_record);
    const auto second = first + 16U;
    Accumulators values = accumulators(k, 8, 0);
    for (const std::uint32_t half : {0U, 1U}) {
        const auto& column = half == 0 ? first : second;
        four_columns(k, width, column, [&](std::uint32_t i, std::uint32_t count) {
            const auto at = from + column + i;
            if (count == 1) {
                values[4 * half + i] = k.ld(at);
                return;
            }
            const auto loaded = k.ld(at, v4);
            for (std::size_t e = 0; e < 4; e++) values[4 * half + e] = loaded[e];
        });
    }
    emit_quantize_record(k, {values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]},
                         record, lane);
    k.bar_warp_sync(0xffffffffU);
    const auto words = k.ld((record + (lane << 3U)).as<shared_ptr<u32>>(), v2);
    const auto pair = lane >> 3U;
    const auto odd = block & 1U;
    const auto scale_at = k.mad_lo(pair, 16U, odd << 2U);
    const auto scale = k.ld((record + ring_super_block + scale_at).as<shared_ptr<f32>>());
    for (const std::uint32_t half : {0U, 1U}) {
        const auto& column = half == 0 ? first : second;
        std::vector<Val<f32>> rounded;
        for (std::uint32_t i = 0; i < 4; i++) {
            const auto byte = k.bfe(words[half].as<s32>(), 8 * i, 8);
            const auto number = k.cvt<f32>(byte, rn);
            rounded.push_back(number * scale);
        }
        four_columns(k, width, column, [&](std::uint32_t i, std::uint32_t count) {
            const auto at = to + column + i;
            if (count == 1)
                k.st(at, rounded[i]);
            else
                k.st(at, std::array{rounded[0], rounded[1], rounded[2], rounded[3]}, v4);
        });
    }
    LaunchShape launch;
    launch.grid_x = fmt::format("{}", ceil_div(records(config), config.warps_per_cta));
    launch.grid_y = "tokens";
    launch.block_x = 32 * config.warps_per_cta;
    return finish(std::move(module), std::move(launch));
}

Grid round_q8_grid(const RoundConfig& config, std::uint32_t tokens) {
    return {ceil_div(records(config), config.warps_per_cta), tokens, 1};
}

} // namespace ptxgen::kernels
