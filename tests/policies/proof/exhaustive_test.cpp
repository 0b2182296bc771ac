// All schedules of small grids: each policy under each scheduler, over every order of dispatch, every completion, and
// success or one spurious failure of every request.
#include "policies/policies.hpp"
#include "tests/policies/proof/proof.hpp"
#include "tests/support/schedules.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::test;
using policies::Scheduler;

namespace {

using runtime::emulator::ChoiceKind;

const std::vector<ChoiceKind> kinds{ChoiceKind::dispatch, ChoiceKind::completion, ChoiceKind::outcome};

/// Grids up to `largest[r - 1]` tiles with r CTAs resident.
std::uint64_t prove_all(const policies::Policy& policy, Scheduler scheduler, Target target,
                        std::array<std::uint32_t, 2> largest) {
    std::uint64_t schedules = 0;
    for (const std::uint32_t resident : {1u, 2u})
        for (std::uint32_t tiles = 1; tiles <= largest[resident - 1]; tiles++) {
            CAPTURE(policy.text());
            CAPTURE(tiles);
            CAPTURE(resident);
            policies::ScheduleOptions options;
            options.scheduler = scheduler;
            options.counters = true;
            const kernels::Grid grid{tiles, 1, 1};
            auto kernel = kernels::schedule(workload_tiles(Workload::data_dependent, grid), policy, options, target);
            if (!kernel) FAIL(kernel.error().message);
            Proof proof(target, resident);
            proof.load({std::move(*kernel), Workload::data_dependent, grid, {}});
            const Exploration done = explore_schedules(
                proof.device(),
                [&] {
                    const std::string wrong = proof.launch();
                    CHECK_MESSAGE(wrong.empty(), wrong);
                    return wrong.empty();
                },
                kinds, full_proof() ? 100'000'000 : 1'000'000);
            CHECK(done.complete);
            schedules += done.schedules;
        }
    return schedules;
}

} // namespace

TEST_CASE("cluster launch control is right in all schedules of small grids") {
    for (const auto& policy : proven_policies()) {
        const auto schedules = prove_all(policy, Scheduler::clc, {100, TargetVariant::arch},
                                         full_proof() ? std::array{6u, 6u} : std::array{5u, 2u});
        MESSAGE(policy.text() << ": " << schedules << " schedules");
    }
}

TEST_CASE("tickets are right in all schedules of small grids") {
    for (const auto& policy : proven_policies()) {
        const auto schedules =
            prove_all(policy, Scheduler::ticket, {90, TargetVariant::arch}, {6, full_proof() ? 6u : 3u});
        MESSAGE(policy.text() << ": " << schedules << " schedules");
    }
}
