#pragma once

#include "kernels/tensor_type.hpp"
#include "runtime/inference/random.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ptxgen {

/// Random valid blocks of a type: `elements` values (a multiple of its block_elements) of mean about 0 and root mean
/// square about `scale`, in row_bytes(type, elements) bytes. Every field takes all its values; Q8_1's and Q8_K's sums
/// are right.
std::vector<std::byte> random_blocks(TensorType type, std::uint64_t elements, Random& random, double scale = 1);

/// Values stored as F32, F16 or BF16.
std::vector<std::byte> encode_plain(TensorType type, const std::vector<float>& values);

} // namespace ptxgen
