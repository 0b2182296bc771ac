#include "kernels/norm/add_rms_norm.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {

std::vector<KernelSpec> norm_kernels() {
    std::vector<KernelSpec> kernels(3);
    kernels[0].name = "rms_norm";
    kernels[0].family = "norm";
    kernels[0].summary = "RMS norm of each row, times a weight vector";
    kernels[0].parameters = {
        ParameterSpec::integer("width", "elements of a row", 576, 1, 1 << 20),
        ParameterSpec::real("epsilon", "added to the mean square", 1e-5, 0, 1),
    };
    kernels[0].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        return rms_norm({values.u32("width"), values.real("epsilon")}, target, version);
    };
    kernels[1].name = "head_rms_norm";
    kernels[1].family = "norm";
    kernels[1].summary = "RMS norm of each head of each row, with one weight vector for all heads";
    kernels[1].parameters = {
        ParameterSpec::integer("heads", "heads of a row", 16, 1, 1 << 16),
        ParameterSpec::integer("head-dim", "elements of a head", 128, 1, 1024),
        ParameterSpec::real("epsilon", "added to the mean square", 1e-6, 0, 1),
    };
    kernels[1].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        return head_rms_norm({values.u32("heads"), values.u32("head-dim"), values.real("epsilon")}, target, version);
    };
    kernels[2].name = "add_rms_norm";
    kernels[2].family = "norm";
    kernels[2].summary = "RMS norm of each row of y, times a weight vector, added to the rows of x";
    kernels[2].parameters = {
        ParameterSpec::integer("width", "elements of a row", 640, 32, 1 << 20, 32),
        ParameterSpec::real("epsilon", "added to the mean square", 1e-6, 0, 1),
    };
    kernels[2].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        return add_rms_norm({values.u32("width"), values.real("epsilon")}, target, version);
    };
    return kernels;
}

} // namespace ptxgen::kernels
