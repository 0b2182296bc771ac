#pragma once

#include "kernels/model_shape.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ptxgen {

/// Cosines and sines of all rotations: f32 [positions][dim / 2][2], pair i of position p at angle
/// p · scale · base^(-2i/dim) / factors[i], computed in double. `factors` is empty or dim / 2 long.
std::vector<float> rope_table(std::uint32_t positions, std::uint32_t dim, double base, double scale,
                              std::span<const float> factors);

} // namespace ptxgen
