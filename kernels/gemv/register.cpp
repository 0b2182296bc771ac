#include "kernels/gemv/gemv.hpp"
#include "kernels/registry.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

GemvConfig config_of(TensorType type, const ParameterValues& values) {
    GemvConfig config;
    config.type = type;
    config.rows = values.u32("rows");
    config.cols = values.u32("cols");
    config.bias = values.word("bias") == "yes";
    config.residual = values.word("residual") == "yes";
    config.scale = values.word("scale") == "yes";
    config.token_tile = static_cast<std::uint32_t>(std::stoul(values.word("token-tile")));
    const std::string& lanes = values.word("lanes-per-row");
    config.lanes_per_row = lanes == "auto" ? 0 : static_cast<std::uint32_t>(std::stoul(lanes));
    config.rows_per_lane = values.u32("rows-per-lane");
    config.warps_per_cta = values.u32("warps");
    return config;
}

KernelSpec gemv_spec(TensorType type) {
    const TensorTypeInfo& info = tensor_type_info(type);
    KernelSpec spec;
    spec.name = gemv_name(type);
    spec.family = "gemv";
    spec.summary =
        fmt::format("y = W x (* scale) (+ bias) (+ residual), W stored as {}, for one or more tokens", info.name);
    const std::int64_t step = info.block_elements;
    spec.parameters = {
        ParameterSpec::integer("rows", "rows of W, elements of y", 576, 1, max_rows),
        ParameterSpec::integer("cols", "columns of W, elements of x", step == 256 ? 2048 : 576, step, max_cols, step),
        ParameterSpec::choice("scale", "whether a token's y is multiplied by a factor", {"no", "yes"}),
        ParameterSpec::choice("bias", "whether a bias is added to y", {"no", "yes"}),
        ParameterSpec::choice("residual", "whether a residual is added to y", {"no", "yes"}),
        ParameterSpec::choice("token-tile", "tokens that share one pass over W", {"1", "2", "4", "8"}),
        ParameterSpec::choice("lanes-per-row", "lanes that share a row", {"auto", "1", "2", "4", "8", "16", "32"}),
        ParameterSpec::integer("rows-per-lane", "rows that a lane works on at once; 0: four, if there are as many", 0,
                               0, 8),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 16),
    };
    spec.generate = [type](const ParameterValues& values, std::optional<Target> target,
                           std::optional<PtxVersion> version) {
        return gemv(config_of(type, values), target, version);
    };
    spec.tiles = [type](const ParameterValues& values) { return gemv_tile(config_of(type, values)); };
    return spec;
}

} // namespace

std::vector<KernelSpec> gemv_kernels() {
    std::vector<KernelSpec> kernels;
    for (const TensorType type : weight_types()) kernels.push_back(gemv_spec(type));
    return kernels;
}

} // namespace ptxgen::kernels
