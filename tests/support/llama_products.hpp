#pragma once

#include "kernels/tensor_type.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ptxgen::test {

/// Activations as llama.cpp's CPU path rounds them before it multiplies: signed bytes with a scale for each block.
struct RoundedActivations {
    std::uint32_t block = 0;    ///< values of a block
    std::vector<double> values; ///< scale · byte
    std::vector<double> sums;   ///< of each block, as its product uses it for the weights' minimum
};

/// What llama.cpp's product with rows of this type multiplies. Blocks, with d from the largest magnitude a in a block
/// (ggml-quants.c, quantize_row_q8_0_ref, _q8_1_ref, _q8_K_ref):
///   Q8_0 (for Q5_0 and Q8_0): 32 values, bytes round(x / d) for d = a / 127, multiplied by d rounded to f16;
///   Q8_1 (for Q4_1): the same, and the sum d · Σ bytes, with d not rounded, itself rounded to f16;
///   Q8_K (for Q4_K and Q6_K): 256 values, d = x_a / -127 in f32 for the value x_a of that magnitude, bytes at most
///   127, and exact sums.
/// `x.size()` is a multiple of the block. Other types of weights give no values.
RoundedActivations llama_activations(TensorType weights, std::span<const float> x);

/// llama.cpp's product of a stored row (x.size() values of `type`, one of those five) and activations, but for the
/// rounding of its f32 sums: those are computed in float64.
double llama_product(TensorType type, const std::byte* row, const RoundedActivations& activations);

} // namespace ptxgen::test
