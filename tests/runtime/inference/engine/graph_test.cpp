// How the graph engine runs a token: recorded once, the next token drawn on the device.
#include "runtime/emulator/emulator.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/faulty_device.hpp"

using namespace ptxgen;

namespace {

TokenId best_of(const std::vector<float>& logits) {
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

} // namespace

TEST_CASE("generate goes on where evaluate stopped and the other way round, also when tokens are started ahead") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen3"));
    const auto inner = runtime::create_emulator();
    test::FaultyDevice gpu(*inner);
    gpu.seem_a_gpu();
    const auto engine = test::make_engine(gpu, model, {.context = 40});
    const auto prompt = test::tiny_prompt(model.shape.vocab, 7);

    // One by one on the host.
    std::vector<TokenId> expected{best_of(test::last_logits(*engine, prompt))};
    while (expected.size() < 20) {
        const TokenId next[] = {expected.back()};
        expected.push_back(best_of(test::last_logits(*engine, next)));
    }

    REQUIRE(engine->rewind(0).ok());
    std::vector<TokenId> found{best_of(test::last_logits(*engine, prompt))};
    std::size_t until = 0;
    const auto take = [&](TokenId id) {
        found.push_back(id);
        return found.size() < until;
    };
    while (found.size() < 20) {
        until = found.size() + 3; // ends while another token is on its way
        const auto drawn = engine->generate(found.back(), 10, {}, take);
        REQUIRE_MESSAGE(drawn.ok(), drawn.error().message);
        CHECK(*drawn == 3);
        CHECK(engine->position() == prompt.size() + found.size() - 1);
        const TokenId next[] = {found.back()};
        found.push_back(best_of(test::last_logits(*engine, next)));
    }
    CHECK(std::vector(found.begin(), found.begin() + 20) == expected);
}

TEST_CASE("attention split over CTAs, as on a GPU, leaves the logits the reference's") {
    const test::TemporaryFolder folder;
    for (const char* name : {"qwen3", "gemma3"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const auto inner = runtime::create_emulator();
        test::FaultyDevice gpu(*inner);
        gpu.seem_a_gpu();
        const EngineOptions options{.activations = ActivationFormat::f32, .context = 300};
        REQUIRE(graph_engine_bytes(model, options, gpu.properties()) >
                graph_engine_bytes(model, options, inner->properties()));
        const auto engine = test::make_engine(gpu, model, options);
        const auto ids = test::tiny_prompt(model.shape.vocab, 264);
        const auto expected = test::ReferenceForward(model).evaluate(ids);
        const std::size_t vocab = model.shape.vocab, prompt = 254;
        (void)test::last_logits(*engine, std::span(ids).first(prompt));
        std::vector<float> found;
        for (std::size_t i = prompt; i < ids.size(); i++) {
            const auto row = test::last_logits(*engine, std::span(ids).subspan(i, 1));
            found.insert(found.end(), row.begin(), row.end());
        }
        const auto tail = std::vector(expected.end() - static_cast<std::ptrdiff_t>(found.size()), expected.end());
        CHECK(test::row_difference<double>(found, tail, vocab) <= 1e-4);
    }
}

TEST_CASE("a token is one graph, its kernels counted, and takes one round of copies") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto inner = runtime::create_emulator();
    test::FaultyDevice counting(*inner);
    const auto engine = test::make_engine(counting, model, {.context = 40});
    const auto prompt = test::tiny_prompt(model.shape.vocab, 7);
    (void)test::last_logits(*engine, prompt);
    const auto operations = [&](auto&& work) {
        const std::uint64_t before = counting.operations();
        work();
        return counting.operations() - before;
    };
    const std::uint64_t allocations = counting.allocations();
    // The state, the graph, the logits, one synchronisation.
    CHECK(operations([&] { (void)test::last_logits(*engine, std::span(prompt).first(1)); }) == 4);
    const auto generate = [&](std::uint32_t tokens) {
        return operations([&] { REQUIRE(engine->generate(1, tokens, {}, [](TokenId) { return true; }).ok()); });
    };
    // The state once, then for each token the graph, its id and an event.
    CHECK(generate(1) == 1 + 3);
    CHECK(generate(9) == 1 + 9 * 3);
    CHECK(counting.allocations() == allocations);
}

TEST_CASE("logits that are no numbers end the generation with an error") {
    const test::TemporaryFolder folder;
    auto bytes = test::tiny_model_file(test::tiny_model("llama-rope"));
    {
        const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
        const std::span norm(reinterpret_cast<const std::byte*>(model.output_norm->data), model.output_norm->bytes);
        const auto at = std::search(bytes.begin(), bytes.end(), norm.begin(), norm.end());
        REQUIRE(at != bytes.end());
        std::fill_n(at, norm.size(), std::byte{0xff});
    }
    const auto model = load_model(folder.write("nan.gguf", bytes));
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    const auto device = runtime::create_emulator();
    const auto engine = test::make_engine(*device, *model, {.context = 8});
    const auto drawn = engine->generate(1, 3, {}, [](TokenId) { return true; });
    REQUIRE_FALSE(drawn.ok());
    CHECK(drawn.error().message.find("position 0") != std::string::npos);
}
