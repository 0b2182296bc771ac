#include "runtime/inference/rope_table.hpp"

#include <cmath>

namespace ptxgen {

std::vector<float> rope_table(std::uint32_t positions, std::uint32_t dim, double base, double scale,
                              std::span<const float> factors) {
    const std::uint32_t pairs = dim / 2;
    std::vector<double> frequency(pairs);
    for (std::uint32_t i = 0; i < pairs; i++) {
        frequency[i] = scale * std::pow(base, -2.0 * i / dim);
        if (!factors.empty()) frequency[i] /= factors[i];
    }
    std::vector<float> table(std::size_t{positions} * pairs * 2);
    for (std::uint32_t p = 0; p < positions; p++)
        for (std::uint32_t i = 0; i < pairs; i++) {
            float* entry = &table[(std::size_t{p} * pairs + i) * 2];
            entry[0] = static_cast<float>(std::cos(p * frequency[i]));
            entry[1] = static_cast<float>(std::sin(p * frequency[i]));
        }
    return table;
}

Status RopeTables::upload(runtime::Device& device, std::span<const float> factors) {
    auto buffer = device.allocate(bytes());
    if (!buffer) return std::move(buffer).error();
    buffer_ = std::move(*buffer);
    for (std::uint32_t i = 0; i < count_; i++) {
        const bool sliding = i == 1;
        const auto values = rope_table(positions_, rope_.dim, sliding ? rope_.base_swa : rope_.base,
                                       sliding ? 1.0 : rope_.scale, factors);
        if (auto ok = device.stream().copy_to_device(address(sliding), values.data(), values.size() * 4); !ok)
            return ok;
    }
    return {};
}

} // namespace ptxgen
