#include "kernels/ring/columns.hpp"

#include "kernels/common/memory.hpp"
#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/elementwise/gated.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

// The bits of an f32 that a tf32 has.
constexpr std::uint32_t tf32_bits = 0xffffe000U;

std::uint32_t super_blocks(const RingColumnsConfig& config) { return ceil_div(config.cols, ring_super_block); }

/// A lane's part of a token's quantised super-block into its column block. Lane = (32-block j = lane / 4, part q).
void emit_store(KernelBuilder& k, const RingQuantized& quantized, const Val<global_ptr<u8>>& block,
                const Val<u32>& token_in_block, const Val<u32>& lane) {
    const auto part = lane & 3U;
    const auto pair = lane >> 3U;
    const auto odd = (lane >> 2U) & 1U;
    const auto token_lane = k.mad_lo(token_in_block, 4U, part);
    const auto odd_offset = odd << 3U;
    const auto in_pair = k.mad_lo(token_lane, 16U, odd_offset);
    const auto bytes_at = k.mad_lo(pair, 512U, in_pair);
    k.st((block + bytes_at).as<global_ptr<u32>>(), std::array{quantized.low, quantized.high}, v2);

    // Of a block's four lanes the first stores the scale, the next two the parts of the sum.
    const auto sum = quantized.scaled_sum;
    const auto high = (sum.as<u32>() & tf32_bits).as<f32>();
    const auto rest = sum - high;
    const auto low = (rest.as<u32>() & tf32_bits).as<f32>();
    const auto token_pair = token_in_block >> 1U;
    const auto token_odd = (token_in_block & 1U) << 2U;
    const auto scale_in_pair = k.mad_lo(token_pair, 16U, odd_offset);
    const auto scale_offset = k.mad_lo(pair, 64U, scale_in_pair);
    const auto scale_at = scale_offset + token_odd + ring_column_scales;
    const auto sum_lane = k.mad_lo(token_in_block, 4U, pair);
    const auto odd_word = odd << 2U;
    const auto sum_offset = k.mad_lo(sum_lane, 16U, odd_word);
    const auto sum_part = k.selp(k.imm<u32>(ring_column_sums), k.imm<u32>(ring_column_sums + 8), part == 1U);
    const auto sum_at = sum_offset + sum_part;
    const auto of_sum = k.selp(high, low, part == 1U);
    const auto value = k.selp(quantized.scale, of_sum, part == 0U);
    const auto at = k.selp(scale_at, sum_at, part == 0U);
    const auto to = (block + at).as<global_ptr<f32>>();
    k.predicated(part < 3U, [&] { k.st(to, value); });
}

} // namespace

Result<Generated> ring_columns(const RingColumnsConfig& config, std::optional<Target> target,
                               std::optional<PtxVersion> version) {
    if (auto ok = check_range("cols", config.cols, 32, max_cols); !ok) return ok.error();
    if (config.cols % 32 != 0) return Error{fmt::format("cols must be a multiple of 32, not {}", config.cols)};
    if (auto ok = check_range("warps", config.warps_per_cta, 1, 32); !ok) return ok.error();
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel("ring_columns");
    k.max_threads(32 * config.warps_per_cta);
    const auto shape = fmt::format("f32 [tokens][{}]", config.cols);
    const auto x = k.param<global_ptr<const f32>>(config.gated ? "gate" : "x", shape, align(16));
    std::optional<Val<global_ptr<const f32>>> up;
    if (config.gated) up.emplace(k.param<global_ptr<const f32>>("up", shape, align(16)));
    const auto columns = k.param<global_ptr<u8>>("columns", "column blocks, for matmul_ring", align(16));
    const auto tokens = k.param<u32>("tokens", "rows of x");
    const Val<u32> lane = k.laneid;
    const auto warp = k.tid.x >> 5U;
    const auto super_block = k.mad_lo(k.ctaid.y, config.warps_per_cta, warp);
    k.exit_if(super_block >= super_blocks(config));
    const Val<u32> token = k.ctaid.x;
    Accumulators values = accumulators(k, 8, 0);
    k.if_(token < tokens, [&] {
        const auto from = row(k, x, token, config.cols);
        const RingLaneValues loaded = emit_record_values(k, from, config.cols, super_block, lane);
        if (!up) {
            for (std::size_t i = 0; i < 8; i++) values[i] = loaded[i];
            return;
        }
        const auto up_from = row(k, *up, token, config.cols);
        const RingLaneValues factors = emit_record_values(k, up_from, config.cols, super_block, lane);
        for (std::size_t i = 0; i < 8; i++) {
            const auto activated = emit_activation(k, *config.gated, loaded[i]);
            values[i] = activated * factors[i];
        }
    });
    const RingQuantized quantized =
        emit_quantize(k, {values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]});
    const auto token_block = token >> 3U;
    const auto wide_block = k.cvt<u64>(token_block);
    const auto wide_super_block = k.cvt<u64>(super_block);
    const auto index = k.mad_lo(wide_block, std::uint64_t{super_blocks(config)}, wide_super_block);
    const auto block = k.mad_lo(index, std::uint64_t{ring_column_block_bytes}, columns.as<u64>()).as<global_ptr<u8>>();
    emit_store(k, quantized, block, token & 7U, lane);
    LaunchShape launch;
    launch.grid_x = "ceil(tokens / 8) * 8";
    launch.grid_y = fmt::format("{}", ceil_div(super_blocks(config), config.warps_per_cta));
    launch.block_x = 32 * config.warps_per_cta;
    return finish(std::move(module), std::move(launch));
}

Grid ring_columns_grid(const RingColumnsConfig& config, std::uint32_t tokens) {
    return {ceil_div(tokens, ring_column_tokens) * ring_column_tokens,
            ceil_div(super_blocks(config), config.warps_per_cta), 1};
}

} // namespace ptxgen::kernels
