// Scheduled kernels as generated: what is refused, and the parameters behind the kernel's own.
#include "kernels/matmul/matmul.hpp"
#include "kernels/registry.hpp"
#include "policies/policies.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::kernels;
using policies::Scheduler;

TEST_CASE("the further parameters stand behind the kernel's own, in one order") {
    policies::ScheduleOptions options;
    options.counters = true;
    const auto names = [&](Scheduler scheduler, Target target) {
        options.scheduler = scheduler;
        const auto generated = schedule(matmul_tile({}), policies::Greedy{}, options, target);
        if (!generated) FAIL(generated.error().message);
        std::string all;
        for (const auto& parameter : generated->module.functions[0].parameters) all += parameter.name + " ";
        return all;
    };
    CHECK(names(Scheduler::ticket, {90, TargetVariant::arch}) == "a b c m n k tickets counters ");
    CHECK(names(Scheduler::clc, {100, TargetVariant::arch}) == "a b c m n k counters ");
    CHECK(names(Scheduler::static_, {90, TargetVariant::arch}) == "a b c m n k counters ");
}

TEST_CASE("more shared memory than the target has is refused with what is needed and what there is") {
    TileKernel kernel = matmul_tile({});
    kernel.launch.dynamic_shared_bytes = 60000;
    const auto on = [&](std::uint16_t sm) {
        const auto generated =
            schedule(kernel, policies::Greedy{}, Scheduler::ticket, Target{sm, TargetVariant::plain});
        return generated ? "taken" : generated.error().message;
    };
    CHECK(on(75) == "kernel 'matmul' under policy 'greedy' needs 68452 bytes of shared memory (60000 of them given by "
                    "the launch), but a CTA on sm_75 has 65536");
    CHECK(on(90) == "taken");
}

TEST_CASE("matmul and every GEMV say that they can be scheduled; others are refused with their names") {
    for (const auto& kernel : registry()) {
        CAPTURE(kernel.name);
        if (kernel.name == "matmul" || (kernel.family == "gemv" && kernel.name.find("gemv_") == 0))
            CHECK(static_cast<bool>(kernel.tiles));
    }
    const auto spec = find_kernel("rms_norm");
    REQUIRE(spec.ok());
    const auto tiles = find_tiles(**spec, *read_parameters(**spec, {}));
    REQUIRE_FALSE(tiles.ok());
    CHECK(tiles.error().message.find("kernel 'rms_norm' cannot be scheduled under a policy; these can: gemv_") == 0);
}

TEST_CASE("a cluster has no more dimensions than the kernel's grid") {
    policies::ScheduleOptions options;
    options.scheduler = Scheduler::clc;
    options.cluster = {2, 2, 1};
    const Target target{100, TargetVariant::arch};
    const auto refused = schedule(matmul_tile({}), policies::Greedy{}, options, target);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message == "kernel 'matmul': the kernel's grid has 1 dimension; a cluster of 2x2x1 has more");
    options.cluster = {2, 1, 1};
    CHECK(schedule(matmul_tile({}), policies::Greedy{}, options, target).ok());
}
