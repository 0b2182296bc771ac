#pragma once

#include "runtime/inference/gguf.hpp"

#include <cstddef>
#include <functional>
#include <vector>

/// Float64 linear algebra over dequantised tensors, for reference computations.
namespace ptxgen::test {

/// Calls body(begin, end) on pieces of [0, count) from all cores.
void parallel_for(std::size_t count, const std::function<void(std::size_t, std::size_t)>& body);

/// x: [tokens][inputs]; weights: [inputs, outputs]; returns [tokens][outputs], each output sum_i x[i] · w[i].
std::vector<double> matmul(const gguf::Tensor& weights, const std::vector<double>& x, std::size_t tokens);

/// All values of a tensor.
std::vector<double> values_of(const gguf::Tensor& tensor);

/// Rows of `width` values scaled to a mean square of 1 (plus epsilon), times weights, in place.
void rms_norm(std::vector<double>& x, const std::vector<double>& weights, double epsilon);

} // namespace ptxgen::test
