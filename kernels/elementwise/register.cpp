#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {
namespace {

template <class Generate>
KernelSpec elementwise(std::string name, std::string summary, std::int64_t width, Generate generate) {
    KernelSpec kernel;
    kernel.name = std::move(name);
    kernel.family = "elementwise";
    kernel.summary = std::move(summary);
    kernel.parameters = {ParameterSpec::integer("width", "elements of a row", width, 1, 1 << 24)};
    kernel.generate = [generate](const ParameterValues& values, std::optional<Target> target,
                                 std::optional<PtxVersion> version) {
        return generate({values.u32("width")}, target, version);
    };
    return kernel;
}

} // namespace

std::vector<KernelSpec> elementwise_kernels() {
    return {
        elementwise("swiglu", "silu(gate) times up", 1536, &swiglu),
        elementwise("geglu", "gelu(gate) times up, GELU in its tanh form", 2048, &geglu),
        elementwise("add", "adds rows to rows in place", 576, &add),
    };
}

} // namespace ptxgen::kernels
