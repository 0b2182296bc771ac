#include "kernels/registry.hpp"
#include "kernels/sampling/argmax.hpp"
#include "kernels/sampling/next_token.hpp"

namespace ptxgen::kernels {
namespace {

using NextTokenKernel = Result<Generated> (*)(const NextTokenConfig&, std::optional<Target>, std::optional<PtxVersion>);

KernelSpec next_token_spec(std::string name, std::string summary, NextTokenKernel generate) {
    KernelSpec kernel;
    kernel.name = std::move(name);
    kernel.family = "sampling";
    kernel.summary = std::move(summary);
    kernel.parameters = {
        ParameterSpec::integer("vocab", "logits", 49152, 1, 1 << 30),
        ParameterSpec::integer("parts", "shares of the logits", 32, 1, 1024),
    };
    kernel.generate = [generate](const ParameterValues& values, std::optional<Target> target,
                                 std::optional<PtxVersion> version) {
        return generate({values.u32("vocab"), values.u32("parts")}, target, version);
    };
    return kernel;
}

} // namespace

std::vector<KernelSpec> sampling_kernels() {
    KernelSpec kernel;
    kernel.name = "argmax";
    kernel.family = "sampling";
    kernel.summary = "index of the largest logit of each row, the lowest one of equals";
    kernel.parameters = {
        ParameterSpec::integer("vocab", "logits of a row", 49152, 1, 1 << 30),
        ParameterSpec::integer("threads", "threads of a CTA", 1024, 32, 1024, 32),
    };
    kernel.generate = [](const ParameterValues& values, std::optional<Target> target,
                         std::optional<PtxVersion> version) {
        return argmax({values.u32("vocab"), values.u32("threads")}, target, version);
    };
    return {kernel,
            next_token_spec("argmax_parts", "largest logit of each share of a row, with its index", argmax_parts),
            next_token_spec("next_token", "the best of argmax_parts' results becomes the next token", next_token)};
}

} // namespace ptxgen::kernels
