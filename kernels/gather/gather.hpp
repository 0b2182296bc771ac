#pragma once

#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/generated.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

/// out[t][:] = scale · table[ids[t]][:], the rows of an embedding matrix.
///
/// table: `rows` rows of `cols` weights as GGUF stores them, from a 32-byte aligned address. ids: u32 [tokens]; an id
/// that is no row reads the last row. out: f32 [tokens][cols], 16-byte aligned.
struct GatherConfig {
    TensorType type = TensorType::f32;
    std::uint32_t rows = 1;
    std::uint32_t cols = 32; ///< a multiple of the type's block_elements
    float scale = 1;
    std::uint32_t warps_per_cta = 4; ///< 1 to 32
};

/// Parameters in order: table, ids, out.
Result<Generated> gather(const GatherConfig& config, std::optional<Target> target = std::nullopt,
                         std::optional<PtxVersion> version = std::nullopt);

/// CTAs for `tokens` tokens, each of 32 · warps_per_cta threads.
Grid gather_grid(const GatherConfig& config, std::uint32_t tokens);

/// Decodes unit `unit` (counted through the row) of the row at `row` into out, the first element of the output row,
/// in global or shared memory.
/// `unit` must be in range.
template <pointer_type P>
void emit_dequantize_unit(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale, const WeightPtr& row,
                          const Val<u32>& unit, const Val<P>& out);

} // namespace ptxgen::kernels
