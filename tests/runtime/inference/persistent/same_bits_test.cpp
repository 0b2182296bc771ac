// Both engines round alike: where all matrices have a ring format, their logits are the same bit for bit. Activations
// of eight bits make any other difference grow to the size of the rounding itself, in which errors would hide.
#include "runtime/emulator/emulator.hpp"
#include "runtime/inference/persistent_engine.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/models.hpp"

#include <cstdio>
#include <cstring>
#include <fmt/format.h>

using namespace ptxgen;

namespace {

using enum TensorType;

/// Every tiny model with types that have a ring format in place of its own.
std::vector<test::TinyModel> ring_models() {
    std::vector<test::TinyModel> models;
    for (test::TinyModel model : test::tiny_models()) {
        const bool blocks_of_256 = model.hidden % 256 == 0;
        model.name += "-ring";
        model.types = blocks_of_256 ? LayerTypes{q4_k, q4_k, q6_k, q5_0, q4_k, q6_k, q4_k}
                                    : LayerTypes{q4_1, q8_0, q5_0, q8_0, q5_0, q4_1, q8_0};
        if (model.tied_output)
            model.embedding_type = blocks_of_256 ? q6_k : q8_0;
        else
            model.output_type = blocks_of_256 ? q4_k : q5_0;
        models.push_back(std::move(model));
    }
    // More super-blocks than warps, and a last one that is not full.
    test::TinyModel wide = test::tiny_model("llama-rope");
    wide.name = "wide-ring";
    wide.hidden = 4128;
    wide.layers = 1;
    wide.types = {q4_1, q8_0, q5_0, q8_0, q5_0, q4_1, q8_0};
    wide.embedding_type = q4_1;
    wide.tied_output = true;
    models.push_back(std::move(wide));
    return models;
}

std::unique_ptr<runtime::EmulatedDevice> emulator(std::uint32_t multiprocessors) {
    runtime::EmulatorOptions options;
    options.multiprocessors = multiprocessors;
    return runtime::create_emulator(options);
}

/// Logits of every id, evaluated one at a time.
std::vector<float> one_by_one(Engine& engine, std::span<const TokenId> ids) {
    std::vector<float> rows;
    for (const TokenId& id : ids) {
        const auto row = test::last_logits(engine, std::span(&id, 1));
        rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
}

/// Checks that they are the same bits; says where they are not.
void check_same(const std::vector<float>& found, const std::vector<float>& expected, std::size_t vocab) {
    REQUIRE(found.size() == expected.size());
    if (std::memcmp(found.data(), expected.data(), 4 * found.size()) == 0) return;
    std::size_t at = 0;
    while (std::memcmp(&found[at], &expected[at], 4) == 0) at++;
    const double difference = test::row_difference<float>(found, expected, vocab);
    FAIL_CHECK(fmt::format("token {}, logit {}: {:.9g} and not {:.9g}; over all {:.1e} of the largest", at / vocab,
                           at % vocab, found[at], expected[at], difference));
}

} // namespace

TEST_CASE("both engines give the same logits bit for bit") {
    const test::TemporaryFolder folder;
    auto models = ring_models();
    models.insert(models.end(), test::tiny_models().begin(), test::tiny_models().end());
    for (const test::TinyModel& tiny : models) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 9);
        const auto device = emulator(3);
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 32};
        const auto graph = test::make_engine(*device, model, options);
        const auto expected = one_by_one(*graph, ids);
        auto engine = create_persistent_engine(*device, model, options);
        REQUIRE_MESSAGE(engine.ok(), engine.error().message);
        check_same(one_by_one(**engine, ids), expected, model.shape.vocab);
        CHECK(device->findings().empty());
    }
}
