// Activations of eight bits: against the float64 reference that rounds them likewise, and against the exact one.
#include "runtime/emulator/emulator.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/faulty_device.hpp"

using namespace ptxgen;

namespace {

using Reference = test::ReferenceForward;

/// Root mean square of a − b, divided by that of b.
template <class T>
double rms_distance(const std::vector<T>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double distance = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); i++) {
        distance += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        size += b[i] * b[i];
    }
    return std::sqrt(distance / size);
}

} // namespace

// An activation that lies between two steps may go either way, and from there on takes others with it: two roundings
// that have nothing to do with each other lie sqrt(2) times as far apart as one lies from what is exact. Up to there
// the rows agree, which a wrong rounding would not let any row do.
TEST_CASE("at q8_1 every tiny model's logits are those of the reference that rounds activations likewise") {
    const test::TemporaryFolder folder;
    std::size_t rows = 0, agreeing_rows = 0;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 21);
        const auto exact = Reference(model).evaluate(ids);
        const auto rounded = Reference(model, Reference::Activations::rounded).evaluate(ids);
        const double of_rounding = rms_distance(rounded, exact);
        REQUIRE(of_rounding > 1e-3);
        for (test::TestDevice& device : test::test_devices()) {
            CAPTURE(device.name());
            const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 32};
            const auto engine = test::make_engine(device.device(), model, options);
            const auto check = [&](const std::vector<float>& logits) {
                CHECK(rms_distance(logits, rounded) <= 1.1 * of_rounding);
                CHECK(rms_distance(logits, exact) <= 1.1 * of_rounding);
                const auto row_of = [&](const auto& all, std::size_t row) {
                    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * model.shape.vocab);
                    return std::vector(begin, begin + model.shape.vocab);
                };
                for (std::size_t row = 0; row < ids.size(); row++)
                    agreeing_rows += rms_distance(row_of(logits, row), row_of(rounded, row)) <= 1e-3 * of_rounding;
                rows += ids.size();
            };
            check(test::every_logit(*engine, ids));
            REQUIRE(engine->rewind(0).ok());
            std::vector<float> one_by_one;
            for (const TokenId id : ids) {
                const auto row = test::last_logits(*engine, std::span(&id, 1));
                one_by_one.insert(one_by_one.end(), row.begin(), row.end());
            }
            check(one_by_one);
        }
    }
    CHECK(3 * agreeing_rows >= rows);
}

TEST_CASE("what runs without a ring format is said once, with its types") {
    const test::TemporaryFolder folder;
    const auto device = runtime::create_emulator();
    const auto notes_of = [&](const char* name, ActivationFormat activations) {
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        std::vector<std::string> notes;
        EngineOptions options{.activations = activations, .context = 8};
        options.on_note = [&](std::string_view note) { notes.emplace_back(note); };
        REQUIRE(create_graph_engine(*device, model, options).ok());
        return notes;
    };
    const auto notes = notes_of("qwen2-k", ActivationFormat::q8_1);
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].find("Q5_K, Q3_K, Q2_K") != std::string::npos);
    CHECK(notes[0].find("Q4_K") == std::string::npos);
    CHECK(notes_of("qwen2-k", ActivationFormat::f32).empty());
    CHECK(notes_of("qwen2-k", ActivationFormat::automatic).empty()); // f32 on the emulator
}

TEST_CASE("device memory is asked for as much as packed matrices take") {
    const test::TemporaryFolder folder;
    const auto inner = runtime::create_emulator();
    for (const char* name : {"qwen2", "gemma3-k"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const EngineOptions options{.activations = ActivationFormat::q8_1, .context = 40, .chunk = 16};
        test::FaultyDevice device(*inner);
        {
            const auto engine = test::make_engine(device, model, options);
            const std::uint64_t said = graph_engine_bytes(model, options, device.properties());
            CHECK(device.peak_bytes() <= said);
            CHECK(said <= device.peak_bytes() + device.peak_bytes() / 10);
        }
        CHECK(device.live_allocations() == 0);
    }
}

// Products of many tokens add in the same order whatever the tiles; attention and norms go token by token.
TEST_CASE("at q8_1 long and short prompts take plans of their own on a GPU, and give the same logits") {
    const test::TemporaryFolder folder;
    for (const char* name : {"qwen3", "gemma3"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const auto inner = runtime::create_emulator();
        test::FaultyDevice gpu(*inner);
        gpu.seem_a_gpu();
        const auto engine =
            test::make_engine(gpu, model, {.activations = ActivationFormat::q8_1, .context = 100, .kv = KvType::f32});
        const auto ids = test::tiny_prompt(model.shape.vocab, 75);
        const auto at_once = test::last_logits(*engine, ids);
        REQUIRE(engine->rewind(0).ok());
        (void)test::last_logits(*engine, std::span(ids).first(40));
        CHECK(test::last_logits(*engine, std::span(ids).subspan(40)) == at_once);
    }
}
