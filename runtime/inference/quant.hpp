#pragma once

#include "kernels/tensor_type.hpp"

#include <cstddef>
#include <cstdint>

/// The block formats on the CPU: what each stored value is worth. Layouts are those of ggml (ggml-common.h).
namespace ptxgen::quant {

/// Values of one block of the type into `out`, block_elements floats. `block` has block_bytes bytes, of any alignment.
/// Each value is the format's exact value rounded once to f32.
using BlockDecoder = void (*)(const std::byte* block, float* out);
BlockDecoder block_decoder(TensorType type);

/// `elements` values (a multiple of the type's block_elements) from row_bytes(type, elements) bytes of any alignment.
void dequantize(TensorType type, const std::byte* blocks, std::uint64_t elements, float* out);
void dequantize(TensorType type, const std::byte* blocks, std::uint64_t elements, double* out);

} // namespace ptxgen::quant
