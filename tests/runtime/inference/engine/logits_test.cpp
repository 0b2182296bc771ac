// The engine's logits against the float64 reference, on every device of this machine.
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/devices.hpp"

using namespace ptxgen;

namespace {

constexpr double f32_cache_bound = 1e-4;
// A token by itself goes through another form of GEMV, which sums in another order.
constexpr double single_token_bound = 5e-5;
// Keys and values keep 11 bits; what the models of this test make of it is below 1e-3.
constexpr double f16_cache_bound = 5e-3;

} // namespace

TEST_CASE("every tiny model's logits equal the reference's, whatever the chunks of the prompt") {
    const test::TemporaryFolder folder;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const std::size_t vocab = model.shape.vocab;
        const auto ids = test::tiny_prompt(model.shape.vocab, 21);
        const auto expected = test::ReferenceForward(model).evaluate(ids);
        for (test::TestDevice& device : test::test_devices()) {
            CAPTURE(device.name());
            std::vector<float> in_one;
            std::vector<float> by_chunks_of_one;
            for (const std::uint32_t chunk : {64U, 8U, 3U, 1U}) {
                CAPTURE(chunk);
                const auto engine = test::make_engine(device.device(), model, {.context = 32, .chunk = chunk});
                const auto logits = test::every_logit(*engine, ids);
                CHECK(engine->position() == ids.size());
                CHECK(test::row_difference<double>(logits, expected, vocab) <= f32_cache_bound);
                if (in_one.empty()) in_one = logits;
                const double bound = chunk == 1 ? single_token_bound : 1e-6;
                CHECK(test::row_difference<float>(logits, in_one, vocab) <= bound);
                by_chunks_of_one = logits;
            }
            const auto engine = test::make_engine(device.device(), model, {.context = 32});
            std::vector<float> one_by_one;
            for (const TokenId id : ids) {
                const auto row = test::last_logits(*engine, std::span(&id, 1));
                one_by_one.insert(one_by_one.end(), row.begin(), row.end());
            }
            CHECK(one_by_one == by_chunks_of_one);
        }
    }
}

TEST_CASE("the cache in f16 keeps the logits close to the reference's") {
    const test::TemporaryFolder folder;
    double worst = 0;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const Model model = test::load_tiny(folder, tiny);
        const auto ids = test::tiny_prompt(model.shape.vocab, 21);
        const auto expected = test::ReferenceForward(model).evaluate(ids);
        for (test::TestDevice& device : test::test_devices()) {
            CAPTURE(device.name());
            const auto engine = test::make_engine(device.device(), model, {.context = 32, .kv = KvType::f16});
            const double difference =
                test::row_difference<double>(test::every_logit(*engine, ids), expected, model.shape.vocab);
            CHECK(difference <= f16_cache_bound);
            worst = std::max(worst, difference);
        }
    }
    // Nothing is rounded to 11 bits if it is as close as the f32 cache's.
    CHECK(worst > 1e-5);
}

TEST_CASE("a prompt of several chunks that is longer than the sliding window") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("gemma3"));
    const auto ids = test::tiny_prompt(model.shape.vocab, 150, 3);
    const auto expected = test::ReferenceForward(model).evaluate(ids);
    for (test::TestDevice& device : test::test_devices()) {
        CAPTURE(device.name());
        const auto engine = test::make_engine(device.device(), model, {.context = 150});
        CHECK(test::row_difference<double>(test::every_logit(*engine, ids), expected, model.shape.vocab) <=
              f32_cache_bound);
    }
}

TEST_CASE("evaluate gives the last row of evaluate_all") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2"));
    const auto ids = test::tiny_prompt(model.shape.vocab, 13);
    for (test::TestDevice& device : test::test_devices()) {
        CAPTURE(device.name());
        const auto engine = test::make_engine(device.device(), model, {.context = 16, .chunk = 5});
        const auto rows = test::every_logit(*engine, ids);
        CHECK(rows.size() == ids.size() * model.shape.vocab);
        REQUIRE(engine->rewind(0).ok());
        const auto last = test::last_logits(*engine, ids);
        CHECK(std::equal(last.begin(), last.end(), rows.end() - static_cast<std::ptrdiff_t>(last.size())));
    }
}

TEST_CASE("after a rewind the sequence goes on as if the forgotten tokens had never been there") {
    const test::TemporaryFolder folder;
    for (const char* name : {"llama-rope", "gemma3"}) {
        CAPTURE(name);
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const auto ids = test::tiny_prompt(model.shape.vocab, 18);
        const auto others = test::tiny_prompt(model.shape.vocab, 9, 7);
        for (test::TestDevice& device : test::test_devices()) {
            CAPTURE(device.name());
            const auto straight = test::make_engine(device.device(), model, {.context = 32});
            (void)test::last_logits(*straight, std::span(ids).first(10));
            const auto expected = test::last_logits(*straight, std::span(ids).subspan(10));

            const auto engine = test::make_engine(device.device(), model, {.context = 32});
            (void)test::last_logits(*engine, std::span(ids).first(10));
            (void)test::last_logits(*engine, others);
            CHECK(engine->position() == 19);
            REQUIRE(engine->rewind(10).ok());
            CHECK(engine->position() == 10);
            CHECK(test::last_logits(*engine, std::span(ids).subspan(10)) == expected);

            const Status beyond = engine->rewind(19);
            REQUIRE_FALSE(beyond.ok());
            CHECK(beyond.error().message.find("19") != std::string::npos);
            CHECK(engine->position() == 18);
        }
    }
}

TEST_CASE("the number of launches grows by the same amount with every token") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen3"));
    for (test::TestDevice& device : test::test_devices()) {
        CAPTURE(device.name());
        const auto engine = test::make_engine(device.device(), model, {.context = 16});
        CHECK(engine->launches() == 0);
        const auto ids = test::tiny_prompt(model.shape.vocab, 9);
        (void)test::last_logits(*engine, std::span(ids).first(4));
        const std::uint64_t after_prompt = engine->launches();
        CHECK(after_prompt > 0);
        std::vector<std::uint64_t> per_token;
        for (std::size_t i = 4; i < ids.size(); i++) {
            const std::uint64_t before = engine->launches();
            (void)test::last_logits(*engine, std::span(ids).subspan(i, 1));
            per_token.push_back(engine->launches() - before);
        }
        CHECK(per_token == std::vector<std::uint64_t>(5, per_token.front()));
        // A prompt in one chunk takes as many as a token, but for the two that draw the next token on the device.
        CHECK(after_prompt + 2 == per_token.front());
    }
}
