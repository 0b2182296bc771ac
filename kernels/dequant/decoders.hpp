#pragma once

#include "kernels/dequant/unit_decoder.hpp"

// The constructors behind unit_decoder().
namespace ptxgen::kernels {

/// F32, F16 and BF16.
std::unique_ptr<UnitDecoder> plain_decoder(TensorType type, std::uint32_t cols);
/// Q8_0.
std::unique_ptr<UnitDecoder> byte_block_decoder();
/// The 4- and 5-bit types in groups of 32: Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, IQ4_XS, MXFP4.
std::unique_ptr<UnitDecoder> nibble_block_decoder(TensorType type);
/// Q4_K and Q5_K.
std::unique_ptr<UnitDecoder> scale_min_decoder(TensorType type);
/// Q2_K, Q3_K and Q6_K.
std::unique_ptr<UnitDecoder> interleaved_decoder(TensorType type);

} // namespace ptxgen::kernels
