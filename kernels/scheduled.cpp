#include "kernels/scheduled.hpp"

#include "kernels/manifest.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

using policies::Scheduler;

/// Launches have whole clusters.
void in_clusters(LaunchShape& launch, const std::array<std::uint32_t, 3>& cluster) {
    const auto rounded = [](std::string& grid, std::uint32_t ctas) {
        if (ctas > 1) grid = fmt::format("ceil({} / {}) * {}", grid, ctas, ctas);
    };
    rounded(launch.grid_x, cluster[0]);
    rounded(launch.grid_y, cluster[1]);
    rounded(launch.grid_z, cluster[2]);
    launch.cluster_x = cluster[0];
    launch.cluster_y = cluster[1];
    launch.cluster_z = cluster[2];
}

Status check_shared_memory(const Generated& generated, Target target) {
    const std::uint64_t fixed = static_shared_bytes(generated.module);
    const std::uint64_t wanted = fixed + generated.launch.dynamic_shared_bytes;
    const std::uint32_t available = shared_memory_limits(target).dynamic_bytes;
    if (wanted <= available) return {};
    return Error{fmt::format("kernel '{}' under policy '{}' needs {} bytes of shared memory ({} of them given by the "
                             "launch), but a CTA on {} has {}",
                             generated.name(), generated.policy, wanted, generated.launch.dynamic_shared_bytes,
                             to_string(target), available)};
}

} // namespace

Result<Generated> schedule(const TileKernel& kernel, const policies::Policy& policy,
                           const policies::ScheduleOptions& options, std::optional<Target> target,
                           std::optional<PtxVersion> version, std::string* note) {
    auto chosen = policies::choose_scheduler(policy, options, target);
    if (!chosen) return Error{fmt::format("kernel '{}': {}", kernel.name, chosen.error().message)};
    if (note) *note = chosen->note;

    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel(kernel.name);
    k.max_threads(kernel.max_threads);
    LaunchShape launch = kernel.launch;
    if (options.cluster_ctas() > 1) {
        const auto [x, y, z] = options.cluster;
        k.directive("explicitcluster", {});
        k.directive("reqnctapercluster", {x, y, z});
        in_clusters(launch, options.cluster);
    }
    if (chosen->scheduler == Scheduler::static_) {
        launch.grid_x = "as many as are resident at once, or any other number from 1 on";
        launch.grid_y = launch.grid_z = "1";
    }
    const bool block_is_flat = launch.block_y == 1 && launch.block_z == 1;
    if (auto ok = policies::emit_schedule(k, kernel.prologue, policy, chosen->scheduler, options, block_is_flat); !ok)
        return Error{fmt::format("kernel '{}': {}", kernel.name, ok.error().message)};

    auto generated = finish(std::move(module), std::move(launch));
    if (!generated) return generated;
    generated->policy = policy.text();
    generated->scheduler = policies::to_string(chosen->scheduler);
    const auto resolved = resolve_target(generated->module);
    if (!resolved) return resolved.error();
    // Without a target the text names the lowest one, and any later device may run it.
    if (target)
        if (auto ok = check_shared_memory(*generated, resolved->target); !ok) return ok.error();
    return generated;
}

Result<Generated> schedule(const TileKernel& kernel, const policies::Policy& policy, Scheduler scheduler,
                           std::optional<Target> target, std::optional<PtxVersion> version) {
    policies::ScheduleOptions options;
    options.scheduler = scheduler;
    return schedule(kernel, policy, options, target, version);
}

} // namespace ptxgen::kernels
