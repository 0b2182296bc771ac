#include "tests/support/greedy_truth.hpp"
#include "tests/support/reference_forward.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;

TEST_CASE("greedy ids agree up to a step where the reference itself is undecided") {
    const test::GreedyPrompt expected{"p", "", {1}, {5, 6, 7, 8}, {0.5, 0.3, 0.01, 0.4}};
    const auto difference = [&](std::vector<std::int32_t> ids) { return test::greedy_difference(expected, ids); };
    CHECK(difference({5, 6, 7, 8}).empty());
    CHECK(difference({5, 6}).empty());
    CHECK(difference({5, 6, 9, 10}).empty());
    CHECK_FALSE(difference({5, 6, 7, 10}).empty());
    CHECK(difference({5, 9, 7, 8}) == "prompt 'p': step 1: expected id 6 (by 0.3000), found 9");
}

TEST_CASE("the greedy ground truth is what the reference computes") {
    for (const char* name : {"smollm2", "gemma3"}) {
        const auto truth = test::load_greedy_truth(name);
        REQUIRE(truth.ok());
        CHECK(truth->prompts.size() == 8);
        bool long_prompt = false;
        for (const test::GreedyPrompt& prompt : truth->prompts) {
            CHECK(prompt.ids.size() == 24);
            CHECK(prompt.gaps.size() == 24);
            long_prompt |= prompt.prompt_ids.size() > 512;
        }
        CHECK(long_prompt);
        const auto path = test::real_model(truth->model, "greedy ground truth");
        if (!path) continue;
        const auto model = load_model(*path);
        REQUIRE_MESSAGE(model.ok(), model.error().message);
        // One prompt, since it takes a second; tests/data/greedy/make_greedy.py makes all of them again.
        const test::GreedyPrompt& prompt = truth->prompts[4];
        test::ReferenceForward reference(*model);
        std::vector<std::int32_t> next = prompt.prompt_ids;
        for (std::size_t i = 0; i < 4; i++) {
            const auto best = test::best_of(reference.evaluate(next, test::ReferenceForward::Logits::last));
            CHECK(best.id == prompt.ids[i]);
            CHECK(best.gap == doctest::Approx(prompt.gaps[i]).epsilon(1e-4));
            next = {best.id};
        }
    }
}
