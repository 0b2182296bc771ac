// Both engines round alike: their logits at q8_1 are the same bit for bit. Activations of eight bits make any other
// difference grow to the size of the rounding itself, in which errors would hide.
#include "runtime/inference/graph_engine.hpp"
#include "runtime/inference/persistent_engine.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/runtime/inference/persistent/engine_devices.hpp"
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

std::unique_ptr<Engine> persistent(runtime::Device& device, const Model& model, const EngineOptions& options,
                                   const PersistentOptions& more = {}) {
    auto engine = create_persistent_engine(device, model, options, more);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    return std::move(*engine);
}

/// The graph engine, with attention split as PersistentOptions::split_positions does it.
std::unique_ptr<Engine> graph(runtime::Device& device, const Model& model, const EngineOptions& options,
                              std::uint32_t split_positions) {
    auto on_device = DeviceModel::create(device, model, options, {});
    REQUIRE_MESSAGE(on_device.ok(), on_device.error().message);
    (*on_device)->attention.split_positions = split_positions;
    auto engine = GraphEngine::create(device, model, std::move(*on_device), options);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    return std::move(*engine);
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
    const auto devices = test::engine_devices(3, "both engines give the same logits bit for bit");
    for (const test::TinyModel& tiny : models) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 7);
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 32};
        for (const test::EngineDevice& on : devices) {
            CAPTURE(on.name);
            const auto graph = test::make_engine(*on.device, model, options);
            const auto expected = one_by_one(*graph, ids);
            const auto engine = persistent(*on.device, model, options);
            check_same(one_by_one(*engine, ids), expected, model.shape.vocab);
            on.check_findings();
        }
    }
}

TEST_CASE("both engines give the same logits for any number of CTAs and shares of positions") {
    const test::TemporaryFolder folder;
    const auto models = ring_models();
    const auto devices = test::engine_devices(8, "both engines give the same logits for any number of CTAs");
    for (const auto& tiny : models) {
        // Heads of 128 and of 64, which attend over an f16 cache by tensor cores.
        if (tiny.name != "gemma3-k-ring" && tiny.name != "qwen2-k-ring") continue;
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 32);
        for (const test::EngineDevice& on : devices)
            for (const auto& [ctas_of_case, kv_of_case] :
                 {std::pair{1U, KvType::f16}, std::pair{5U, KvType::f16}, std::pair{8U, KvType::f32}}) {
                const std::uint32_t ctas = ctas_of_case;
                const KvType kv = kv_of_case;
                CAPTURE(on.name);
                CAPTURE(ctas);
                CAPTURE((kv == KvType::f16));
                const EngineOptions options{
                    .activations = ActivationFormat::q8_1, .context = 64, .kv = kv, .ctas = ctas};
                constexpr std::uint32_t split_positions = 16;
                const auto of_graph = graph(*on.device, model, options, split_positions);
                PersistentOptions more;
                more.split_positions = split_positions;
                const auto engine = persistent(*on.device, model, options, more);
                // Around the position from which on CTAs share a head's positions, and far beyond.
                for (const std::size_t first : {15u, 29u}) {
                    const auto part = std::span(ids).subspan(first, 2);
                    const auto before = std::span(ids).subspan(of_graph->position(), first - of_graph->position());
                    (void)test::last_logits(*of_graph, before);
                    (void)test::last_logits(*engine, before);
                    check_same(one_by_one(*engine, part), one_by_one(*of_graph, part), model.shape.vocab);
                }
                on.check_findings();
            }
    }
}

TEST_CASE("the same ids give the same logits again, however many a launch takes") {
    const test::TemporaryFolder folder;
    const auto devices = test::engine_devices(4, "the same ids give the same logits again");
    for (const auto& tiny : ring_models()) {
        if (tiny.name != "qwen2-k-ring") continue;
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 18);
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 32};
        for (const test::EngineDevice& on : devices) {
            CAPTURE(on.name);
            const auto of_graph = test::make_engine(*on.device, model, options);
            const auto expected = one_by_one(*of_graph, ids);
            const auto engine = persistent(*on.device, model, options);
            // A race need not show at once.
            const int times = on.emulator ? 2 : 100;
            for (int time = 0; time < times; time++) {
                REQUIRE(engine->rewind(0).ok());
                check_same(test::every_logit(*engine, ids), expected, model.shape.vocab);
            }
            REQUIRE(engine->rewind(0).ok());
            check_same(one_by_one(*engine, ids), expected, model.shape.vocab);
            on.check_findings();
        }
    }
}

TEST_CASE("SmolLM2's logits are the same bits through both engines") {
    const auto path = test::find_model("SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!path)
        return (void)std::puts("[SKIP] SmolLM2's logits are the same through both engines: PTXGEN_MODELS lacks it");
    const auto model = load_model(*path);
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 16};
    const TokenId ids[] = {504, 3575, 282}; // The capital of
    for (const test::EngineDevice& on : test::engine_devices(2, "SmolLM2's logits are the same through both engines")) {
        CAPTURE(on.name);
        const auto graph = test::make_engine(*on.device, *model, options);
        const auto expected = one_by_one(*graph, ids);
        const auto engine = persistent(*on.device, *model, options);
        check_same(one_by_one(*engine, ids), expected, model->shape.vocab);
        on.check_findings();
    }
}
