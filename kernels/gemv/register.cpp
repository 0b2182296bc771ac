#include "kernels/registry.hpp"

namespace ptxgen::kernels {

std::vector<KernelSpec> gemv_kernels() { return {}; }

} // namespace ptxgen::kernels
