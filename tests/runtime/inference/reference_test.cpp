#include "tests/support/reference_forward.hpp"

#include "tests/support/gguf_writer.hpp"
#include "tests/support/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>

using namespace ptxgen;

namespace {

Model load(const test::TemporaryFolder& folder, const test::TinyModel& tiny) {
    auto model = load_model(folder.write(tiny.name + ".gguf", test::tiny_model_file(tiny)));
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    return std::move(*model);
}

/// max |a - b| / max |b|
double difference(std::span<const double> a, std::span<const double> b) {
    double most = 0;
    double largest = 0;
    for (std::size_t i = 0; i < b.size(); i++) {
        most = std::max(most, std::abs(a[i] - b[i]));
        largest = std::max(largest, std::abs(b[i]));
    }
    return most / largest;
}

} // namespace

TEST_CASE("the reference agrees with an independent implementation on every tiny model") {
    const test::TemporaryFolder folder;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const std::string base = PTXGEN_SOURCE_DIR "/tests/data/reference/" + tiny.name;
        std::ifstream text(base + ".ids");
        const std::vector<std::int32_t> ids{std::istream_iterator<std::int32_t>(text), {}};
        REQUIRE(ids.size() == 23);
        const Model model = load(folder, tiny);
        const std::size_t vocab = model.shape.vocab;
        std::vector<double> expected(3 * vocab);
        std::ifstream(base + ".f64", std::ios::binary)
            .read(reinterpret_cast<char*>(expected.data()),
                  static_cast<std::streamsize>(expected.size() * sizeof(double)));

        test::ReferenceForward reference(model);
        const auto logits = reference.evaluate(ids);
        const std::span rows(logits);
        const std::size_t positions[] = {0, 11, 22};
        for (std::size_t i = 0; i < 3; i++)
            CHECK(difference(rows.subspan(positions[i] * vocab, vocab), std::span(expected).subspan(i * vocab, vocab)) <
                  1e-12);
    }
}

TEST_CASE("the reference gives the same logits in pieces, and again after forgetting positions") {
    const test::TemporaryFolder folder;
    const Model model = load(folder, test::tiny_model("gemma3"));
    const auto ids = test::tiny_prompt(model.shape.vocab, 20);
    test::ReferenceForward whole(model);
    const auto expected = whole.evaluate(ids, test::ReferenceForward::Logits::last);
    REQUIRE(expected.size() == model.shape.vocab);

    test::ReferenceForward pieces(model);
    (void)pieces.evaluate(std::span(ids).first(9));
    (void)pieces.evaluate(test::tiny_prompt(model.shape.vocab, 4, 7));
    pieces.truncate(9);
    std::vector<double> last;
    for (std::size_t i = 9; i < ids.size(); i++) last = pieces.evaluate(std::span(ids).subspan(i, 1));
    CHECK(pieces.positions() == 20);
    CHECK(difference(last, expected) < 1e-12);
}

TEST_CASE("a linear rope factor is the same as rope_freqs that are all this factor") {
    const test::TemporaryFolder folder;
    test::TinyModel scaled = test::tiny_model("llama-spm");
    scaled.rope_scaling = 4;
    const Model by_key = load(folder, scaled);
    CHECK(by_key.shape.rope.scale == 0.25);
    const auto ids = test::tiny_prompt(by_key.shape.vocab, 12);
    const auto logits = test::ReferenceForward(by_key).evaluate(ids);

    const Model plain = load(folder, test::tiny_model("llama-spm"));
    CHECK(difference(logits, test::ReferenceForward(plain).evaluate(ids)) > 1e-3);

    Model by_factors = load(folder, test::tiny_model("llama-spm"));
    std::vector<float> factors(by_factors.shape.rope.dim / 2, 4.0F);
    gguf::Tensor tensor;
    tensor.ne[0] = factors.size();
    tensor.data = reinterpret_cast<const std::byte*>(factors.data());
    by_factors.rope_freqs = &tensor;
    CHECK(difference(logits, test::ReferenceForward(by_factors).evaluate(ids)) < 1e-12);
}

TEST_CASE("greedy choice: the highest logit, the lowest id of equals") {
    const double logits[] = {1, 3, -2, 3, 2.5};
    CHECK(test::best_of(logits).id == 1);
    CHECK(test::best_of(logits).gap == 0);
    const double single[] = {1, 3, -2, 2.5};
    CHECK(test::best_of(single).gap == doctest::Approx(0.5));
}
