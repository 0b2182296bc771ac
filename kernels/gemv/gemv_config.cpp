#include "kernels/gemv/gemv.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

/// Lanes for a row: of the counts that leave the fewest idle in the last round, the largest, for coalescing. A few
/// per cent of idle lanes are accepted for more lanes.
std::uint32_t choose_lanes(const UnitShape& shape, std::uint32_t cols) {
    const std::uint32_t units = cols / shape.block_elements * shape.units;
    std::uint32_t best = std::max(shape.units, 1U);
    double best_use = 0;
    for (std::uint32_t lanes = best; lanes <= 32; lanes *= 2) {
        const double use = static_cast<double>(units) / (static_cast<double>(ceil_div(units, lanes)) * lanes);
        if (use < best_use * 0.97) continue;
        best_use = std::max(use, best_use);
        best = lanes;
    }
    return best;
}

} // namespace

std::string gemv_name(TensorType type) { return "gemv_" + lower_name(type); }

Result<GemvConfig> completed(const GemvConfig& config) {
    const auto types = weight_types();
    if (std::find(types.begin(), types.end(), config.type) == types.end())
        return Error{fmt::format("there is no GEMV for weights of type {}", name(config.type))};
    if (auto status = check_range("rows", config.rows, 1, max_rows); !status) return status.error();
    if (auto status = check_range("cols", config.cols, 1, max_cols); !status) return status.error();
    const TensorTypeInfo& info = tensor_type_info(config.type);
    if (config.cols % info.block_elements != 0)
        return Error{
            fmt::format("cols must be a multiple of {} for {}, not {}", info.block_elements, info.name, config.cols)};
    if (auto status = check_range("token-tile", config.token_tile, 1, 8); !status) return status.error();
    if (!std::has_single_bit(config.token_tile))
        return Error{fmt::format("token-tile must be 1, 2, 4 or 8, not {}", config.token_tile)};
    if (auto status = check_range("warps", config.warps_per_cta, 1, 16); !status) return status.error();
    if (auto status = check_range("rows-per-lane", config.rows_per_lane, 0, 8); !status) return status.error();

    GemvConfig complete = config;
    const auto decoder = unit_decoder(config.type, config.cols);
    const std::uint32_t units = decoder->shape().units;
    if (config.lanes_per_row == 0)
        complete.lanes_per_row = choose_lanes(decoder->shape(), config.cols);
    else if (!std::has_single_bit(config.lanes_per_row) || config.lanes_per_row > 32 || config.lanes_per_row < units)
        return Error{fmt::format("lanes-per-row must be a power of two from {} to 32 for {}, or 0, not {}", units,
                                 info.name, config.lanes_per_row)};
    if (config.rows_per_lane == 0) complete.rows_per_lane = 4;
    complete.rows_per_lane = std::min(complete.rows_per_lane, config.rows);
    return complete;
}

Result<GemvConfig> shared_out_by_tiles(GemvConfig config) {
    constexpr std::uint32_t tile_rows = 16;
    config.lanes_per_row = 0;
    config.rows_per_lane = std::min(2U, config.rows);
    const auto complete = completed(config);
    if (!complete || gemv_rows_per_warp(*complete) <= tile_rows) return complete;
    config.lanes_per_row = 2 * config.rows_per_lane;
    return completed(config);
}

GemvConfig spread(GemvConfig config, std::uint32_t multiprocessors) {
    config.lanes_per_row = 32;
    // Rows in one lane share the loads of x, which are several times the bytes of the weights. So many rows a lane as
    // leave each of a multiprocessor's four schedulers a warp.
    const std::uint32_t wanted = multiprocessors * 4;
    config.rows_per_lane = 4;
    while (config.rows_per_lane > 1 && config.rows / config.rows_per_lane < wanted) config.rows_per_lane /= 2;
    return config;
}

} // namespace ptxgen::kernels
