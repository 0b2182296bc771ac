// The real models on the device that ptxgen-run would choose: the part of scripts/verify-models that every run of the
// tests can afford.
#include "runtime/open_device.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/greedy_truth.hpp"

#include <fmt/format.h>

using namespace ptxgen;

namespace {

/// Evaluates these prompts (their numbers in the file) with 8 greedy ids each.
void check_greedy(const char* truth_name, std::initializer_list<std::size_t> prompts) {
    const auto truth = test::load_greedy_truth(truth_name);
    REQUIRE_MESSAGE(truth.ok(), truth.error().message);
    const auto path = test::real_model(truth->model, fmt::format("greedy ids of {}", truth_name));
    if (!path) return;
    const auto model = load_model(*path);
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    const auto opened = runtime::open_device();
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    const auto engine = test::make_engine(*opened->device, *model, {.context = 64});
    for (const std::size_t number : prompts) {
        const test::GreedyPrompt& prompt = truth->prompts[number];
        CAPTURE(prompt.name);
        REQUIRE(engine->rewind(0).ok());
        std::vector<TokenId> ids;
        std::vector<TokenId> next = prompt.prompt_ids;
        while (ids.size() < 8) {
            const auto logits = test::last_logits(*engine, next);
            // The first of the largest: ties go to the lowest id.
            ids.push_back(static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
            next = {ids.back()};
        }
        CHECK(test::greedy_difference(prompt, ids) == "");
    }
}

/// The logits of every position of a short prompt.
void check_logits(const char* truth_name, std::size_t number) {
    const auto truth = test::load_greedy_truth(truth_name);
    REQUIRE_MESSAGE(truth.ok(), truth.error().message);
    const auto path = test::real_model(truth->model, fmt::format("logits of {}", truth_name));
    if (!path) return;
    const auto model = load_model(*path);
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    const auto opened = runtime::open_device();
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    const auto& ids = truth->prompts[number].prompt_ids;
    const auto engine = test::make_engine(*opened->device, *model, {.context = 64});
    const auto expected = test::ReferenceForward(*model).evaluate(ids);
    CHECK(test::row_difference<double>(test::every_logit(*engine, ids), expected, model->shape.vocab) <= 1e-4);
}

} // namespace

TEST_CASE("SmolLM2's greedy ids are the reference's") { check_greedy("smollm2", {1, 3}); }
TEST_CASE("Gemma's greedy ids are the reference's") { check_greedy("gemma3", {0}); }
TEST_CASE("SmolLM2's logits are the reference's") { check_logits("smollm2", 3); }
TEST_CASE("Gemma's logits are the reference's") { check_logits("gemma3", 0); }
