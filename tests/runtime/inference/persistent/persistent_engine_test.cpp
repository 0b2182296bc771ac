// The persistent engine against the graph engine, whose every kernel is tested by itself.
#include "runtime/emulator/emulator.hpp"
#include "runtime/inference/persistent_engine.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"

#include <fmt/format.h>

using namespace ptxgen;

namespace {

std::unique_ptr<runtime::EmulatedDevice> emulator(std::uint32_t multiprocessors) {
    runtime::EmulatorOptions options;
    options.multiprocessors = multiprocessors;
    return runtime::create_emulator(options);
}

std::unique_ptr<Engine> persistent(runtime::Device& device, const Model& model, const EngineOptions& options,
                                   const PersistentOptions& more = {}) {
    auto engine = create_persistent_engine(device, model, options, more);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    return std::move(*engine);
}

} // namespace

TEST_CASE("every tiny model's logits equal the graph engine's at q8_1") {
    const test::TemporaryFolder folder;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 12);
        const auto device = emulator(3);
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 32};
        const auto graph = test::make_engine(*device, model, options);
        const auto expected = test::every_logit(*graph, ids);
        const auto engine = persistent(*device, model, options);
        const auto found = test::every_logit(*engine, ids);
        CHECK(device->findings().empty());
        const double difference = test::row_difference<float>(found, expected, model.shape.vocab);
        MESSAGE(fmt::format("{}: {:.2e}", tiny.name, difference));
        CHECK(difference <= 1e-2);
    }
}
