#include "kernels/sampling/argmax.hpp"
#include "kernels/sampling/next_token.hpp"

#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <limits>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float nan_value = std::numeric_limits<float>::quiet_NaN();

std::vector<std::uint32_t> run(test::TestDevice& device, const std::vector<float>& logits, ArgmaxConfig config) {
    const auto tokens = static_cast<std::uint32_t>(logits.size() / config.vocab);
    const auto logits_at = device.upload(logits);
    const auto ids_at = device.allocate<std::uint32_t>(tokens);
    device.launch(argmax(config), argmax_grid(tokens + 1), {logits_at.address(), ids_at.address(), tokens});
    return device.download<std::uint32_t>(ids_at, tokens);
}

/// The state after the two kernels of next_token.hpp have seen these logits behind a token at position 41.
std::vector<std::uint32_t> next(test::TestDevice& device, const std::vector<float>& logits, std::uint32_t parts) {
    const NextTokenConfig config{static_cast<std::uint32_t>(logits.size()), parts};
    const auto logits_at = device.upload(logits);
    const auto values = device.allocate<float>(parts);
    const auto ids = device.allocate<std::uint32_t>(parts);
    const auto state = device.upload(std::vector<std::uint32_t>{41, 7, 1234});
    device.launch(argmax_parts(config), argmax_parts_grid(config),
                  {logits_at.address(), values.address(), ids.address()});
    device.launch(next_token(config), next_token_grid(), {values.address(), ids.address(), state.address()});
    return device.download<std::uint32_t>(state, 3);
}

} // namespace

TEST_CASE("the next token is the largest logit's, whatever the parts, and the position goes on") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t vocab : {1u, 2u, 31u, 1000u, 4097u, 49152u})
            for (const std::uint32_t parts : {1u, 3u, 32u, 33u, 264u, 1024u}) {
                CAPTURE(device.name());
                CAPTURE(vocab);
                CAPTURE(parts);
                test::Random random(vocab + parts);
                auto logits = test::random_floats(random, vocab);
                const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
                CHECK((next(device, logits, parts) ==
                       std::vector<std::uint32_t>{42, static_cast<std::uint32_t>(best), 1234}));
                // Of equals the lowest, in whichever parts they are; a NaN is none.
                const auto low = static_cast<std::uint32_t>(random.below(vocab));
                logits[low] = 1e9f;
                logits[random.below(vocab - low) + low] = 1e9f;
                for (std::uint32_t i = low; i-- > 0 && i + 3 > low;) logits[i] = nan_value;
                CHECK((next(device, logits, parts) == std::vector<std::uint32_t>{42, low, 1234}));
            }
    for (auto& device : test::test_devices())
        CHECK(
            (next(device, std::vector<float>(100, -infinity), 7) == std::vector<std::uint32_t>{42, 0xffffffff, 1234}));
}

TEST_CASE("argmax finds the largest logit of each row") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t vocab : {1u, 2u, 31u, 1000u, 1023u, 4097u, 49152u, 50257u})
            for (const std::uint32_t threads : {32u, 96u, 1024u}) {
                CAPTURE(device.name());
                CAPTURE(vocab);
                CAPTURE(threads);
                test::Random random(vocab);
                const auto logits = test::random_floats(random, std::size_t{vocab} * 3);
                std::vector<std::uint32_t> expected;
                for (auto row = logits.begin(); row != logits.end(); row += vocab)
                    expected.push_back(static_cast<std::uint32_t>(std::max_element(row, row + vocab) - row));
                CHECK((run(device, logits, {vocab, threads}) == expected));
            }
}

TEST_CASE("argmax takes the lowest index of equals wherever they are") {
    constexpr std::uint32_t vocab = 3001;
    test::Random random(1);
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        std::vector<float> logits;
        std::vector<std::uint32_t> expected;
        for (int row = 0; row < 40; row++) {
            std::vector<float> values(vocab, row % 2 ? -1.f : -infinity);
            auto low = static_cast<std::uint32_t>(random.below(vocab)),
                 high = static_cast<std::uint32_t>(random.below(vocab));
            if (low > high) std::swap(low, high);
            values[low] = values[high] = row % 3 ? 7.f : -0.5f;
            logits.insert(logits.end(), values.begin(), values.end());
            expected.push_back(low);
        }
        CHECK((run(device, logits, {vocab, 1024}) == expected));
        CHECK((run(device, std::vector<float>(vocab, 0.f), {vocab, 1024}) == std::vector<std::uint32_t>{0}));
        // 0 and -0 are equal.
        std::vector<float> zeros(64, 0.f);
        zeros[0] = -0.f;
        CHECK((run(device, zeros, {64, 64}) == std::vector<std::uint32_t>{0}));
    }
}

TEST_CASE("argmax ignores NaN") {
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        const auto best = [&](std::vector<float> logits) {
            return run(device, logits, {static_cast<std::uint32_t>(logits.size()), 64})[0];
        };
        CHECK(best({nan_value, 1, 3, nan_value, 2}) == 2);
        CHECK(best({nan_value, -infinity, -3}) == 2);
        CHECK(best({1, infinity, nan_value, infinity}) == 1);
        CHECK(best({nan_value, nan_value}) == 0);
        CHECK(best({-infinity, -infinity, -infinity}) == 0);
    }
}
