#pragma once

#include "kernels/ring/format.hpp"
#include "runtime/inference/quant.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/quant_blocks.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace ptxgen::test {

/// What the kernels make of an activation vector: in blocks of 32, d = max|x| / 127 and the nearest multiple of it.
inline std::vector<double> quantized(const std::vector<float>& x) {
    std::vector<double> values;
    for (std::size_t b = 0; b < x.size(); b += 32) {
        float largest = 0;
        for (std::size_t i = b; i < b + 32; i++) largest = std::max(largest, std::abs(x[i]));
        const float scale = largest * (1.0F / 127.0F);
        const float inverse = largest >= 0x1p-100F ? 1.0F / largest * 127.0F : 0.0F;
        for (std::size_t i = b; i < b + 32; i++)
            values.push_back(std::nearbyint(static_cast<double>(x[i]) * static_cast<double>(inverse)) *
                             static_cast<double>(scale));
    }
    return values;
}

/// `cols` rounded up to whole blocks of the type.
inline std::uint32_t ring_cols(TensorType type, std::uint32_t cols) {
    const std::uint32_t step = tensor_type_info(type).block_elements;
    return (cols + step - 1) / step * step;
}

/// A product of a packed matrix with the activations of some tokens, and its result in f64.
struct RingCase {
    std::vector<std::byte> stored, packed;
    std::vector<float> x, norm, bias, residual;
    std::vector<double> expected;  ///< [tokens][rows]
    std::vector<double> magnitude; ///< Σ |w · x| and the other terms, what rounding errors are measured by

    /// The largest distance from what is expected, in magnitudes.
    double distance(const std::vector<float>& found) const {
        REQUIRE(found.size() == expected.size());
        double worst = 0;
        for (std::size_t i = 0; i < found.size(); i++) {
            const double distance = std::abs(static_cast<double>(found[i]) - expected[i]) / magnitude[i];
            if (!(distance <= worst)) worst = std::isfinite(distance) ? distance : INFINITY;
        }
        return worst;
    }
};

struct RingCaseShape {
    std::uint32_t rows, cols, tokens;
    bool bias = false, residual = false;
    std::optional<double> norm_epsilon = {}; ///< x is normed
};

inline RingCase ring_case(TensorType type, const RingCaseShape& shape, Random& random) {
    const std::size_t count = std::size_t{shape.rows} * shape.cols;
    RingCase made;
    made.stored = random_blocks(type, count, random);
    made.packed.resize(kernels::ring_bytes(type, shape.rows, shape.cols));
    kernels::pack_ring(type, shape.rows, shape.cols, made.stored.data(), 0,
                       kernels::ring_shape(shape.rows, shape.cols).tiles, made.packed.data());
    made.x = random_floats(random, std::size_t{shape.tokens} * shape.cols);
    made.norm = random_floats(random, shape.cols);
    made.bias = random_floats(random, shape.rows);
    made.residual = random_floats(random, std::size_t{shape.tokens} * shape.rows);
    std::vector<double> w(count);
    quant::dequantize(type, made.stored.data(), count, w.data());
    std::vector<float> weighed = made.x;
    std::vector<double> inverse_rms(shape.tokens, 1);
    for (std::uint32_t t = 0; shape.norm_epsilon && t < shape.tokens; t++) {
        double squares = 0;
        for (std::uint32_t c = 0; c < shape.cols; c++) {
            float& value = weighed[std::size_t{t} * shape.cols + c];
            squares += double{value} * double{value};
            value *= made.norm[c];
        }
        inverse_rms[t] = 1 / std::sqrt(squares / shape.cols + *shape.norm_epsilon);
    }
    const std::vector<double> x = quantized(weighed);
    for (std::uint32_t t = 0; t < shape.tokens; t++)
        for (std::uint32_t r = 0; r < shape.rows; r++) {
            double sum = 0, magnitude = 0;
            const auto add = [&](double term) {
                sum += term;
                magnitude += std::abs(term);
            };
            for (std::uint32_t c = 0; c < shape.cols; c++)
                add(w[std::size_t{r} * shape.cols + c] * x[std::size_t{t} * shape.cols + c] * inverse_rms[t]);
            if (shape.bias) add(made.bias[r]);
            if (shape.residual) add(made.residual[std::size_t{t} * shape.rows + r]);
            made.expected.push_back(sum);
            made.magnitude.push_back(magnitude);
        }
    return made;
}

} // namespace ptxgen::test
