#include "kernels/elementwise/elementwise.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {

LaunchShape ElementwiseRows::launch() const {
    LaunchShape shape;
    shape.grid_x = "tokens";
    shape.grid_y = fmt::format("{}", ctas());
    shape.block_x = threads;
    return shape;
}

} // namespace ptxgen::kernels
