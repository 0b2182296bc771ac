#include "policies/tiles.hpp"

namespace ptxgen::policies {

Val<u32> linear_cta(KernelBuilder& k, unsigned dimensions) {
    if (dimensions == 1) return k.ctaid.x;
    if (dimensions == 2) return k.mad_lo(k.ctaid.y, k.nctaid.x, k.ctaid.x);
    const Val<u32> rows = k.mad_lo(k.ctaid.z, k.nctaid.y, k.ctaid.y);
    return k.mad_lo(rows, k.nctaid.x, k.ctaid.x);
}

Val<u32> linear_size(KernelBuilder& k, unsigned dimensions) {
    if (dimensions == 1) return k.nctaid.x;
    const Val<u32> plane = k.nctaid.x * k.nctaid.y;
    if (dimensions == 2) return plane;
    return plane * k.nctaid.z;
}

TileId tile_of(KernelBuilder& k, const Val<u32>& linear, const std::vector<Val<u32>>& sizes) {
    const Val<u32> none = k.imm<u32>(0);
    if (sizes.size() == 1) return {linear, none, none};
    const Val<u32> row = linear / sizes[0];
    const Val<u32> before = row * sizes[0];
    const Val<u32> x = linear - before;
    if (sizes.size() == 2) return {x, row, none};
    const Val<u32> z = row / sizes[1];
    const Val<u32> rows_before = z * sizes[1];
    const Val<u32> y = row - rows_before;
    return {x, y, z};
}

} // namespace ptxgen::policies
