#include "tests/policies/proof/workload.hpp"

namespace ptxgen::test {
namespace {

constexpr std::uint32_t light = 1, heavy = 12;

/// Rounds of a tile; the host's side of emit_cost.
std::uint32_t cost_of(Workload workload, std::uint32_t tile, std::uint32_t tiles,
                      const std::vector<std::uint32_t>& costs) {
    switch (workload) {
    case Workload::uniform: return 2;
    case Workload::clustered_heavy: return tile * 4 < tiles ? heavy : light;
    case Workload::data_dependent: return costs[tile];
    }
    return 0;
}

struct Parameters {
    Val<global_ptr<u32>> out, claims;
    Val<global_ptr<const u32>> costs;
};

Parameters declare(KernelBuilder& k) {
    const auto out = k.param<global_ptr<u32>>("out", "u32 [tiles][threads]");
    const auto claims = k.param<global_ptr<u32>>("claims", "u32 [tiles]");
    const auto costs = k.param<global_ptr<const u32>>("costs", "u32 [tiles]");
    return {out, claims, costs};
}

Val<u32> emit_cost(KernelBuilder& k, Workload workload, const Val<u32>& tile, std::uint32_t tiles,
                   const Parameters& parameters) {
    switch (workload) {
    case Workload::uniform: return k.imm<u32>(2);
    case Workload::clustered_heavy: {
        const Val<u32> yes = k.imm<u32>(heavy);
        return k.selp(yes, light, tile < (tiles + 3) / 4);
    }
    case Workload::data_dependent: return k.ld(parameters.costs + tile);
    }
    return k.imm<u32>(0);
}

void emit_tile(KernelBuilder k, Workload workload, kernels::Grid grid, const Parameters& p,
               const Val<shared_ptr<u32>>& scratch, const policies::TileId& id) {
    const LabelRef outside = k.label("outside");
    k.bra_if(id.x >= grid.x, outside);
    k.bra_if(id.y >= grid.y, outside);
    k.bra_if(id.z >= grid.z, outside);
    const std::uint32_t tiles = grid.x * grid.y * grid.z;
    const Val<u32> row = k.mad_lo(id.z, grid.y, id.y);
    const Val<u32> tile = k.mad_lo(row, grid.x, id.x);
    const Val<u32> thread = k.tid.x;
    const Val<u32> start = tile * 2654435761U;
    auto h = k.var<u32>(start + thread);
    const Val<u32> cost = emit_cost(k, workload, tile, tiles, p);
    const Val<u32> neighbour = thread ^ 33U; // of another warp
    k.for_<u32>(0U, cost, 1U, [&](const auto&) {
        k.st(scratch + thread, h);
        k.bar_sync(0U);
        const Val<u32> other = k.ld(scratch + neighbour);
        k.bar_sync(0U);
        h = k.mad_lo(h, 1664525U, other);
    });
    const Val<u32> at = k.mad_lo(tile, workload_threads, thread);
    k.st(p.out + at, h);
    const Pred first = thread == 0U;
    k.predicated(first, [&] { k.red_add(p.claims + tile, 1U, relaxed, gpu); });
    k.place(outside);
}

} // namespace

std::string to_string(Workload workload) {
    switch (workload) {
    case Workload::uniform: return "uniform";
    case Workload::clustered_heavy: return "clustered heavy";
    case Workload::data_dependent: return "data-dependent";
    }
    return "";
}

kernels::TileKernel workload_tiles(Workload workload, kernels::Grid grid) {
    kernels::TileKernel kernel;
    kernel.name = "workload";
    kernel.launch.grid_x = std::to_string(grid.x);
    kernel.launch.grid_y = std::to_string(grid.y);
    kernel.launch.grid_z = std::to_string(grid.z);
    kernel.launch.block_x = kernel.max_threads = workload_threads;
    kernel.prologue = [=](KernelBuilder& builder) {
        const Parameters parameters = declare(builder);
        const auto scratch = builder.shared<u32>("scratch", workload_threads);
        policies::TileCode code;
        code.dimensions = grid.z > 1 ? 3 : grid.y > 1 ? 2 : 1;
        code.grid = [grid, dimensions = code.dimensions, k = builder]() mutable {
            std::vector<Val<u32>> sizes{k.imm<u32>(grid.x)};
            if (dimensions > 1) sizes.push_back(k.imm<u32>(grid.y));
            if (dimensions > 2) sizes.push_back(k.imm<u32>(grid.z));
            return sizes;
        };
        code.tile = [=, k = builder](const policies::TileId& id) {
            emit_tile(k, workload, grid, parameters, scratch, id);
        };
        return code;
    };
    return kernel;
}

Result<kernels::Generated> workload_plain(Workload workload, kernels::Grid grid, Target target) {
    ModuleBuilder module(target);
    KernelBuilder k = module.kernel("workload");
    k.max_threads(workload_threads);
    const auto code = workload_tiles(workload, grid).prologue(k);
    code.tile({k.ctaid.x, k.ctaid.y, k.ctaid.z});
    kernels::LaunchShape launch;
    launch.block_x = workload_threads;
    return kernels::finish(std::move(module), launch);
}

std::vector<std::uint32_t> workload_costs(std::uint32_t tiles) {
    std::vector<std::uint32_t> costs(tiles);
    std::uint32_t state = 7;
    for (auto& cost : costs) {
        state = state * 1664525 + 1013904223;
        cost = (state >> 28) < 3 ? 9 : state >> 30; // 0 too
    }
    return costs;
}

std::vector<std::uint32_t> workload_results(Workload workload, std::uint32_t tiles) {
    const auto costs = workload_costs(tiles);
    std::vector<std::uint32_t> out;
    for (std::uint32_t tile = 0; tile < tiles; tile++) {
        std::vector<std::uint32_t> h(workload_threads);
        for (std::uint32_t thread = 0; thread < workload_threads; thread++) h[thread] = tile * 2654435761U + thread;
        for (std::uint32_t round = 0; round < cost_of(workload, tile, tiles, costs); round++) {
            const auto before = h;
            for (std::uint32_t thread = 0; thread < workload_threads; thread++)
                h[thread] = before[thread] * 1664525 + before[thread ^ 33];
        }
        out.insert(out.end(), h.begin(), h.end());
    }
    return out;
}

} // namespace ptxgen::test
