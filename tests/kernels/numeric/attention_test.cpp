#include "kernels/attention/attention.hpp"
#include "kernels/attention/kv_append.hpp"

#include "tests/kernels/numeric/attention_reference.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <cstring>
#include <limits>

using namespace ptxgen;
using namespace ptxgen::kernels;
using namespace ptxgen::kernels::test;
using ptxgen::test::random_floats;

namespace {

/// Positions after the last one hold NaN, which must not be looked at.
void check_attention(ptxgen::test::TestDevice& device, const AttentionConfig& config, std::uint32_t position,
                     std::uint32_t tokens, double spread = 1) {
    CAPTURE(device.name());
    CAPTURE(config.heads);
    CAPTURE(config.cache.kv_heads);
    CAPTURE(config.cache.head_dim);
    CAPTURE(static_cast<int>(config.cache.type));
    CAPTURE(config.window);
    CAPTURE(position);
    CAPTURE(tokens);
    ptxgen::test::Random random(config.heads + config.cache.head_dim + position);
    const auto q = random_floats(random, std::size_t{tokens} * config.heads * config.cache.head_dim, spread);
    auto keys = random_floats(random, config.cache.elements());
    auto values = random_floats(random, config.cache.elements());
    spoil_behind(config.cache, position + tokens, keys);
    spoil_behind(config.cache, position + tokens, values);
    const CacheData k_data = store_cache(keys, config.cache.type), v_data = store_cache(values, config.cache.type);
    REQUIRE(k_data.bytes.size() == config.cache.bytes());
    const auto q_at = device.upload(q), k_at = device.upload(k_data.bytes), v_at = device.upload(v_data.bytes);
    const auto out_at = device.allocate<float>(q.size());
    const auto position_at = device.upload(std::vector{position});
    const auto expected = attention_reference(config.cache, config.heads, config.window, config.scale, q, k_data.values,
                                              v_data.values, position);
    if (config.splits == 1) {
        device.launch(
            attention(config), attention_grid(config, tokens + 1),
            {q_at.address(), k_at.address(), v_at.address(), out_at.address(), position_at.address(), tokens});
        CHECK(ptxgen::test::deviation(device.download<float>(out_at, q.size()), expected) < 5e-6);
        return;
    }
    const AttentionScratch scratch = attention_scratch(config, tokens);
    const auto parts = device.allocate<float>(scratch.parts);
    const auto arrivals = device.upload(std::vector<std::uint32_t>(scratch.arrivals));
    for (int again = 0; again < 2; again++) { // with what the launch before has left there
        device.launch(attention(config), attention_grid(config, tokens + 1),
                      {q_at.address(), k_at.address(), v_at.address(), out_at.address(), position_at.address(),
                       parts.address(), arrivals.address(), tokens});
        CHECK(ptxgen::test::deviation(device.download<float>(out_at, q.size()), expected) < 5e-6);
        CHECK((device.download<std::uint32_t>(arrivals, scratch.arrivals) ==
               std::vector<std::uint32_t>(scratch.arrivals)));
    }
}

AttentionConfig shape(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim,
                      CacheType type = CacheType::f32, std::uint32_t window = 0) {
    AttentionConfig config;
    config.cache = {kv_heads, head_dim, 300, type};
    config.heads = heads;
    config.window = window;
    config.scale = 1 / std::sqrt(static_cast<double>(head_dim));
    return config;
}

void check_kv_append(ptxgen::test::TestDevice& device, const KvCacheShape& cache, std::uint32_t tokens) {
    constexpr std::uint32_t position = 5;
    CAPTURE(device.name());
    CAPTURE(static_cast<int>(cache.type));
    CAPTURE(cache.kv_heads);
    CAPTURE(cache.head_dim);
    CAPTURE(tokens);
    ptxgen::test::Random random(cache.head_dim);
    const auto k = random_floats(random, std::size_t{tokens} * cache.kv_heads * cache.head_dim);
    const auto v = random_floats(random, k.size());
    auto k_expected = random_floats(random, cache.elements());
    auto v_expected = random_floats(random, cache.elements());
    const auto k_old = store_cache(k_expected, cache.type), v_old = store_cache(v_expected, cache.type);
    for (std::uint32_t t = 0; t < tokens; t++)
        for (std::uint32_t head = 0; head < cache.kv_heads; head++)
            for (std::uint32_t i = 0; i < cache.head_dim; i++) {
                const std::size_t from = (std::size_t{t} * cache.kv_heads + head) * cache.head_dim + i;
                const std::size_t to = (std::size_t{head} * cache.capacity + position + t) * cache.head_dim + i;
                k_expected[to] = k[from];
                v_expected[to] = v[from];
            }
    const auto k_at = device.upload(k), v_at = device.upload(v);
    const auto k_cache = device.upload(k_old.bytes), v_cache = device.upload(v_old.bytes);
    const auto position_at = device.upload(std::vector{position});
    device.launch(
        kv_append(cache), kv_append_grid(tokens + 1),
        {k_at.address(), v_at.address(), k_cache.address(), v_cache.address(), position_at.address(), tokens});
    CHECK((device.download<std::byte>(k_cache, cache.bytes()) == store_cache(k_expected, cache.type).bytes));
    CHECK((device.download<std::byte>(v_cache, cache.bytes()) == store_cache(v_expected, cache.type).bytes));
}

} // namespace

TEST_CASE("attention equals the float64 reference for any heads and head size") {
    for (auto& device : ptxgen::test::test_devices())
        for (const auto type : {CacheType::f32, CacheType::f16})
            for (const auto& [heads, kv_heads, head_dim] : {std::array{9u, 3u, 64u},
                                                            {1u, 1u, 1u},
                                                            {4u, 2u, 6u},
                                                            {5u, 5u, 33u},
                                                            {6u, 2u, 80u},
                                                            {4u, 4u, 96u},
                                                            {14u, 2u, 64u},
                                                            {16u, 8u, 128u},
                                                            {4u, 1u, 256u},
                                                            {7u, 1u, 127u},
                                                            {3u, 1u, 255u},
                                                            {71u, 1u, 64u}})
                check_attention(device, shape(heads, kv_heads, head_dim, type), 43, 2);
}

TEST_CASE("attention works at every number of positions around its splits") {
    for (auto& device : ptxgen::test::test_devices()) {
        for (const std::uint32_t position : {0u, 1u, 2u, 7u, 8u, 31u, 32u, 33u, 63u, 255u, 256u, 257u, 298u})
            check_attention(device, shape(6, 2, 64), position, 1);
        check_attention(device, shape(6, 2, 64), 0, 70);
        check_attention(device, shape(2, 2, 40), 250, 50);
    }
}

TEST_CASE("attention split over CTAs gives the same at every number of positions") {
    const auto split = [](AttentionConfig config, std::uint32_t splits, std::uint32_t positions) {
        config.splits = splits;
        config.split_positions = positions;
        return config;
    };
    for (auto& device : ptxgen::test::test_devices()) {
        for (const std::uint32_t position : {0u, 1u, 7u, 8u, 9u, 15u, 16u, 63u, 64u, 65u, 100u, 255u, 298u}) {
            check_attention(device, split(shape(6, 2, 64), 8, 8), position, 1);
            check_attention(device, split(shape(4, 1, 80, CacheType::f16, 40), 5, 16), position, 1);
        }
        check_attention(device, split(shape(6, 3, 33), 3, 10), 0, 40);
        check_attention(device, split(shape(2, 1, 256, CacheType::f16), 16, 16), 250, 3);
        check_attention(device, split(shape(4, 2, 64), 4, 20), 290, 2, 300);
    }
}

TEST_CASE("attention sees the sliding window alone") {
    for (auto& device : ptxgen::test::test_devices())
        for (const std::uint32_t window : {1u, 2u, 31u, 32u, 33u, 100u, 1000u})
            check_attention(device, shape(4, 1, 72, CacheType::f32, window), 97, 4);
}

TEST_CASE("attention keeps its accuracy when scores differ wildly") {
    // Scores of ±1000: softmax without the running maximum overflows.
    for (auto& device : ptxgen::test::test_devices()) check_attention(device, shape(4, 2, 64), 290, 2, 300);
}

TEST_CASE("attention is the same for any number of warps") {
    for (auto& device : ptxgen::test::test_devices())
        for (const std::uint32_t warps : {1u, 3u, 16u}) {
            auto config = shape(6, 2, 64);
            config.warps = warps;
            check_attention(device, config, 290, 1);
        }
}

TEST_CASE("kv_append writes the rows of the new tokens and nothing else") {
    for (auto& device : ptxgen::test::test_devices())
        for (const auto type : {CacheType::f32, CacheType::f16})
            for (const auto& [kv_heads, head_dim] :
                 {std::pair{3u, 64u}, {1u, 1u}, {2u, 33u}, {1u, 256u}, {5u, 6u}, {8u, 128u}, {40u, 80u}})
                for (const std::uint32_t tokens : {1u, 6u})
                    check_kv_append(device, {kv_heads, head_dim, 11, type}, tokens);
}

TEST_CASE("attention refuses shapes that it cannot compute") {
    CHECK(attention(shape(9, 2, 64)).error().message == "heads must be a multiple of kv-heads, but 9 is none of 2");
    CHECK(attention(shape(2, 4, 64)).error().message == "kv-heads must be from 1 to 2, not 4");
    CHECK(attention(shape(2, 2, 257)).error().message == "head-dim must be from 1 to 256, not 257");
    CHECK(kv_append({0, 64, 8, CacheType::f32}).error().message == "kv-heads must be from 1 to 4096, not 0");
}
