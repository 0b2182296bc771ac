#include "kernels/quantize/norm_round_q8.hpp"
#include "kernels/quantize/quantize_q8_1.hpp"
#include "kernels/quantize/round_q8.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {

std::vector<KernelSpec> quantize_kernels() {
    KernelSpec spec;
    spec.name = "quantize_q8_1";
    spec.family = "quantize";
    spec.summary = "activations as Q8_1 blocks: signed bytes with a scale and a sum for each 32";
    spec.parameters = {
        ParameterSpec::integer("width", "values of a token", 576, 32, 1 << 30, 32),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 32),
    };
    spec.generate = [](const ParameterValues& values, std::optional<Target> target, std::optional<PtxVersion> version) {
        return quantize_q8_1({values.u32("width"), values.u32("warps")}, target, version);
    };
    KernelSpec round;
    round.name = "round_q8";
    round.family = "quantize";
    round.summary = "activations rounded to eight bits with a scale for each 32, as f32 again";
    round.parameters = {
        ParameterSpec::integer("width", "values of a token", 576, 1, 1 << 24),
        ParameterSpec::integer("warps", "warps of a CTA", 4, 1, 32),
    };
    round.generate = [](const ParameterValues& values, std::optional<Target> target,
                        std::optional<PtxVersion> version) {
        return round_q8({values.u32("width"), values.u32("warps")}, target, version);
    };
    KernelSpec norm;
    norm.name = "norm_round_q8";
    norm.family = "quantize";
    norm.summary = "activations times a norm's weights, rounded like round_q8, and each token's 1 / rms";
    norm.parameters = {
        ParameterSpec::integer("width", "values of a token", 576, 32, 1 << 20, 32),
        ParameterSpec::real("epsilon", "added to the mean square", 1e-5, 0, 1),
    };
    norm.generate = [](const ParameterValues& values, std::optional<Target> target, std::optional<PtxVersion> version) {
        return norm_round_q8({values.u32("width"), values.real("epsilon")}, target, version);
    };
    return {spec, round, norm};
}

} // namespace ptxgen::kernels
