// ptxgen-bench agree: the comparison by hand-made logits, the program against engines that are compared here.
#include "runtime/emulator/emulator.hpp"
#include "runtime/inference/random.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"
#include "tools/common/agreement.hpp"

#include <limits>
#include <nlohmann/json.hpp>

using namespace ptxgen;
using tools::Agreement;

namespace {

constexpr std::uint32_t sequence = 5, tokens = 12, seed = 7;

std::size_t argmax(std::span<const float> row) {
    return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

/// What both engines give for all tokens, each sequence evaluated on its own: [tokens][vocab].
struct Logits {
    std::vector<float> graph, persistent;
};

Logits logits_of(const Model& model, bool greedy, ActivationFormat of_graph) {
    const auto device = runtime::create_emulator({});
    EngineOptions options{.activations = of_graph, .context = sequence};
    const auto graph = test::make_engine(*device, model, options);
    options.kind = EngineKind::persistent;
    options.activations = ActivationFormat::q8_1;
    const auto persistent = create_engine(*device, model, options);
    REQUIRE_MESSAGE(persistent.ok(), persistent.error().message);
    Random random(seed);
    Logits all;
    for (std::uint32_t at = 0; at < tokens; at += sequence) {
        REQUIRE(graph->rewind(0).ok());
        REQUIRE((*persistent)->rewind(0).ok());
        std::vector<TokenId> ids;
        std::vector<float> row;
        while (ids.size() < std::min(sequence, tokens - at)) {
            ids.push_back(static_cast<TokenId>(greedy && !ids.empty() ? argmax(row) : random.below(model.shape.vocab)));
            row = test::last_logits(*graph, std::span(ids).last(1));
            all.graph.insert(all.graph.end(), row.begin(), row.end());
        }
        const auto found = test::every_logit(**persistent, ids);
        all.persistent.insert(all.persistent.end(), found.begin(), found.end());
    }
    return all;
}

} // namespace

TEST_CASE("an agreement keeps the largest values, where they are, and argmaxes that a gap decides") {
    Agreement agreement(0.1);
    const std::vector<std::vector<float>> rows[] = {
        {{1, -4, 2}, {1, -4, 2.25F}},         // 1/16, same argmax
        {{8, 7.5F, 0}, {7.75F, 8, 0}},        // 1/16, another argmax at a gap of 1/16
        {{0.5F, 0.375F, 0}, {0.5F, 0.5F, 0}}, // 1/4; equal logits: the lowest id
    };
    for (const auto& row : rows) REQUIRE(agreement.add(row[0], row[1]).ok());
    CHECK(agreement.positions() == 3);
    CHECK(agreement.max_difference() == 0.5);
    CHECK(agreement.max_logit() == 8);
    CHECK(agreement.worst_ratio() == 0.25);
    CHECK(agreement.worst_position() == 2);
    CHECK(agreement.other_argmax() == 1);
    CHECK(agreement.other_argmax_beyond_bound() == 0);
    CHECK_FALSE(agreement.holds());

    // A gap of 1/8 is decided, and the difference of 1/16 allows it to be lost.
    Agreement near(0.1);
    REQUIRE(near.add(rows[0][0], rows[0][1]).ok());
    CHECK(near.holds());
    REQUIRE(near.add(std::vector<float>{7, 8, -8}, std::vector<float>{7.5F, 7.5F, -8}).ok());
    CHECK(near.worst_ratio() == 0.0625);
    CHECK(near.other_argmax() == 1);
    CHECK(near.other_argmax_beyond_bound() == 1);
    CHECK(near.first_beyond_bound() == 1);
    CHECK_FALSE(near.holds());
}

TEST_CASE("logits that say nothing are errors") {
    Agreement agreement(0.1);
    const std::vector<float> good = {1, 2}, zero = {0, 0};
    const auto message = [&](const std::vector<float>& expected, const std::vector<float>& found) {
        const auto status = agreement.add(expected, found);
        return status ? std::string() : status.error().message;
    };
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        CHECK(message(good, {1, bad}).find("the persistent engine's logit of id 1 is ") == 0);
        CHECK(message({bad, 2}, good).find("the graph engine's logit of id 0 is ") == 0);
    }
    CHECK(message(zero, zero) == "all of the graph engine's logits are zero");
    CHECK(message(good, {1}) == "one engine gives 2 logits, the other 1");
    CHECK(agreement.positions() == 0);
}

TEST_CASE("agree reports what the two engines' logits are apart, over several sequences") {
    const test::TinyFiles files;
    const std::string path = files.model("qwen2-k");
    const auto model = load_model(path);
    REQUIRE(model);
    const std::size_t vocab = model->shape.vocab;
    // At f32 the graph engine's logits are others; at q8_1 they are the same to the last bit.
    for (const auto& [greedy, exact] : {std::pair{false, true}, std::pair{true, true}, std::pair{true, false}}) {
        const bool is_greedy = greedy, differs = exact;
        CAPTURE(is_greedy);
        CAPTURE(differs);
        const auto [graph, persistent] =
            logits_of(*model, greedy, exact ? ActivationFormat::f32 : ActivationFormat::q8_1);
        double difference = 0;
        double largest = 0;
        std::uint32_t other = 0;
        for (std::size_t i = 0; i < graph.size(); i++) {
            difference = std::max(difference, std::abs(double{persistent[i]} - double{graph[i]}));
            largest = std::max(largest, std::abs(double{graph[i]}));
        }
        for (std::size_t at = 0; at < graph.size(); at += vocab)
            other += argmax(std::span(graph).subspan(at, vocab)) != argmax(std::span(persistent).subspan(at, vocab));
        const double ratio = test::row_difference<float>(persistent, graph, vocab);
        CHECK((ratio > 0) == differs);

        const auto arguments = [&](double bound) -> std::vector<std::string> {
            return {"agree",
                    path,
                    "--device",
                    "emulator",
                    "--tokens",
                    std::to_string(tokens),
                    "--context",
                    std::to_string(sequence),
                    "--seed",
                    std::to_string(seed),
                    "--ids",
                    is_greedy ? "greedy" : "random",
                    "--graph-activations",
                    differs ? "f32" : "q8_1",
                    "--bound",
                    fmt::format("{}", bound),
                    "--json",
                    "-"};
        };
        const auto agreed = test::ptxgen_bench(arguments(ratio * 1.001));
        INFO(agreed.err);
        REQUIRE(agreed.code == 0);
        const auto row = nlohmann::json::parse(agreed.out)["results"][0];
        CHECK(row["tokens"] == tokens);
        CHECK(row["sequences"] == 3);
        CHECK(row["max_difference"].get<double>() == difference);
        CHECK(row["max_logit"].get<double>() == largest);
        CHECK(row["worst_ratio"].get<double>() == ratio);
        CHECK(row["other_argmax"] == other);
        CHECK(row["share_equal"].get<double>() == doctest::Approx(1 - other / double{tokens}));
        CHECK(row["agree"] == true);

        if (!differs) continue;
        // A bound just below it: the report is written all the same.
        const auto disagreed = test::ptxgen_bench(arguments(ratio * 0.999));
        CHECK(disagreed.code == 1);
        CHECK(disagreed.err.find("error: the engines disagree; max |difference| / max |logit| is") !=
              std::string::npos);
        CHECK(nlohmann::json::parse(disagreed.out)["results"][0]["agree"] == false);
    }
}

TEST_CASE("agree needs no vocabulary") {
    const test::TinyFiles files;
    const std::string path = files.path("tiny.gguf");
    REQUIRE(test::ptxgen_bench({"synth", "--shape", "tiny", path}).code == 0);
    const auto finished =
        test::ptxgen_bench({"agree", path, "--device", "emulator", "--tokens", "3", "--context", "2"});
    INFO(finished.err);
    CHECK(finished.code == 0);
    CHECK(finished.out.find("worst_ratio") != std::string::npos);
    CHECK(test::ptxgen_bench({"agree", path, "--ids", "best"}).code == 2);
    CHECK(test::ptxgen_bench({"agree", path, "--bound", "-1"}).code == 2);
}
