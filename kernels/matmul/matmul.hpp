#pragma once

#include "kernels/scheduled.hpp"

namespace ptxgen::kernels {

/// C[m][n] = Σ_k A[m][k] · B[k][n], all f32 and row-major, for any m, n and k from 0 (k = 0 gives zeros). Each CTA
/// computes tiles of tile_m × tile_n, each thread thread_m × thread_n elements of one. Every element is one chain of
/// fused multiply-adds in the order of k.
struct MatmulConfig {
    std::uint32_t tile_m = 64, tile_n = 64; ///< multiples of thread_m and thread_n
    std::uint32_t tile_k = 16;              ///< depth of the slices that pass through shared memory
    std::uint32_t thread_m = 4, thread_n = 4;
    bool dynamic_shared = false; ///< the launch gives the shared memory

    std::uint32_t threads() const { return tile_m / thread_m * (tile_n / thread_n); }
    /// Elements from one slice row of A to the next in shared memory: padded against bank conflicts.
    std::uint32_t a_stride() const { return tile_m + 4; }
    std::uint32_t shared_bytes() const { return 4 * tile_k * (a_stride() + tile_n); }
};

/// What the tiles of a CTA share: the kernel's parameters and what a thread computes once.
struct MatmulPrologue {
    Val<global_ptr<const f32>> a, b;
    Val<global_ptr<f32>> c;
    Val<u32> m, n, k;
    Val<u32> tiles_n; ///< tiles of a tile row
    Val<u32> tiles;   ///< of the whole product
    Val<u32> thread;
    Val<shared_ptr<f32>> a_slice, b_slice; ///< [tile_k][a_stride], A transposed; [tile_k][tile_n]
};

/// Declares parameters and shared memory and computes what all tiles need. Once in a kernel.
MatmulPrologue emit_matmul_prologue(KernelBuilder& k, const MatmulConfig& config);

/// Computes tile `tile` < prologue.tiles, counted row by row. All threads of the CTA take part; it may be called again
/// for another tile at once.
void emit_matmul_tile(KernelBuilder& k, const MatmulConfig& config, const MatmulPrologue& prologue,
                      const Val<u32>& tile);

/// Kernel matmul(a, b, c, m, n, k): one CTA for each tile.
Result<Generated> matmul(const MatmulConfig& config, std::optional<Target> target = {},
                         std::optional<PtxVersion> version = {});
/// The same to be scheduled. `config` must be one that check_matmul takes.
TileKernel matmul_tile(const MatmulConfig& config);
/// m and n from 1.
Grid matmul_grid(const MatmulConfig& config, std::uint32_t m, std::uint32_t n);

/// Whether the sizes fit together; the error names the one that does not.
Status check_matmul(const MatmulConfig& config);

} // namespace ptxgen::kernels
