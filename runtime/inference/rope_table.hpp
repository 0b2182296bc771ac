#pragma once

#include "kernels/model_shape.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ptxgen {

/// Cosines and sines of all rotations: f32 [positions][dim / 2][2], pair i of position p at angle
/// p · scale · base^(-2i/dim) / factors[i], computed in double. `factors` is empty or dim / 2 long.
std::vector<float> rope_table(std::uint32_t positions, std::uint32_t dim, double base, double scale,
                              std::span<const float> factors);

/// A model's rope_table()s on a device: one for layers that see everything and, if the model has them, one for layers
/// with a sliding window.
class RopeTables {
public:
    RopeTables() = default;
    RopeTables(const ModelShape& shape, std::uint32_t positions)
        : rope_(shape.rope), positions_(positions), count_(shape.sliding_window > 0 ? 2 : 1) {}

    Status upload(runtime::Device& device, std::span<const float> factors);
    /// Device memory that upload() takes.
    std::uint64_t bytes() const { return count_ * table_bytes(); }

    runtime::DevicePtr address(bool sliding) const { return buffer_.address() + (sliding ? table_bytes() : 0); }

private:
    std::uint64_t table_bytes() const { return (4ull * positions_ * rope_.dim + 255) / 256 * 256; }

    RopeShape rope_;
    std::uint32_t positions_ = 0, count_ = 0;
    runtime::Buffer buffer_;
};

} // namespace ptxgen
