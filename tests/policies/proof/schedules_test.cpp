// Each policy under each scheduler and workload, in random and adversarial schedules: every tile runs once, nothing is
// found, the results are those of the plain kernel bit for bit.
#include "policies/policies.hpp"
#include "tests/policies/proof/proof.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::test;
using policies::Scheduler;

namespace {

constexpr Target hopper{90, TargetVariant::arch}, blackwell{100, TargetVariant::arch};
constexpr std::array workloads{Workload::uniform, Workload::clustered_heavy, Workload::data_dependent};
/// Grids of one, two and three dimensions, by turns.
constexpr std::array grids{kernels::Grid{14, 1, 1}, kernels::Grid{5, 3, 1}, kernels::Grid{2, 3, 2}};

void prove(Proof& proof, const policies::Policy& policy, Scheduler scheduler, Target target, std::uint32_t schedules,
           std::optional<std::uint32_t> static_ctas = {}, std::array<std::uint32_t, 3> cluster = {1, 1, 1}) {
    for (std::size_t i = 0; i < workloads.size(); i++) {
        if (cluster[1] > grids[i].y) continue; // a cluster has no more dimensions than the grid
        CAPTURE(policy.text());
        CAPTURE(policies::to_string(scheduler));
        CAPTURE(to_string(workloads[i]));
        policies::ScheduleOptions options;
        options.scheduler = scheduler;
        options.counters = true;
        options.cluster = cluster;
        auto kernel = kernels::schedule(workload_tiles(workloads[i], grids[i]), policy, options, target);
        if (!kernel) FAIL(kernel.error().message);
        proof.load({std::move(*kernel), workloads[i], grids[i], static_ctas});
        for (std::uint32_t seed = 0; seed < schedules; seed++) {
            proof.device().set_schedule(seed % 2 == 0 ? runtime::Schedule::random : runtime::Schedule::adversarial,
                                        seed);
            const std::string wrong = proof.launch();
            if (wrong.empty()) continue;
            CAPTURE(seed);
            FAIL_CHECK(wrong);
            break; // the next workload
        }
    }
}

} // namespace

TEST_CASE("tickets: every tile runs once under every policy, whatever the schedule") {
    Proof proof(hopper, 3);
    for (const auto& policy : proven_policies()) prove(proof, policy, Scheduler::ticket, hopper, schedules_of_a_case());
}

TEST_CASE("static: every tile runs once, with fewer and with more CTAs than tiles") {
    Proof proof(hopper, 3);
    for (const std::uint32_t ctas : {1, 3, 5, 20})
        prove(proof, policies::Greedy{}, Scheduler::static_, hopper, schedules_of_a_case() / 2, ctas);
}

TEST_CASE("cluster launch control: every tile runs once under every policy, whatever the schedule") {
    Proof proof(blackwell, 3);
    for (const auto& policy : proven_policies()) prove(proof, policy, Scheduler::clc, blackwell, schedules_of_a_case());
}

TEST_CASE("cluster launch control in clusters: every tile runs once, also where the grid is no multiple of them") {
    Proof proof(blackwell, 6);
    for (const auto& policy : proven_policies())
        for (const std::array<std::uint32_t, 3> cluster : {std::array{2u, 1u, 1u}, {2u, 2u, 1u}})
            prove(proof, policy, Scheduler::clc, blackwell, schedules_of_a_case() / 4, {}, cluster);
}
