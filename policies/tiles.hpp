#pragma once

#include "ptxgen/ptxgen.hpp"

#include <functional>
#include <vector>

namespace ptxgen::policies {

/// Which tile of the grid: what %ctaid is in a kernel whose CTAs compute one tile each. A dimension that the grid does
/// not use is 0.
struct TileId {
    Val<u32> x, y, z;
};

/// The code of a kernel that can be scheduled, after its prologue: what is to be done for each tile, and how many
/// there are.
struct TileCode {
    unsigned dimensions = 1; ///< of the grid that are used, 1 to 3
    /// Emits how many tiles there are along each of them, from the kernel's parameters. For schedulers whose launch
    /// does not say it; called once at most.
    std::function<std::vector<Val<u32>>()> grid;
    /// Emits the computation of one tile. All threads of the CTA run it; it does nothing for a tile outside of the grid
    /// and leaves through its end, never by `ret`. Called once. What is computed here and not in the prologue takes no
    /// registers from one tile to the next.
    std::function<void(const TileId& tile)> tile;
};

/// %ctaid as one number, x fastest, and the product of %nctaid.
Val<u32> linear_cta(KernelBuilder& k, unsigned dimensions);
Val<u32> linear_size(KernelBuilder& k, unsigned dimensions);
/// A linear number as the tile of a grid of these sizes, x fastest.
TileId tile_of(KernelBuilder& k, const Val<u32>& linear, const std::vector<Val<u32>>& sizes);

} // namespace ptxgen::policies
