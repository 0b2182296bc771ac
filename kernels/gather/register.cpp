#include "kernels/gather/gather.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {
namespace {

KernelSpec gather_spec() {
    std::vector<std::string> types;
    for (const TensorType type : weight_types()) types.push_back(lower_name(type));
    KernelSpec spec;
    spec.name = "gather";
    spec.family = "gather";
    spec.summary = "rows of a stored matrix by their numbers, as f32: the embedding of tokens";
    spec.parameters = {
        ParameterSpec::choice("type", "how the rows are stored", types),
        ParameterSpec::integer("rows", "rows of the table", 49152, 1, max_rows),
        ParameterSpec::integer("cols", "elements of a row; a multiple of the type's block", 2048, 1, max_cols),
        ParameterSpec::real("scale", "factor of every element", 1, -1e30, 1e30),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 32),
    };
    spec.generate = [](const ParameterValues& values, std::optional<Target> target,
                       std::optional<PtxVersion> version) -> Result<Generated> {
        GatherConfig config;
        for (const TensorType type : weight_types())
            if (lower_name(type) == values.word("type")) config.type = type;
        config.rows = values.u32("rows");
        config.cols = values.u32("cols");
        config.scale = static_cast<float>(values.real("scale"));
        config.warps_per_cta = values.u32("warps");
        return gather(config, target, version);
    };
    return spec;
}

} // namespace

std::vector<KernelSpec> gather_kernels() { return {gather_spec()}; }

} // namespace ptxgen::kernels
