#include "kernels/gather/gather.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

/// Units of a row: what one thread decodes.
std::uint32_t units_of(TensorType type, std::uint32_t cols) {
    const auto decoder = unit_decoder(type, cols);
    return cols / decoder->shape().block_elements * decoder->shape().units;
}

Status check(const GatherConfig& config) {
    const auto types = weight_types();
    if (std::find(types.begin(), types.end(), config.type) == types.end())
        return Error{fmt::format("there is no gather of rows of type {}", name(config.type))};
    if (auto status = check_range("rows", config.rows, 1, max_rows); !status) return status;
    if (auto status = check_range("cols", config.cols, 1, max_cols); !status) return status;
    if (auto status = check_range("warps", config.warps_per_cta, 1, 32); !status) return status;
    const TensorTypeInfo& info = tensor_type_info(config.type);
    if (config.cols % info.block_elements != 0)
        return Error{
            fmt::format("cols must be a multiple of {} for {}, not {}", info.block_elements, info.name, config.cols)};
    return {};
}

} // namespace

template <pointer_type P>
void emit_dequantize_unit(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale, const WeightPtr& row,
                          const Val<u32>& unit, const Val<P>& out) {
    const auto decoder = unit_decoder(type, cols);
    const UnitShape& shape = decoder->shape();
    const auto block = shape.units > 1 ? unit >> std::countr_zero(shape.units) : unit;
    std::vector<Val<u32>> element{block * shape.block_elements};
    if (shape.units > 1) {
        decoder->select_unit(k, unit & (shape.units - 1));
        element.push_back(element[0] + decoder->element_offset(k));
    }
    const auto loaded =
        decoder->load(k, k.mad_wide(block, shape.block_bytes, row.as<u64>()).as<global_ptr<const u8>>());
    loaded->prepare();
    const auto to = out + element.back();
    for (std::size_t c = 0; c < shape.chunks.size(); c++) {
        const UnitChunk& chunk = shape.chunks[c];
        std::vector<Val<f32>> weights;
        for (const auto& value : loaded->values(c)) {
            std::vector<Val<f32>> steps{value};
            if (shape.offset != 0) steps.push_back(steps.back() - shape.offset);
            if (shape.has_minimum)
                steps.push_back(k.fma(steps.back(), loaded->scale(chunk.group), loaded->minimum(chunk.group)));
            else if (shape.groups > 0)
                steps.push_back(steps.back() * loaded->scale(chunk.group));
            if (scale != 1) steps.push_back(steps.back() * scale);
            weights.push_back(steps.back());
        }
        const auto at = to + chunk.offset;
        if (shape.width == 4)
            k.st(at, std::array{weights[0], weights[1], weights[2], weights[3]}, v4);
        else if (shape.width == 2)
            k.st(at, std::array{weights[0], weights[1]}, v2);
        else
            k.st(at, weights[0]);
    }
}

template void emit_dequantize_unit(KernelBuilder&, TensorType, std::uint32_t, float, const WeightPtr&, const Val<u32>&,
                                   const Val<global_ptr<f32>>&);
template void emit_dequantize_unit(KernelBuilder&, TensorType, std::uint32_t, float, const WeightPtr&, const Val<u32>&,
                                   const Val<shared_ptr<f32>>&);

Result<Generated> gather(const GatherConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto status = check(config); !status) return status.error();
    const std::uint32_t units = units_of(config.type, config.cols);
    const std::uint64_t row_size = row_bytes(config.type, config.cols);
    const std::uint32_t threads = 32 * config.warps_per_cta;

    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel("gather");
    k.max_threads(threads);
    const auto table = k.param<global_ptr<const u8>>(
        "table", fmt::format("{} [{}][{}] as stored", name(config.type), config.rows, config.cols), align(32));
    const auto ids = k.param<global_ptr<const u32>>("ids", "u32 [tokens], rows of the table");
    const auto out = k.param<global_ptr<f32>>("out", fmt::format("f32 [tokens][{}]", config.cols), align(16));

    const auto unit = k.mad_lo(k.ctaid.x, threads, k.tid.x);
    k.exit_if(unit >= units);
    const auto token = k.ctaid.y;
    const auto id = k.min(k.ld(ids + token), config.rows - 1);
    const auto row = k.mad_lo(k.cvt<u64>(id), row_size, table.as<u64>()).as<global_ptr<const u8>>();
    const auto to = k.mad_wide(token, config.cols * 4, out.as<u64>()).as<global_ptr<f32>>();
    emit_dequantize_unit(k, config.type, config.cols, config.scale, row, unit, to);

    LaunchShape launch;
    launch.grid_x = fmt::format("{}", ceil_div(units, threads));
    launch.grid_y = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), std::move(launch));
}

Grid gather_grid(const GatherConfig& config, std::uint32_t tokens) {
    return {ceil_div(units_of(config.type, config.cols), 32 * config.warps_per_cta), tokens, 1};
}

} // namespace ptxgen::kernels
