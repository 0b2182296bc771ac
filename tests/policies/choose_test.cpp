// Which scheduler it comes down to, and what each refuses.
#include "policies/policies.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::policies;

namespace {

constexpr Target hopper{90, TargetVariant::arch}, blackwell{100, TargetVariant::arch}, plain{100, TargetVariant::plain};

struct Asleep {
    Answer should_try_steal(PolicyContext&) const { return Decision::delay; }
    std::string text() const { return "asleep"; }
};

Result<ScheduleChoice> choose(Scheduler scheduler, const Policy& policy, std::optional<Target> target,
                              std::array<std::uint32_t, 3> cluster = {1, 1, 1}) {
    ScheduleOptions options;
    options.scheduler = scheduler;
    options.cluster = cluster;
    return choose_scheduler(policy, options, target);
}
std::string refusal(Scheduler scheduler, const Policy& policy, std::optional<Target> target,
                    std::array<std::uint32_t, 3> cluster = {1, 1, 1}) {
    const auto choice = choose(scheduler, policy, target, cluster);
    return choice ? "taken" : choice.error().message;
}

} // namespace

TEST_CASE("auto takes cluster launch control from sm_100 on, else tickets, and says so") {
    const auto chosen = [](std::optional<Target> target) { return *choose(Scheduler::automatic, Greedy{}, target); };
    CHECK(chosen(blackwell).scheduler == Scheduler::clc);
    CHECK(chosen(Target{120, TargetVariant::plain}).scheduler == Scheduler::clc);
    CHECK(chosen(hopper).scheduler == Scheduler::ticket);
    CHECK(chosen(hopper).note == "scheduler: ticket, as sm_90a has no cluster launch control (clc needs sm_100)");
    CHECK(chosen(std::nullopt).scheduler == Scheduler::ticket);
    CHECK(chosen(std::nullopt).note.find('\n') == std::string::npos);
    CHECK(choose(Scheduler::ticket, Greedy{}, blackwell)->note.empty());
}

TEST_CASE("what a scheduler cannot do is refused by name") {
    CHECK(refusal(Scheduler::clc, Greedy{}, hopper) ==
          "scheduler 'clc' needs sm_100 or later (cluster launch control), not sm_90a; 'ticket' runs from sm_75 on");
    CHECK(refusal(Scheduler::static_, MaxSteals{2}, hopper) ==
          "scheduler 'static' cannot honour 'max_steals(2)': its CTAs take every tile that is theirs, which is "
          "'greedy'; take 'ticket' or 'clc'");
    CHECK(refusal(Scheduler::static_, Greedy{}, hopper) == "taken");
    CHECK(refusal(Scheduler::ticket, Greedy{}, Target{70, TargetVariant::plain}) ==
          "scheduler 'ticket' needs sm_75 or later, not sm_70");
    CHECK(refusal(Scheduler::ticket, Asleep{}, hopper) ==
          "policy 'asleep' answers DELAY to every ask, so its CTAs would never end");
    CHECK(refusal(Scheduler::clc, Greedy{}, blackwell, {2, 1, 1}) == "taken");
    CHECK(refusal(Scheduler::ticket, Greedy{}, blackwell, {2, 1, 1}) ==
          "scheduler 'ticket' takes no clusters; 'clc' does");
    CHECK(refusal(Scheduler::clc, Greedy{}, plain, {2, 1, 1}) ==
          "clusters under 'clc' use multicast, which sm_100 does not have; take sm_100a");
    CHECK(refusal(Scheduler::clc, Greedy{}, blackwell, {2, 0, 1}) == "a cluster has from 1 to 8 CTAs, not 2x0x1");
    CHECK(refusal(Scheduler::clc, Greedy{}, blackwell, {4, 4, 1}) == "a cluster has from 1 to 8 CTAs, not 4x4x1");
    CHECK(parse_scheduler("tickets").error().message ==
          "unknown scheduler 'tickets'; there are auto, clc, ticket and static");
}
