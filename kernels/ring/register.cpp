#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/registry.hpp"
#include "kernels/ring/gather_ring.hpp"
#include "kernels/ring/gemv_ring.hpp"
#include "kernels/ring/matmul_ring.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

KernelSpec gemv_ring_spec(TensorType type) {
    const TensorTypeInfo& info = tensor_type_info(type);
    KernelSpec spec;
    spec.name = gemv_ring_name(type);
    spec.family = "ring";
    spec.summary = fmt::format(
        "y = W x (+ bias) (+ residual), W as {} in the ring format, x perhaps normed and quantised to 8 bits, streamed",
        info.name);
    const std::int64_t step = info.block_elements;
    spec.parameters = {
        ParameterSpec::integer("rows", "rows of W, elements of y", 4096, 1, max_rows),
        ParameterSpec::integer("cols", "columns of W, elements of x", 4096, step, max_cols, step),
        ParameterSpec::choice("norm", "whether x goes through an RMS norm first", {"no", "yes"}),
        ParameterSpec::real("epsilon", "added to the mean square, with --norm yes", 1e-5, 0, 1),
        ParameterSpec::choice("bias", "whether a bias is added to y", {"no", "yes"}),
        ParameterSpec::choice("residual", "whether a residual is added to y", {"no", "yes"}),
        ParameterSpec::integer("token-tile", "tokens that share one pass over W", 1, 1, 8),
        ParameterSpec::integer("ctas", "CTAs that share the rows, as many as run at once", 132, 1, 65535),
        ParameterSpec::choice("source", "how W is loaded: by bulk copies (sm_90) or directly; auto: as the target can",
                              {"auto", "bulk", "direct"}),
        ParameterSpec::choice("dots", "integer products: mma (sm_80) or dp4a; auto: as the target can",
                              {"auto", "mma", "dp4a"}),
        ParameterSpec::choice("stage-units", "units of 16 rows by 256 columns in a stage of the ring",
                              {"4", "1", "2", "8", "16"}),
        ParameterSpec::integer("stages", "stages of the ring; 0: as many as fit", 0, 0, 64),
        ParameterSpec::integer("in-flight", "stages that may be on their way at once; 0: all", 0, 0, 64),
        ParameterSpec::integer("shared-bytes", "shared memory that a CTA may take", 227 * 1024, 16 * 1024, 227 * 1024,
                               1024),
    };
    spec.generate = [type](const ParameterValues& values, std::optional<Target> target,
                           std::optional<PtxVersion> version) {
        GemvRingConfig config;
        config.type = type;
        config.rows = values.u32("rows");
        config.cols = values.u32("cols");
        if (values.word("norm") == "yes") config.norm_epsilon = values.real("epsilon");
        config.bias = values.word("bias") == "yes";
        config.residual = values.word("residual") == "yes";
        config.token_tile = values.u32("token-tile");
        config.ctas = values.u32("ctas");
        const std::string &source = values.word("source"), &dots = values.word("dots");
        if (source != "auto") config.source = source == "bulk" ? RingSource::bulk : RingSource::direct;
        if (dots != "auto") config.dots = dots == "mma" ? RingDots::mma : RingDots::dp4a;
        config.stage_units = static_cast<std::uint32_t>(std::stoul(values.word("stage-units")));
        config.stages = values.u32("stages");
        config.in_flight = values.u32("in-flight");
        config.shared_bytes = values.u32("shared-bytes");
        return gemv_ring(config, target, version);
    };
    return spec;
}

KernelSpec matmul_ring_spec(TensorType type) {
    const TensorTypeInfo& info = tensor_type_info(type);
    KernelSpec spec;
    spec.name = matmul_ring_name(type);
    spec.family = "ring";
    spec.summary = fmt::format(
        "Y = W X (+ bias) (+ residual) for many tokens, W as {} in the ring format, X from ring_columns", info.name);
    spec.minimum_target = {80, TargetVariant::plain};
    const std::int64_t step = info.block_elements;
    spec.parameters = {
        ParameterSpec::integer("rows", "rows of W, elements of a token's y", 4096, 1, max_rows),
        ParameterSpec::integer("cols", "columns of W", 4096, step, max_cols, step),
        ParameterSpec::choice("bias", "whether a bias is added to y", {"no", "yes"}),
        ParameterSpec::choice("residual", "whether a residual is added to y", {"no", "yes"}),
        ParameterSpec::integer("token-tile", "tokens of a CTA", 64, 8, 64, 8),
        ParameterSpec::integer("row-tiles", "tiles of 16 rows of a warp", 1, 1, 2),
        ParameterSpec::integer("warps", "warps of a CTA", 8, 1, 8),
    };
    spec.generate = [type](const ParameterValues& values, std::optional<Target> target,
                           std::optional<PtxVersion> version) {
        MatmulRingConfig config;
        config.type = type;
        config.rows = values.u32("rows");
        config.cols = values.u32("cols");
        config.bias = values.word("bias") == "yes";
        config.residual = values.word("residual") == "yes";
        config.token_tile = values.u32("token-tile");
        config.row_tiles = values.u32("row-tiles");
        config.warps = values.u32("warps");
        return matmul_ring(config, target, version);
    };
    return spec;
}

KernelSpec ring_columns_spec() {
    KernelSpec spec;
    spec.name = "ring_columns";
    spec.family = "ring";
    spec.summary = "activations of many tokens quantised to 8 bits, in the order that matmul_ring reads";
    spec.parameters = {
        ParameterSpec::integer("cols", "values of a token", 4096, 32, max_cols, 32),
        ParameterSpec::choice("gated", "whether x is act(gate) times up", {"no", "swiglu", "geglu"}),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 32),
    };
    spec.generate = [](const ParameterValues& values, std::optional<Target> target, std::optional<PtxVersion> version) {
        RingColumnsConfig config;
        config.cols = values.u32("cols");
        const std::string& gated = values.word("gated");
        if (gated != "no") config.gated = gated == "swiglu" ? Activation::swiglu : Activation::geglu;
        config.warps_per_cta = values.u32("warps");
        return ring_columns(config, target, version);
    };
    return spec;
}

KernelSpec gather_ring_spec(TensorType type) {
    const TensorTypeInfo& info = tensor_type_info(type);
    KernelSpec spec;
    spec.name = gather_ring_name(type);
    spec.family = "ring";
    spec.summary = fmt::format("rows of a matrix of {} in the ring format by their numbers, as f32", info.name);
    const std::int64_t step = info.block_elements;
    spec.parameters = {
        ParameterSpec::integer("rows", "rows of the table", 49152, 1, max_rows),
        ParameterSpec::integer("cols", "elements of a row", step == 256 ? 2048 : 576, step, max_cols, step),
        ParameterSpec::real("scale", "factor of every element", 1, -1e30, 1e30),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 32),
    };
    spec.generate = [type](const ParameterValues& values, std::optional<Target> target,
                           std::optional<PtxVersion> version) {
        GatherRingConfig config;
        config.type = type;
        config.rows = values.u32("rows");
        config.cols = values.u32("cols");
        config.scale = static_cast<float>(values.real("scale"));
        config.warps_per_cta = values.u32("warps");
        return gather_ring(config, target, version);
    };
    return spec;
}

} // namespace

std::vector<KernelSpec> ring_kernels() {
    std::vector<KernelSpec> kernels;
    for (const TensorType type : ring_types()) {
        kernels.push_back(gemv_ring_spec(type));
        kernels.push_back(gather_ring_spec(type));
        kernels.push_back(matmul_ring_spec(type));
    }
    kernels.push_back(ring_columns_spec());
    return kernels;
}

} // namespace ptxgen::kernels
