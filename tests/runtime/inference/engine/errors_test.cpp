// What an engine refuses, and what becomes of it when the device fails.
#include "runtime/emulator/emulator.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/faulty_device.hpp"

#include <fmt/format.h>

using namespace ptxgen;

namespace {

std::unique_ptr<runtime::Device> emulator(std::uint64_t memory_bytes = 0) {
    runtime::EmulatorOptions options;
    options.memory_bytes = memory_bytes;
    return runtime::create_emulator(options);
}

std::string error_of(const Result<std::span<const float>>& result) { return result.ok() ? "" : result.error().message; }
std::string error_of(const Result<std::unique_ptr<Engine>>& result) {
    return result.ok() ? "" : result.error().message;
}

bool is_one_line_with(const std::string& message, std::initializer_list<std::string_view> parts) {
    if (message.empty() || message.find('\n') != std::string::npos) return false;
    return std::all_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return message.find(part) != std::string::npos; });
}

} // namespace

TEST_CASE("ids outside the vocabulary are refused, and the sequence stays as it was") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto vocab = static_cast<TokenId>(model.shape.vocab);
    const auto device = emulator();
    const auto engine = test::make_engine(*device, model, {.context = 8});
    for (const TokenId bad : {-1, vocab, INT32_MAX, INT32_MIN}) {
        CAPTURE(bad);
        const TokenId ids[] = {1, 2, bad};
        const std::string message = error_of(engine->evaluate(ids));
        CHECK_MESSAGE(is_one_line_with(message, {std::to_string(bad), std::to_string(vocab - 1)}), message);
        const Status status = engine->evaluate_all(ids, [](auto) { return Status{}; });
        CHECK_FALSE(status.ok());
        CHECK(engine->position() == 0);
    }
    CHECK_FALSE(engine->evaluate({}).ok());
    const TokenId good[] = {0, vocab - 1};
    CHECK(engine->evaluate(good).ok());
}

TEST_CASE("a full context is an error that says how much it holds, and leaves the sequence usable") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto device = emulator();
    const auto engine = test::make_engine(*device, model, {.context = 10});
    CHECK(engine->context() == 10);
    const auto ids = test::tiny_prompt(model.shape.vocab, 11);
    CHECK(is_one_line_with(error_of(engine->evaluate(ids)), {"context full", "10"}));
    CHECK(engine->position() == 0);
    REQUIRE(engine->evaluate(std::span(ids).first(10)).ok());
    CHECK(is_one_line_with(error_of(engine->evaluate(std::span(ids).last(1))), {"context full", "10"}));
    REQUIRE(engine->rewind(9).ok());
    CHECK(engine->evaluate(std::span(ids).last(1)).ok());
}

TEST_CASE("a context beyond the model's is refused") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    REQUIRE(model.shape.context == 512);
    const auto device = emulator();
    CHECK(is_one_line_with(error_of(create_graph_engine(*device, model, {.context = 513})), {"513", "512"}));
    const auto whole = create_graph_engine(*device, model);
    REQUIRE(whole.ok());
    CHECK((*whole)->context() == 512);
}

TEST_CASE("too little device memory is said before any work, with what is needed and what is free") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2-k"));
    const EngineOptions options{.context = 64};
    const auto small = emulator(std::uint64_t{1} << 20);
    REQUIRE(graph_engine_bytes(model, options, small->properties()) > std::uint64_t{1} << 20);
    test::FaultyDevice device(*small);
    const std::string message = error_of(create_graph_engine(device, model, options));
    CHECK_MESSAGE(is_one_line_with(message, {"MiB", "free"}), message);
    CHECK(device.allocations() == 0);
}

TEST_CASE("graph_engine_bytes is what the engine allocates, and all of it is freed") {
    const test::TemporaryFolder folder;
    const auto inner = emulator();
    for (const char* name : {"qwen2", "gemma3", "qwen3-k"}) {
        for (const KvType kv : {KvType::f32, KvType::f16}) {
            CAPTURE(name);
            const Model model = test::load_tiny(folder, test::tiny_model(name));
            const EngineOptions options{.context = 100, .kv = kv, .chunk = 16};
            test::FaultyDevice device(*inner);
            {
                const auto engine = test::make_engine(device, model, options);
                (void)test::last_logits(*engine, test::tiny_prompt(model.shape.vocab, 20));
                const std::uint64_t said = graph_engine_bytes(model, options, device.properties());
                CHECK(device.peak_bytes() <= said);
                CHECK(said <= device.peak_bytes() + device.peak_bytes() / 10);
            }
            CHECK(device.live_allocations() == 0);
        }
    }
}

TEST_CASE("progress never falls and ends at the whole") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto device = emulator();
    std::vector<double> shares;
    (void)test::make_engine(*device, model,
                            {.context = 8, .on_progress = [&](double share) { shares.push_back(share); }});
    REQUIRE(shares.size() >= 2);
    CHECK(std::is_sorted(shares.begin(), shares.end()));
    CHECK(shares.front() >= 0);
    CHECK(shares.back() == 1);
}

TEST_CASE("whatever the device fails at is the engine's error, but for a stream that does not record") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("llama-rope"));
    const auto ids = test::tiny_prompt(model.shape.vocab, 5);
    const auto inner = emulator();
    test::FaultyDevice counting(*inner);
    std::uint64_t for_creation = 0;
    std::vector<TokenId> expected;
    const auto keep = [](std::vector<TokenId>& to) {
        return [&to](TokenId id) {
            to.push_back(id);
            return true;
        };
    };
    {
        const auto engine = test::make_engine(counting, model, {.context = 8});
        for_creation = counting.operations();
        (void)test::last_logits(*engine, ids);
        REQUIRE(engine->generate(ids.back(), 3, {}, keep(expected)).ok());
    }
    const std::uint64_t in_all = counting.operations();
    REQUIRE(expected.size() == 3);
    REQUIRE(for_creation > 20);
    REQUIRE(in_all > for_creation + 20);
    int not_recorded = 0;
    for (std::uint64_t nth = 0; nth < in_all; nth += nth + 10 < in_all ? 7 : 1) {
        CAPTURE(nth);
        test::FaultyDevice device(*inner, nth);
        const auto created = create_graph_engine(device, model, {.context = 8});
        if (!created) {
            CHECK(nth < for_creation);
            CHECK_MESSAGE(created.error().message.find(test::FaultyDevice::failure) != std::string::npos,
                          created.error().message);
            continue;
        }
        std::vector<TokenId> found;
        std::string message = error_of((*created)->evaluate(ids));
        if (message.empty()) {
            const auto generated = (*created)->generate(ids.back(), 3, {}, keep(found));
            if (!generated) message = generated.error().message;
        }
        if (nth < for_creation) { // what was not recorded is launched one by one
            not_recorded++;
            CHECK(message == "");
            CHECK(found == expected);
        } else {
            CHECK_MESSAGE(message.find(test::FaultyDevice::failure) != std::string::npos, message);
        }
    }
    CHECK(not_recorded > 0);
    CHECK(not_recorded < 10);
}
