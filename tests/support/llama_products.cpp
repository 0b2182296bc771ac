#include "tests/support/llama_products.hpp"

#include "ptxgen/base/float16.hpp"
#include "runtime/inference/quant.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ptxgen::test {
namespace {

double as_f16(float value) { return f16_to_f32(f32_to_f16(value)); }

void round_block_of_32(std::span<const float> x, bool with_sum, RoundedActivations& out) {
    float largest = 0;
    for (const float v : x) largest = std::max(largest, std::fabs(v));
    const float d = largest / 127.0F;
    const float inverse = d != 0 ? 1.0F / d : 0.0F;
    int sum = 0;
    for (const float v : x) {
        const auto byte = static_cast<int>(std::round(v * inverse));
        sum += byte;
        out.values.push_back(as_f16(d) * byte);
    }
    out.sums.push_back(with_sum ? as_f16(static_cast<float>(sum) * d) : as_f16(d) * sum);
}

void round_block_of_256(std::span<const float> x, RoundedActivations& out) {
    float largest = 0, signed_largest = 0;
    for (const float v : x)
        if (std::fabs(v) > largest) {
            largest = std::fabs(v);
            signed_largest = v;
        }
    const float scale = largest != 0 ? -127.0F / signed_largest : 0.0F;
    const double d = largest != 0 ? 1.0F / scale : 0.0F;
    double sum = 0;
    for (const float v : x) {
        const long byte = std::min(127L, std::lrint(scale * v));
        out.values.push_back(d * static_cast<double>(byte));
        sum += out.values.back();
    }
    out.sums.push_back(sum);
}

} // namespace

RoundedActivations llama_activations(TensorType weights, std::span<const float> x) {
    using enum TensorType;
    RoundedActivations out;
    if (weights == q4_k || weights == q6_k)
        out.block = 256;
    else if (weights == q4_1 || weights == q5_0 || weights == q8_0)
        out.block = 32;
    else
        return out;
    for (; x.size() >= out.block; x = x.subspan(out.block)) {
        if (out.block == 256)
            round_block_of_256(x.first(256), out);
        else
            round_block_of_32(x.first(32), weights == q4_1, out);
    }
    return out;
}

double llama_product(TensorType type, const std::byte* row, const RoundedActivations& activations) {
    const auto& x = activations.values;
    std::vector<double> weights(x.size());
    quant::dequantize(type, row, weights.size(), weights.data());
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); i++) sum += weights[i] * x[i];
    if (type != TensorType::q4_1) return sum;
    // The minimum is multiplied by the stored sum, which is rounded otherwise than what the values add up to.
    const std::uint32_t block_bytes = tensor_type_info(type).block_bytes;
    for (std::size_t b = 0; b < activations.sums.size(); b++) {
        std::uint16_t minimum = 0;
        std::memcpy(&minimum, row + b * block_bytes + 2, sizeof minimum);
        double of_values = 0;
        for (std::size_t i = 0; i < 32; i++) of_values += x[b * 32 + i];
        sum += f16_to_f32(minimum) * (activations.sums[b] - of_values);
    }
    return sum;
}

} // namespace ptxgen::test
