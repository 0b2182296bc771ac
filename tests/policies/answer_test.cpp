// && and || over decisions that are known while the kernel is built; what kernels compute is proven in proof/.
#include "policies/policies.hpp"
#include "policies/schedulers/loop.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::policies;

TEST_CASE("STEAL < DELAY < EXIT: && takes the stricter answer, || the laxer one") {
    constexpr auto S = Decision::steal, D = Decision::delay, X = Decision::exit;
    constexpr Decision all[] = {S, D, X};
    constexpr Decision stricter_of[3][3] = {{S, D, X}, {D, D, X}, {X, X, X}};
    constexpr Decision laxer_of[3][3] = {{S, S, S}, {S, D, D}, {S, D, X}};
    ModuleBuilder module;
    KernelBuilder k = module.kernel("k");
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            CHECK(stricter(k, all[a], all[b]).known() == stricter_of[a][b]);
            CHECK(laxer(k, all[a], all[b]).known() == laxer_of[a][b]);
        }
    CHECK(k.function().body.empty());
}

TEST_CASE("an answer knows which decisions it may be") {
    ModuleBuilder module;
    KernelBuilder k = module.kernel("k");
    const auto n = k.param<u32>("n");
    const Answer steal_or_exit(n == 0U, Decision::steal, Decision::exit);
    const Answer steal_or_delay(n == 1U, Decision::steal, Decision::delay);
    const auto set = [](const Answer& answer) {
        return (answer.may_be(Decision::steal) ? 1 : 0) + (answer.may_be(Decision::delay) ? 2 : 0) +
               (answer.may_be(Decision::exit) ? 4 : 0);
    };
    CHECK(set(steal_or_exit) == 5);
    CHECK(set(steal_or_delay) == 3);
    CHECK(set(stricter(k, steal_or_exit, steal_or_delay)) == 7);
    CHECK(set(laxer(k, steal_or_exit, steal_or_delay)) == 3);
    CHECK(laxer(k, steal_or_exit, Decision::steal).known() == Decision::steal);
    CHECK(stricter(k, steal_or_exit, Decision::exit).known() == Decision::exit);
    CHECK(set(laxer(k, steal_or_exit, Decision::exit)) == 5);
    CHECK(set(stricter(k, steal_or_delay, Decision::delay)) == 2);
}

TEST_CASE("what a policy may do shows before it is built into a kernel") {
    const Behaviour greedy = behaviour_of(Greedy{});
    CHECK((greedy.may_steal && !greedy.may_delay && !greedy.may_exit && greedy.always_goes_on));
    const Behaviour never = behaviour_of(NeverSteal{} && EveryNth{2});
    CHECK((!never.may_steal && !never.may_delay && never.may_exit));
    const Behaviour mixed = behaviour_of(MaxSteals{2} && EveryNth{2});
    CHECK((mixed.may_steal && mixed.may_delay && mixed.may_exit));
}
