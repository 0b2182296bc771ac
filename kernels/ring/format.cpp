#include "kernels/ring/format.hpp"

#include "kernels/ring/code_layouts.hpp"

#include <array>

namespace ptxgen::kernels {
namespace {

constexpr std::array types{TensorType::q4_1, TensorType::q5_0, TensorType::q8_0, TensorType::q4_k, TensorType::q6_k};

} // namespace

std::span<const TensorType> ring_types() { return types; }

std::optional<RingFormat> ring_format(TensorType type) {
    const RingCodeLayout* codes = nullptr;
    switch (type) {
    case TensorType::q4_1:
    case TensorType::q4_k: codes = &ring_nibbles; break;
    case TensorType::q5_0: codes = &ring_fives; break;
    case TensorType::q6_k: codes = &ring_sixes; break;
    case TensorType::q8_0: codes = &ring_bytes_layout; break;
    default: return std::nullopt;
    }
    return RingFormat{type, codes, static_cast<std::uint32_t>(ring_tile_rows * row_bytes(type, ring_super_block))};
}

RingShape ring_shape(std::uint64_t rows, std::uint64_t cols) {
    return {static_cast<std::uint32_t>((rows + ring_tile_rows - 1) / ring_tile_rows),
            static_cast<std::uint32_t>((cols + ring_super_block - 1) / ring_super_block)};
}

std::uint64_t ring_bytes(TensorType type, std::uint64_t rows, std::uint64_t cols) {
    return ring_shape(rows, cols).units() * ring_format(type)->unit_bytes;
}

} // namespace ptxgen::kernels
