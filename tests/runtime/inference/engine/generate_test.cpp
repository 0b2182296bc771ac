// Many tokens by one call give what evaluating one after the other gives.
#include "runtime/emulator/emulator.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"

using namespace ptxgen;

namespace {

std::vector<TokenId> generated(Engine& engine, TokenId first, std::uint32_t most, std::vector<TokenId> stops = {}) {
    std::vector<TokenId> ids;
    const auto count = engine.generate(first, most, stops, [&](TokenId id) {
        ids.push_back(id);
        return true;
    });
    REQUIRE_MESSAGE(count.ok(), count.error().message);
    CHECK(*count == ids.size());
    return ids;
}

} // namespace

TEST_CASE("generate draws greedily until it is told to stop") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto device = runtime::create_emulator();
    const auto engine = test::make_engine(*device, model, {.context = 16});
    const auto prompt = test::tiny_prompt(model.shape.vocab, 6);
    const auto rewound = [&] {
        REQUIRE(engine->rewind(0).ok());
        (void)test::last_logits(*engine, std::span(prompt).first(5));
    };
    std::vector<TokenId> expected;
    rewound();
    for (TokenId next = prompt[5]; expected.size() < 11;) {
        const auto logits = test::last_logits(*engine, std::span(&next, 1));
        next = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        expected.push_back(next);
    }
    rewound();
    CHECK(generated(*engine, prompt[5], 11) == expected);
    CHECK(engine->position() == 16);
    rewound();
    CHECK(generated(*engine, prompt[5], 100) == expected); // the context ends it
    CHECK_FALSE(engine->generate(prompt[5], 1, {}, [](TokenId) { return true; }).ok());
    rewound();
    const auto at = std::find(expected.begin(), expected.end(), expected[3]) - expected.begin();
    CHECK(generated(*engine, prompt[5], 11, {expected[3]}) ==
          std::vector<TokenId>(expected.begin(), expected.begin() + at + 1));
    rewound();
    const auto two = engine->generate(prompt[5], 11, {}, [n = 0](TokenId) mutable { return ++n < 2; });
    REQUIRE(two.ok());
    CHECK(*two == 2);
    CHECK(engine->position() == 7);
}
