// The persistent engine against the graph engine, whose every kernel is tested by itself.
#include "runtime/emulator/emulator.hpp"
#include "runtime/inference/persistent_engine.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/runtime/inference/persistent/engine_devices.hpp"
#include "tests/support/faulty_device.hpp"
#include "tests/support/models.hpp"

#include <cstdio>

using namespace ptxgen;

namespace {

std::unique_ptr<Engine> persistent(runtime::Device& device, const Model& model, EngineOptions options,
                                   const PersistentOptions& more = {}) {
    auto engine = create_persistent_engine(device, model, options, more);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    return std::move(*engine);
}

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

TEST_CASE("SmolLM2 says the same through both engines") {
    const auto path = test::find_model("SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!path) return (void)std::puts("[SKIP] SmolLM2 says the same through both engines: PTXGEN_MODELS lacks it");
    const auto model = load_model(*path);
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    for (const test::EngineDevice& on : test::engine_devices(2, "SmolLM2 says the same through both engines")) {
        CAPTURE(on.name);
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 16};
        const TokenId prompt[] = {504, 3575, 282, 4649}; // The capital of France
        const auto said = [&](Engine& engine) {
            (void)test::last_logits(engine, std::span(prompt).first(3));
            return generated(engine, prompt[3], 2);
        };
        const auto graph = test::make_engine(*on.device, *model, options);
        const auto engine = persistent(*on.device, *model, options);
        CHECK(said(*engine) == said(*graph));
        on.check_findings();
    }
}

TEST_CASE("one launch decodes what one launch a token decodes") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2-k"));
    for (const test::EngineDevice& on : test::engine_devices(3, "one launch decodes what one launch a token decodes")) {
        CAPTURE(on.name);
        const auto engine = persistent(*on.device, model, {.context = 24});
        const auto prompt = test::tiny_prompt(model.shape.vocab, 4);
        const auto rewound = [&] {
            REQUIRE(engine->rewind(0).ok());
            (void)test::last_logits(*engine, std::span(prompt).first(3));
        };
        rewound();
        std::vector<TokenId> expected;
        for (TokenId next = prompt[3]; expected.size() < 6;) {
            const auto logits = test::last_logits(*engine, std::span(&next, 1));
            next = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
            expected.push_back(next);
        }
        rewound();
        const auto before = engine->launches();
        CHECK(generated(*engine, prompt[3], 6) == expected);
        CHECK(engine->launches() == before + 1);
        CHECK(engine->position() == 9);
        on.check_findings();

        // A stop id ends it; its first occurrence counts.
        rewound();
        const auto at = std::find(expected.begin(), expected.end(), expected[2]) - expected.begin() + 1;
        CHECK(generated(*engine, prompt[3], 6, {expected[2]}) ==
              std::vector<TokenId>(expected.begin(), expected.begin() + at));
        CHECK(engine->position() == 3 + static_cast<std::uint32_t>(at));

        // So does the listener; what was decoded behind is forgotten.
        rewound();
        const auto two = engine->generate(prompt[3], 6, {}, [n = 0](TokenId) mutable { return ++n < 2; });
        REQUIRE(two.ok());
        CHECK(*two == 2);
        CHECK(engine->position() == 5);
        CHECK(generated(*engine, expected[1], 2) == std::vector<TokenId>(expected.begin() + 2, expected.begin() + 4));
    }
}

TEST_CASE("the engine is the persistent one on a GPU from sm_90 on, unless f32 activations are asked for") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto launches_of_four_tokens = [&](unsigned sm, bool is_gpu, ActivationFormat activations) {
        runtime::EmulatorOptions emulator;
        emulator.target = {static_cast<std::uint16_t>(sm), TargetVariant::plain};
        const auto inner = runtime::create_emulator(emulator);
        test::FaultyDevice device(*inner);
        if (is_gpu) device.seem_a_gpu();
        const auto engine = create_engine(device, model, {.activations = activations, .context = 16, .ctas = 2});
        REQUIRE_MESSAGE(engine.ok(), engine.error().message);
        const auto before = (*engine)->launches();
        CHECK(generated(**engine, 3, 4).size() == 4);
        return (*engine)->launches() - before;
    };
    CHECK(launches_of_four_tokens(90, true, ActivationFormat::automatic) == 1);
    CHECK(launches_of_four_tokens(80, true, ActivationFormat::automatic) > 1);
    CHECK(launches_of_four_tokens(90, true, ActivationFormat::f32) > 1);
    CHECK(launches_of_four_tokens(90, false, ActivationFormat::automatic) > 1);
}

TEST_CASE("CTAs that share a head's positions read what others have appended in the same launch") {
    const test::TemporaryFolder folder;
    for (const char* name : {"gemma3-k", "llama-rope"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const auto prompt = test::tiny_prompt(model.shape.vocab, 40);
        const auto device = test::emulator_of(8);
        std::vector<float> logits[2];
        for (const bool split : {false, true}) {
            PersistentOptions more;
            more.split_positions = split ? 16 : 1024;
            const auto engine = persistent(*device, model, {.context = 64}, more);
            (void)test::last_logits(*engine, std::span(prompt).first(12));
            logits[split] = test::every_logit(*engine, std::span(prompt).subspan(12)); // one launch
            REQUIRE(engine->rewind(12).ok());
            std::vector<float> one_by_one;
            for (std::size_t i = 12; i < prompt.size(); i++) {
                const auto row = test::last_logits(*engine, std::span(prompt).subspan(i, 1));
                one_by_one.insert(one_by_one.end(), row.begin(), row.end());
            }
            CHECK(one_by_one == logits[split]);
        }
        CHECK(device->findings().empty());
        CHECK(logits[1] != logits[0]); // it was split
    }
}

TEST_CASE("a CTA that stalls ends in an error that says who waited for what") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    for (const test::EngineDevice& on :
         test::engine_devices(2, "a CTA that stalls ends in an error that says who waited for what")) {
        CAPTURE(on.name);
        PersistentOptions more;
        more.wait_seconds = 2e-3;
        more.silent_cta = 1;
        const auto engine = persistent(*on.device, model, {.context = 16, .ctas = 2}, more);
        const auto result = engine->generate(1, 3, {}, [](TokenId) { return true; });
        REQUIRE_FALSE(result.ok());
        const std::string message = result.error().message;
        CHECK_MESSAGE(message.find("the decoder stalled") != std::string::npos, message);
        CHECK_MESSAGE(message.find("feed-forward block's result of layer 0") != std::string::npos, message);
        CHECK_MESSAGE(message.find("CTA 0") != std::string::npos, message);
    }
}

// Three packets make a block: one of them may not stand for the others.
TEST_CASE("a block that lacks a packet is waited for") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    for (const bool wide : {true, false}) {
        CAPTURE(wide);
        const auto device = test::emulator_of(2);
        PersistentOptions more;
        more.wait_seconds = 2e-3;
        more.silent_cta = 1;
        more.tears_blocks = true;
        more.wide_packets = wide;
        const auto engine = persistent(*device, model, {.context = 16}, more);
        const auto result = engine->generate(1, 3, {}, [](TokenId) { return true; });
        REQUIRE_FALSE(result.ok());
        const std::string message = result.error().message;
        CHECK_MESSAGE(message.find("gated feed-forward vector of layer 0") != std::string::npos, message);
        CHECK_MESSAGE(message.find("packet 34 has epoch 0 and not 1") != std::string::npos, message);
    }
}

TEST_CASE("blocks in packets of 8 bytes give what they give in packets of 16") {
    const test::TemporaryFolder folder;
    for (const char* name : {"gemma3-k", "qwen3", "qwen3-k"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const auto ids = test::tiny_prompt(model.shape.vocab, 3);
        for (const test::EngineDevice& on :
             test::engine_devices(3, "blocks in packets of 8 bytes give what they give in packets of 16")) {
            CAPTURE(on.name);
            std::vector<float> logits[2];
            for (const bool wide : {false, true}) {
                PersistentOptions more;
                more.wide_packets = wide;
                const auto engine = persistent(*on.device, model, {.context = 16}, more);
                logits[wide] = test::every_logit(*engine, ids);
            }
            on.check_findings();
            CHECK(logits[1] == logits[0]);
        }
    }
}

TEST_CASE("more CTAs than are resident are refused, with how many fit") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    for (const test::EngineDevice& on :
         test::engine_devices(2, "more CTAs than are resident are refused, with how many fit")) {
        CAPTURE(on.name);
        const auto engine = create_persistent_engine(*on.device, model, {.context = 16, .ctas = 1000});
        REQUIRE_FALSE(engine.ok());
        CHECK_MESSAGE(engine.error().message.find("1000 CTAs are too many for a cooperative launch") !=
                          std::string::npos,
                      engine.error().message);
    }
}
