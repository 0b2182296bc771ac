#pragma once

#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"
#include "kernels/ring/activations.hpp"

#include <optional>

/// Activations of many tokens as matmul_ring takes them: quantised as everywhere (activations.hpp), in the order in
/// which lanes read the B operands of mma.m16n8k32.
///
/// A *column block* is 8 tokens × 256 columns, 2816 bytes. Lane l is q = l % 4 of token g = l / 4:
///   [0, 2048)     for each pair i of 32-blocks: for each lane 16 bytes, b0 and b1 of block 2i, then of block 2i + 1;
///   b0 is
///                 columns 4q … 4q + 3, b1 columns 16 + 4q …
///   [2048, 2304)  for each pair i: for each q f32 d of block 2i of tokens 2q and 2q + 1, then of block 2i + 1
///   [2304, 2816)  for each lane, d · Σ bytes of blocks 2q and 2q + 1 in two parts of 11 bits: high, high, low, low
/// Column block (t, s) of tokens 8t … and columns 256s … stands (t · ceil(cols / 256) + s) column blocks from the
/// start. Columns and tokens that do not exist are zero.
namespace ptxgen::kernels {

inline constexpr std::uint32_t ring_column_tokens = 8;
inline constexpr std::uint32_t ring_column_scales = 2048; ///< offsets within a column block
inline constexpr std::uint32_t ring_column_sums = 2304;
inline constexpr std::uint32_t ring_column_block_bytes = 2816;

constexpr std::uint64_t ring_column_bytes(std::uint64_t tokens, std::uint64_t cols) {
    return (tokens + ring_column_tokens - 1) / ring_column_tokens * ((cols + ring_super_block - 1) / ring_super_block) *
           ring_column_block_bytes;
}

/// Kernel ring_columns(x, columns, tokens) or, where x is act(gate) · up, ring_columns(gate, up, columns, tokens). x,
/// gate and up: f32 [tokens][cols], 16-byte aligned; columns: column blocks, aligned likewise.
struct RingColumnsConfig {
    std::uint32_t cols = 256;             ///< a multiple of 32
    std::optional<Activation> gated = {}; ///< act; nothing: x is given
    std::uint32_t warps_per_cta = 4;
};
Result<Generated> ring_columns(const RingColumnsConfig& config, std::optional<Target> target = std::nullopt,
                               std::optional<PtxVersion> version = std::nullopt);
Grid ring_columns_grid(const RingColumnsConfig& config, std::uint32_t tokens);

} // namespace ptxgen::kernels
