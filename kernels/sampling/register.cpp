#include "kernels/registry.hpp"
#include "kernels/sampling/argmax.hpp"

namespace ptxgen::kernels {

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
    return {kernel};
}

} // namespace ptxgen::kernels
