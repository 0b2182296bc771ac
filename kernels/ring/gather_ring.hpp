#pragma once

#include "kernels/generated.hpp"
#include "kernels/ring/format.hpp"

#include <optional>
#include <string>

namespace ptxgen::kernels {

/// out[t][:] = scale · table[ids[t]][:], rows of a matrix in the ring format: the embedding of tokens where the same
/// matrix is the output matrix.
///
/// ids: u32 [tokens]; an id that is no row reads the last row. out: f32 [tokens][cols], 16-byte aligned.
struct GatherRingConfig {
    TensorType type = TensorType::q8_0;
    std::uint32_t rows = 1;
    std::uint32_t cols = 256; ///< a multiple of the type's block
    float scale = 1;
    std::uint32_t warps_per_cta = 4; ///< 1 to 32
};

/// The name it is registered by: "gather_ring_q8_0".
std::string gather_ring_name(TensorType type);

/// Parameters in order: table, ids, out.
Result<Generated> gather_ring(const GatherRingConfig& config, std::optional<Target> target = std::nullopt,
                              std::optional<PtxVersion> version = std::nullopt);

/// CTAs for `tokens` tokens, each of 32 · warps_per_cta threads.
Grid gather_ring_grid(const GatherRingConfig& config, std::uint32_t tokens);

/// Parts of a row that threads decode by themselves: 4 · (256 / parts of a unit) values each.
std::uint32_t gather_ring_parts(TensorType type, std::uint32_t cols);

/// One thread decodes part `part` < gather_ring_parts() of row `row` < rows into the row at `out` (16-byte aligned), in
/// global or shared memory.
void emit_gather_ring_part(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale,
                           const Val<global_ptr<const u8>>& table, const Val<u32>& row, const Val<u32>& part,
                           const Val<global_ptr<f32>>& out);
void emit_gather_ring_part(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale,
                           const Val<global_ptr<const u8>>& table, const Val<u32>& row, const Val<u32>& part,
                           const Val<shared_ptr<f32>>& out);

} // namespace ptxgen::kernels
