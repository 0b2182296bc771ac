#pragma once

#include "kernels/generated.hpp"
#include "policies/schedule.hpp"

#include <optional>
#include <string>

namespace ptxgen::kernels {

/// A kernel that can be scheduled: each CTA of its plain form computes one tile. Kernels that can be say so by a
/// function that makes one (matmul_tile, gemv_tile) and by KernelSpec::tiles.
struct TileKernel {
    std::string name;
    LaunchShape launch;              ///< of the plain form
    std::uint32_t max_threads = 0;   ///< `.maxntid`
    policies::TilePrologue prologue; ///< parameters, what a CTA computes once, and the code of a tile
};

/// The kernel under a policy: a CTA that has finished its tile goes on with another, if the policy wants that and there
/// is one. Every tile runs exactly once. The parameters are the kernel's own, then `tickets` (scheduler ticket) and
/// `counters` (if asked for); policies/schedule.hpp says what they point to.
///
/// Errors: what policies::choose_scheduler refuses; more shared memory, with what scheduler and policy add, than the
/// target has; an instruction that the target or version lacks. `note`, if given, gets a line where a scheduler was
/// chosen.
Result<Generated> schedule(const TileKernel& kernel, const policies::Policy& policy,
                           const policies::ScheduleOptions& options, std::optional<Target> target = std::nullopt,
                           std::optional<PtxVersion> version = std::nullopt, std::string* note = nullptr);
Result<Generated> schedule(const TileKernel& kernel, const policies::Policy& policy, policies::Scheduler scheduler,
                           std::optional<Target> target = std::nullopt,
                           std::optional<PtxVersion> version = std::nullopt);

} // namespace ptxgen::kernels
