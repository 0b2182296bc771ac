#include "runtime/inference/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

using namespace ptxgen;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

Sampler make(const SamplerOptions& options) {
    auto sampler = Sampler::create(options);
    REQUIRE_MESSAGE(sampler.ok(), sampler.error().message);
    return std::move(*sampler);
}

TokenId sample(Sampler& sampler, const std::vector<float>& logits) {
    const auto id = sampler.sample(logits);
    REQUIRE_MESSAGE(id.ok(), id.error().message);
    return *id;
}

std::vector<double> softmax(const std::vector<double>& logits) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    std::vector<double> out;
    for (const double logit : logits) out.push_back(std::exp(logit - highest));
    const double total = std::accumulate(out.begin(), out.end(), 0.0);
    for (double& p : out) p /= total;
    return out;
}

/// The distribution that the options ask for, stage by stage over the whole vocabulary.
std::vector<double> distribution(const std::vector<float>& logits, const SamplerOptions& options,
                                 const std::vector<TokenId>& seen = {}) {
    std::vector<double> scores(logits.begin(), logits.end());
    std::vector<bool> penalised(scores.size());
    for (const TokenId id : seen)
        if (!penalised[static_cast<std::size_t>(id)]) {
            double& score = scores[static_cast<std::size_t>(id)];
            score = score > 0 ? score / options.repeat_penalty : score * options.repeat_penalty;
            penalised[static_cast<std::size_t>(id)] = true;
        }
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    if (options.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(options.top_k)));
    std::vector<double> kept;
    for (const std::size_t i : order) kept.push_back(scores[i]);
    std::vector<double> p = softmax(kept);
    double sum = 0;
    std::size_t count = 0;
    while (count < p.size() && (count == 0 || sum < options.top_p)) sum += p[count++];
    if (options.top_p < 1) order.resize(count);
    std::erase_if(order, [&](std::size_t i) { return std::exp(scores[i] - scores[order[0]]) < options.min_p; });
    kept.clear();
    for (const std::size_t i : order) kept.push_back(scores[i] / options.temperature);
    p = softmax(kept);
    std::vector<double> out(scores.size());
    for (std::size_t i = 0; i < order.size(); ++i) out[order[i]] = p[i];
    return out;
}

/// Pearson's chi-square test at about 5 standard deviations; what has probability 0 must never come.
void check_draws(Sampler& sampler, const std::vector<float>& logits, const std::vector<double>& expected) {
    constexpr int draws = 100000;
    std::vector<int> counts(logits.size());
    for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sample(sampler, logits))];
    double chi_square = 0, rare = 0, rare_count = 0;
    int classes = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (expected[i] == 0) {
            CAPTURE(i);
            CHECK(counts[i] == 0);
        } else if (expected[i] * draws < 10) { // too few to test one by one
            rare += expected[i] * draws;
            rare_count += counts[i];
        } else {
            chi_square += std::pow(counts[i] - expected[i] * draws, 2) / (expected[i] * draws);
            ++classes;
        }
    }
    if (rare >= 10) {
        chi_square += std::pow(rare_count - rare, 2) / rare;
        ++classes;
    }
    const double freedom = classes - 1;
    CAPTURE(chi_square);
    CAPTURE(freedom);
    CHECK(chi_square <= freedom + 5 * std::sqrt(2 * freedom) + 5);
}

std::vector<float> bumpy_logits(std::size_t size) {
    SplitMix64 random(99);
    std::vector<float> out(size);
    for (float& logit : out) logit = static_cast<float>(8 * random.uniform() - 4);
    return out;
}

} // namespace

TEST_CASE("splitmix64 gives the published numbers") {
    // From the reference implementation, seed 1234567.
    SplitMix64 random(1234567);
    for (const std::uint64_t expected : {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                         4593380528125082431u, 16408922859458223821u})
        CHECK(random.next() == expected);
    SplitMix64 other(0);
    for (int i = 0; i < 1000; ++i) {
        const double u = other.uniform();
        CHECK((u >= 0 && u < 1));
    }
}

TEST_CASE("temperature 0 is argmax, ties to the lowest id") {
    Sampler sampler = make({.temperature = 0, .top_k = 5, .top_p = 0, .min_p = 1});
    CHECK(sample(sampler, {1, 3, 3, 2}) == 1);
    CHECK(sample(sampler, {-1}) == 0);
    CHECK(sample(sampler, {-infinity, -5, -infinity}) == 1);
    CHECK(sample(sampler, {0, -0.0f, 0}) == 0);
    std::vector<float> many(100000, 0.25f);
    many[77777] = 0.25000003f;
    CHECK(sample(sampler, many) == 77777);
}

TEST_CASE("draws follow the distribution that the options ask for") {
    const std::vector<float> logits = bumpy_logits(40);
    const std::vector<SamplerOptions> all{
        {.temperature = 1, .top_p = 1},
        {.temperature = 0.6, .top_p = 0.95},
        {.temperature = 2.5, .top_p = 1},
        {.temperature = 0.3, .top_k = 7, .top_p = 1},
        {.temperature = 1, .top_k = 1, .top_p = 1},
        {.temperature = 1, .top_k = 1000, .top_p = 1},
        {.temperature = 1, .top_p = 0.5},
        {.temperature = 3, .top_p = 0.5}, // top-p looks at temperature 1
        {.temperature = 1, .top_p = 0},
        {.temperature = 1, .top_p = 0.001},
        {.temperature = 1, .top_p = 1, .min_p = 0.2},
        {.temperature = 1, .top_p = 1, .min_p = 1},
        {.temperature = 0.8, .top_k = 20, .top_p = 0.8, .min_p = 0.05},
        {.temperature = 1.5, .top_k = 3, .top_p = 0.7, .min_p = 0.01},
        {.temperature = 1e-30, .top_p = 1},
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        for (const std::uint64_t seed : {0u, 42u}) {
            SamplerOptions options = all[i];
            options.seed = seed;
            Sampler sampler = make(options);
            check_draws(sampler, logits, distribution(logits, options));
        }
    }
}

TEST_CASE("equal logits at the edge of top-k and top-p go by id") {
    const std::vector<float> logits{1, 2, 1, 2, 1, 1};
    Sampler top_k = make({.temperature = 1, .top_k = 3, .top_p = 1});
    check_draws(top_k, logits, distribution(logits, {.temperature = 1, .top_k = 3, .top_p = 1}));
    Sampler top_p = make({.temperature = 1, .top_p = 0.6});
    check_draws(top_p, logits, distribution(logits, {.temperature = 1, .top_p = 0.6}));
}

TEST_CASE("a nucleus of thousands of tokens is found too") {
    const std::vector<float> logits = bumpy_logits(5000);
    for (const double top_p : {0.3, 0.9, 0.999}) {
        CAPTURE(top_p);
        const SamplerOptions options{.temperature = 0.7, .top_p = top_p, .seed = 3};
        const auto expected = distribution(logits, options);
        CHECK(std::count(expected.begin(), expected.end(), 0.0) > 0);
        Sampler sampler = make(options);
        for (int i = 0; i < 2000; ++i) CHECK(expected[static_cast<std::size_t>(sample(sampler, logits))] > 0);
    }
}

TEST_CASE("equal logits leave something to draw from, whatever the vocabulary's size") {
    for (std::size_t size = 1; size < 300; ++size) {
        CAPTURE(size);
        for (const double top_p : {0.0, 0.3, 0.999999}) {
            Sampler sampler = make({.temperature = 1, .top_p = top_p, .min_p = 1});
            const TokenId id = sample(sampler, std::vector<float>(size, -3.7f));
            CHECK(static_cast<double>(id) <= top_p * static_cast<double>(size));
        }
    }
}

TEST_CASE("the repetition penalty weakens tokens of the last n, once each") {
    const std::vector<float> logits{2, 1, -1, 0.5, 1.5};
    SamplerOptions options{.temperature = 1, .top_p = 1, .repeat_penalty = 1.7, .repeat_last_n = 3, .seed = 5};
    Sampler sampler = make(options);
    for (const TokenId id : {4, 0, 2, 0}) sampler.accept(id); // the 4 is too long ago
    check_draws(sampler, logits, distribution(logits, options, {0, 2, 0}));
    options.repeat_last_n = -1;
    Sampler all = make(options);
    for (const TokenId id : {4, 0, 2, 0}) all.accept(id);
    check_draws(all, logits, distribution(logits, options, {4, 0, 2}));
    all.clear();
    check_draws(all, logits, distribution(logits, options));
    options.repeat_last_n = 0;
    Sampler none = make(options);
    none.accept(0);
    check_draws(none, logits, distribution(logits, options));

    Sampler greedy = make({.temperature = 0, .repeat_penalty = 2});
    CHECK(sample(greedy, {3, 2, 1}) == 0);
    greedy.accept(0);
    CHECK(sample(greedy, {3, 2, 1}) == 1);
    greedy.accept(-5); // ids that have no logit are nobody's
    greedy.accept(1000);
    CHECK(sample(greedy, {-3, -4}) == 1);
}

TEST_CASE("the same seed gives the same tokens, another seed others") {
    const std::vector<float> logits = bumpy_logits(1000);
    const auto run = [&](std::uint64_t seed) {
        Sampler sampler = make({.temperature = 1, .top_k = 40, .top_p = 0.95, .min_p = 0.01, .seed = seed});
        std::vector<TokenId> out;
        for (int i = 0; i < 50; ++i) out.push_back(sample(sampler, logits));
        return out;
    };
    CHECK(run(7) == run(7));
    CHECK(run(7) != run(8));
}

TEST_CASE("excluded tokens never come, impossible logits are errors") {
    Sampler sampler = make({.temperature = 5, .top_p = 1});
    for (int i = 0; i < 1000; ++i) CHECK(sample(sampler, {-infinity, 0, -infinity, 0}) % 2 == 1);
    Sampler truncating = make({.temperature = 5, .top_k = 3, .top_p = 0.99, .min_p = 0.001});
    for (int i = 0; i < 1000; ++i) CHECK(sample(truncating, {-infinity, 0, -infinity, 0}) % 2 == 1);
    for (const double temperature : {0.0, 1.0}) {
        Sampler any = make({.temperature = temperature});
        const auto message = [&](const std::vector<float>& logits) {
            const auto id = any.sample(logits);
            REQUIRE_FALSE(id.ok());
            return id.error().message;
        };
        CHECK(message({}) == "expected logits to sample from, found none");
        CHECK(message({0, not_a_number, 1}).find("token 1 is nan") != std::string::npos);
        CHECK(message({0, infinity}).find("token 1 is inf") != std::string::npos);
        CHECK(message({-infinity, -infinity}).find("no token can follow") != std::string::npos);
    }
}

TEST_CASE("options out of range are errors that name them") {
    const auto message = [](const SamplerOptions& options) {
        const auto sampler = Sampler::create(options);
        REQUIRE_FALSE(sampler.ok());
        return sampler.error().message;
    };
    for (const double bad : {-0.1, double(not_a_number), double(infinity)}) {
        CHECK(message({.temperature = bad}).find("temperature") != std::string::npos);
        CHECK(message({.top_p = bad}).find("top-p") != std::string::npos);
        CHECK(message({.min_p = bad}).find("min-p") != std::string::npos);
        CHECK(message({.repeat_penalty = bad}).find("repeat penalty") != std::string::npos);
    }
    CHECK(message({.top_p = 1.01}).find("top-p") != std::string::npos);
    CHECK(message({.top_k = -1}).find("top-k") != std::string::npos);
    CHECK(message({.repeat_penalty = 0}).find("repeat penalty") != std::string::npos);
    CHECK(message({.repeat_last_n = -2}).find("-2") != std::string::npos);
}
