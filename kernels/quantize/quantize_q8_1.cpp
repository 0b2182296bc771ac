#include "kernels/quantize/quantize_q8_1.hpp"

#include <array>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t block_values = 32;
constexpr std::uint32_t block_size = 36;
constexpr std::uint32_t lanes_per_block = 8;
constexpr float smallest_normal = 0x1p-126F;

/// C's roundf(): the sum is cut towards zero twice, so that no rounding of its own carries it to the next integer.
Val<s32> round_half_away(KernelBuilder& k, const Val<f32>& value) {
    const auto half = k.lop3(value.as<u32>(), 0x80000000U, 0x3F000000U, 0xEA).as<f32>(); // copysign(0.5, value)
    return k.cvt<s32>(k.add(value, half, rz), rzi);
}

} // namespace

void emit_quantize_q8_1(KernelBuilder& k, const Val<global_ptr<const f32>>& x, const Val<global_ptr<u8>>& out,
                        const Val<u32>& block, const Val<u32>& part, const Pred& valid) {
    const auto from = k.mad_wide(block, block_values * 4, x.as<u64>()).as<global_ptr<const f32>>();
    const auto values = k.ld(k.mad_wide(part, 16U, from.as<u64>()).as<global_ptr<const f32>>(), v4);

    auto largest = k.var<f32>(k.abs(values[0]));
    for (std::size_t i = 1; i < 4; i++) largest = k.max(largest, k.abs(values[i]));
    for (const std::uint32_t distance : {1U, 2U, 4U})
        largest = k.max(largest, k.shfl_sync_bfly(largest, distance, 31U, 0xFFFFFFFFU));
    const auto d = k.div(largest, 127.0F, rn);
    const auto invertible = d >= smallest_normal;
    const auto quotient = k.div(k.imm<f32>(1), d, rn);
    const auto inverse = k.selp(quotient, k.imm<f32>(0), invertible);

    std::vector<Val<s32>> quants;
    for (const auto& value : values) quants.push_back(round_half_away(k, value * inverse));
    auto sum = k.var<s32>(quants[0] + quants[1]);
    sum += quants[2];
    sum += quants[3];
    for (const std::uint32_t distance : {1U, 2U, 4U}) sum += k.shfl_sync_bfly(sum, distance, 31U, 0xFFFFFFFFU);

    const auto low = k.prmt(quants[0].as<u32>(), quants[1].as<u32>(), 0x0040U);
    const auto high = k.prmt(quants[2].as<u32>(), quants[3].as<u32>(), 0x0040U);
    const auto bytes = k.prmt(low, high, 0x5410U);
    const auto to = k.mad_wide(block, block_size, out.as<u64>());
    const auto at = k.mad_wide(part, 4U, to).as<global_ptr<u32>>();
    const auto stored_d = k.cvt<f16>(d, rn);
    const auto stored_s = k.cvt<f16>(k.cvt<f32>(sum, rn) * d, rn);
    k.predicated(valid, [&] { k.st(at + 1, bytes); });
    const auto first = part == 0U;
    k.predicated(first & valid, [&] { k.st(to.as<global_ptr<f16>>(), std::array{stored_d, stored_s}, v2); });
}

Result<Generated> quantize_q8_1(const QuantizeConfig& config, std::optional<Target> target,
                                std::optional<PtxVersion> version) {
    constexpr std::uint32_t max_width = 1U << 30;
    if (auto status = check_range("width", config.width, block_values, max_width); !status) return status.error();
    if (auto status = check_range("warps", config.warps_per_cta, 1, 32); !status) return status.error();
    if (config.width % block_values != 0)
        return Error{fmt::format("width must be a multiple of {}, not {}", block_values, config.width)};
    const std::uint32_t threads = 32 * config.warps_per_cta;
    const std::uint32_t blocks_per_token = config.width / block_values;

    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel("quantize_q8_1");
    k.max_threads(threads);
    const auto x = k.param<global_ptr<const f32>>("x", fmt::format("f32 [tokens][{}]", config.width), align(16));
    const auto out =
        k.param<global_ptr<u8>>("out", fmt::format("Q8_1 blocks of 36 bytes [tokens][{}]", blocks_per_token), align(4));
    const auto tokens = k.param<u32>("tokens", "rows of x");

    const auto thread = k.mad_lo(k.ctaid.x, threads, k.tid.x);
    const auto wanted = thread >> 3U;
    const auto blocks = tokens * blocks_per_token;
    // The lanes behind the last block work on it too, since all lanes must take part in the exchange.
    const auto block = k.min(wanted, blocks - 1U);
    const auto part = thread & (lanes_per_block - 1);
    emit_quantize_q8_1(k, x, out, block, part, wanted < blocks);

    LaunchShape launch;
    launch.grid_x = fmt::format("ceil(tokens * {} / {})", blocks_per_token, threads / lanes_per_block);
    launch.block_x = threads;
    return finish(std::move(module), std::move(launch));
}

Grid quantize_q8_1_grid(const QuantizeConfig& config, std::uint32_t tokens) {
    return {ceil_div(tokens * (config.width / block_values), 32 * config.warps_per_cta / lanes_per_block), 1, 1};
}

} // namespace ptxgen::kernels
