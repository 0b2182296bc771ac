#include "policies/schedulers/loop.hpp"

namespace ptxgen::policies {

// CTA c of n takes the tiles c, c + n, c + 2 n, …
void emit_static(TileLoop& loop) {
    KernelBuilder& k = loop.k;
    loop.declare_counters();
    const std::vector<Val<u32>> sizes = loop.code.grid();
    const auto product = [&]() -> Val<u32> {
        if (sizes.size() == 1) return sizes[0];
        const Val<u32> plane = sizes[0] * sizes[1];
        if (sizes.size() == 2) return plane;
        return plane * sizes[2];
    };
    const Val<u32> total = product();
    const LabelRef round = k.label("round"), done = k.label("done");
    auto tile = k.var<u32>(k.ctaid.x);
    k.bra_if(tile >= total, done);
    if (loop.counts()) k.if_(loop.first_thread(), [&] { loop.count(Counter::launched); });
    k.place(round);
    loop.code.tile(tile_of(k, Val<u32>(k.state(), tile.operand()), sizes));
    tile += k.nctaid.x;
    k.bra_if(tile >= total, done);
    if (loop.counts()) k.if_(loop.first_thread(), [&] { loop.count(Counter::stolen); });
    k.barrier_sync(0U); // the next tile uses the same shared memory
    k.bra_if(tile < total, round);
    k.place(done);
}

} // namespace ptxgen::policies
