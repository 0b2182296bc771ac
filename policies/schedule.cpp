#include "policies/schedule.hpp"

#include "policies/schedulers/loop.hpp"
#include "ptxgen/base/nearest.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {
namespace {

constexpr std::array schedulers{Scheduler::automatic, Scheduler::clc, Scheduler::ticket, Scheduler::static_};
constexpr Target clc_from{100, TargetVariant::plain};
/// A cluster of at most 8 CTAs runs everywhere (CUDA C++ Programming Guide, thread block clusters).
constexpr std::uint32_t max_cluster = 8;

Status check_cluster(const ScheduleOptions& options, Scheduler scheduler, std::optional<Target> target) {
    const auto [x, y, z] = options.cluster;
    if (x == 0 || y == 0 || z == 0 || x > max_cluster || y > max_cluster || z > max_cluster ||
        options.cluster_ctas() > max_cluster)
        return Error{fmt::format("a cluster has from 1 to {} CTAs, not {}x{}x{}", max_cluster, x, y, z)};
    if (options.cluster_ctas() == 1) return {};
    if (scheduler != Scheduler::clc)
        return Error{fmt::format("scheduler '{}' takes no clusters; 'clc' does", to_string(scheduler))};
    if (target && target->variant == TargetVariant::plain)
        return Error{fmt::format("clusters under 'clc' use multicast, which {} does not have; take {}a", //
                                 to_string(*target), to_string(*target))};
    return {};
}

} // namespace

std::string_view to_string(Scheduler scheduler) {
    switch (scheduler) {
    case Scheduler::automatic: return "auto";
    case Scheduler::clc: return "clc";
    case Scheduler::ticket: return "ticket";
    case Scheduler::static_: return "static";
    }
    return "";
}

Result<Scheduler> parse_scheduler(std::string_view name) {
    for (const Scheduler scheduler : schedulers)
        if (to_string(scheduler) == name) return scheduler;
    return Error{fmt::format("unknown scheduler '{}'; there are auto, clc, ticket and static", name)};
}

Result<ScheduleChoice> choose_scheduler(const Policy& policy, const ScheduleOptions& options,
                                        std::optional<Target> target) {
    ScheduleChoice choice{options.scheduler, {}};
    const bool has_clc = target && target->provides(clc_from);
    if (options.scheduler == Scheduler::automatic) {
        choice.scheduler = has_clc ? Scheduler::clc : Scheduler::ticket;
        choice.note =
            has_clc  ? fmt::format("scheduler: clc, which {} has", to_string(*target))
            : target ? fmt::format("scheduler: ticket, as {} has no cluster launch control (clc needs {})",
                                   to_string(*target), to_string(clc_from))
                     : fmt::format("scheduler: ticket, as the target is left open (clc needs {})", to_string(clc_from));
    }
    if (choice.scheduler == Scheduler::clc && target && !has_clc)
        return Error{fmt::format("scheduler 'clc' needs {} or later (cluster launch control), not {}; 'ticket' runs "
                                 "from sm_75 on",
                                 to_string(clc_from), to_string(*target))};
    if (choice.scheduler == Scheduler::ticket && target && target->sm < 75)
        return Error{fmt::format("scheduler 'ticket' needs sm_75 or later, not {}", to_string(*target))};
    if (choice.scheduler == Scheduler::static_ && !policy.always_steals())
        return Error{fmt::format("scheduler 'static' cannot honour '{}': its CTAs take every tile that is theirs, "
                                 "which is 'greedy'; take 'ticket' or 'clc'",
                                 policy.text())};
    if (auto ok = check_cluster(options, choice.scheduler, target); !ok) return ok.error();
    const Behaviour behaviour = behaviour_of(policy);
    if (!behaviour.may_steal && !behaviour.may_exit)
        return Error{fmt::format("policy '{}' answers DELAY to every ask, so its CTAs would never end", policy.text())};
    return choice;
}

Status emit_schedule(KernelBuilder& k, const TilePrologue& prologue, Policy policy, Scheduler scheduler,
                     const ScheduleOptions& options, bool block_is_flat) {
    TileCode code = prologue(k);
    for (std::size_t d = code.dimensions; d < options.cluster.size(); d++)
        if (options.cluster[d] > 1)
            return Error{fmt::format("the kernel's grid has {} dimension{}; a cluster of {}x{}x{} has more",
                                     code.dimensions, code.dimensions == 1 ? "" : "s", options.cluster[0],
                                     options.cluster[1], options.cluster[2])};
    TileLoop loop(k, std::move(code), std::move(policy), options, block_is_flat);
    if (scheduler == Scheduler::clc)
        emit_clc(loop);
    else if (scheduler == Scheduler::static_)
        emit_static(loop);
    else
        emit_ticket(loop);
    return {};
}

} // namespace ptxgen::policies
