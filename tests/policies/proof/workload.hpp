#pragma once

#include "kernels/scheduled.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ptxgen::test {

/// How the cost of the tiles is spread.
enum class Workload : std::uint8_t {
    uniform,
    clustered_heavy, ///< a run of neighbours in the first quarter costs many times the others
    data_dependent,  ///< a buffer says how much each one costs
};
std::string to_string(Workload workload);

inline constexpr std::uint32_t workload_threads = 64;

/// A grid of tiles, each of which mixes its number and its threads for as many rounds as it costs, through shared
/// memory that the next tile uses again. Parameters: `out` u32 [tiles][threads], `claims` u32 [tiles], of which each
/// tile counts up its own once; `costs` u32 [tiles].
kernels::TileKernel workload_tiles(Workload workload, kernels::Grid grid);
/// The same with a CTA for each tile and no scheduler.
Result<kernels::Generated> workload_plain(Workload workload, kernels::Grid grid, Target target);

/// What `costs` holds, and what `out` must be: computed on the host.
std::vector<std::uint32_t> workload_costs(std::uint32_t tiles);
std::vector<std::uint32_t> workload_results(Workload workload, std::uint32_t tiles);

} // namespace ptxgen::test
