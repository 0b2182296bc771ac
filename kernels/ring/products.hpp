#pragma once

#include "kernels/ring/unit_product.hpp"

// The constructors behind ring_product().
namespace ptxgen::kernels {

std::unique_ptr<RingProduct> ring_product_q4_k(KernelBuilder& k, const RingFormat& format, const RingLane& lane);
std::unique_ptr<RingProduct> ring_product_q6_k(KernelBuilder& k, const RingFormat& format, const RingLane& lane);
/// Blocks of 32: Q8_0, Q4_1, Q5_0.
std::unique_ptr<RingProduct> ring_product_blocks(KernelBuilder& k, const RingFormat& format, const RingLane& lane);

/// The two f16 of a word as f32, the low one first.
std::array<Val<f32>, 2> emit_unpack_halves(KernelBuilder& k, const Val<u32>& word);

} // namespace ptxgen::kernels
