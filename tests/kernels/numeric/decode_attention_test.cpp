#include "kernels/attention/decode_attention.hpp"

#include "tests/kernels/numeric/attention_reference.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <array>

using namespace ptxgen;
using namespace ptxgen::kernels;
using namespace ptxgen::kernels::test;
using ptxgen::test::random_floats;
using ptxgen::test::TestDevice;

namespace {

DecodeAttentionConfig config_of(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim, CacheType type,
                                bool mma, std::uint32_t ctas = 12) {
    DecodeAttentionConfig config;
    config.cache = {kv_heads, head_dim, 700, type};
    config.heads = heads;
    config.ctas = ctas;
    config.mma = mma;
    config.split_positions = 32;
    return config;
}

/// Queries, keys and values from a seed; f32 values that the cache holds.
struct Inputs {
    std::vector<float> q, keys, values;
    Inputs(const KvCacheShape& cache, std::uint32_t heads, std::uint32_t positions, double spread) {
        ptxgen::test::Random random(heads + cache.head_dim + positions);
        q = random_floats(random, std::size_t{heads} * cache.head_dim, spread);
        keys = random_floats(random, cache.elements());
        values = random_floats(random, cache.elements());
        spoil_behind(cache, positions, keys);
        spoil_behind(cache, positions, values);
    }
};

std::vector<float> run(TestDevice& device, const DecodeAttentionConfig& config, std::uint32_t window,
                       const Inputs& inputs, std::uint32_t position, std::optional<PtxVersion> version = {}) {
    const std::optional<Target> target = version ? std::optional(Target{80, TargetVariant::plain}) : std::nullopt;
    const auto q_at = device.upload(inputs.q);
    const auto k_at = device.upload(store_cache(inputs.keys, config.cache.type).bytes);
    const auto v_at = device.upload(store_cache(inputs.values, config.cache.type).bytes);
    const auto out_at = device.allocate<float>(inputs.q.size());
    const auto position_at = device.upload(std::vector{position});
    const AttentionScratch scratch = decode_attention_scratch(config, 1);
    const auto grid = decode_attention_grid(config, 1);
    if (scratch.parts == 0) {
        device.launch(decode_attention(config, window, target, version), grid,
                      {q_at.address(), k_at.address(), v_at.address(), out_at.address(), position_at.address(), 1u});
        return device.download<float>(out_at, inputs.q.size());
    }
    const auto parts = device.allocate<float>(scratch.parts);
    const auto arrivals = device.upload(std::vector<std::uint32_t>(scratch.arrivals));
    device.launch(decode_attention(config, window, target, version), grid,
                  {q_at.address(), k_at.address(), v_at.address(), out_at.address(), position_at.address(),
                   parts.address(), arrivals.address(), 1u});
    CHECK((device.download<std::uint32_t>(arrivals, scratch.arrivals) == std::vector<std::uint32_t>(scratch.arrivals)));
    return device.download<float>(out_at, inputs.q.size());
}

void check(TestDevice& device, const DecodeAttentionConfig& config, std::uint32_t position, std::uint32_t window = 0,
           double spread = 1) {
    CAPTURE(device.name());
    CAPTURE(config.heads);
    CAPTURE(config.cache.kv_heads);
    CAPTURE(config.cache.head_dim);
    CAPTURE(static_cast<int>(config.cache.type));
    CAPTURE(config.mma);
    CAPTURE(config.ctas);
    CAPTURE(window);
    CAPTURE(position);
    const Inputs inputs(config.cache, config.heads, position + 1, spread);
    const auto expected = attention_reference(config.cache, config.heads, window, config.scale, inputs.q,
                                              store_cache(inputs.keys, config.cache.type).values,
                                              store_cache(inputs.values, config.cache.type).values, position);
    CHECK(ptxgen::test::deviation(run(device, config, window, inputs, position), expected) < 5e-6);
}

} // namespace

TEST_CASE("a token's attention equals the float64 reference for any heads and head size") {
    for (auto& device : ptxgen::test::test_devices())
        for (const auto type : {CacheType::f32, CacheType::f16})
            for (const auto& [heads, kv_heads, head_dim] : {std::array{9u, 3u, 64u},
                                                            {1u, 1u, 1u},
                                                            {4u, 2u, 6u},
                                                            {5u, 5u, 33u},
                                                            {6u, 2u, 80u},
                                                            {4u, 4u, 96u},
                                                            {14u, 2u, 64u},
                                                            {6u, 1u, 32u},
                                                            {16u, 8u, 128u},
                                                            {8u, 1u, 128u},
                                                            {5u, 1u, 96u},
                                                            {4u, 1u, 256u},
                                                            {7u, 1u, 127u}})
                for (const std::uint32_t position : {20u, 200u})
                    check(device, config_of(heads, kv_heads, head_dim, type, true), position);
}

TEST_CASE("a token's attention works at every number of positions around turns and shares") {
    for (auto& device : ptxgen::test::test_devices())
        for (const bool mma : {false, true})
            for (const std::uint32_t position :
                 {0u, 1u, 7u, 8u, 15u, 16u, 31u, 32u, 33u, 63u, 64u, 127u, 128u, 129u, 255u, 256u, 257u, 511u, 640u}) {
                check(device, config_of(4, 1, 64, CacheType::f16, mma), position);
                check(device, config_of(3, 1, 128, CacheType::f16, mma, 5), position);
                check(device, config_of(4, 2, 128, CacheType::f16, mma, 1), position); // never split
            }
}

TEST_CASE("a token's attention sees the sliding window alone") {
    for (auto& device : ptxgen::test::test_devices())
        for (const std::uint32_t window : {1u, 2u, 31u, 33u, 100u, 1000u}) {
            check(device, config_of(4, 1, 64, CacheType::f16, true), 297, window);
            check(device, config_of(4, 1, 96, CacheType::f16, true), 297, window);
            check(device, config_of(4, 1, 72, CacheType::f32, false), 297, window);
        }
}

TEST_CASE("a token's attention keeps its accuracy when scores differ wildly") {
    for (auto& device : ptxgen::test::test_devices())
        for (const bool mma : {false, true}) check(device, config_of(4, 2, 64, CacheType::f16, mma), 290, 0, 300);
}

TEST_CASE("a head's attention has the same bits whatever other heads its CTA has") {
    for (auto& device : ptxgen::test::test_devices())
        for (const bool mma : {false, true})
            for (const std::uint32_t position : {30u, 300u}) {
                // Eight heads of a key head in tiles of four; then each alone. The splits are the same.
                const auto together = config_of(8, 1, 64, CacheType::f16, mma, mma ? 12 : 48);
                const auto alone = config_of(1, 1, 64, CacheType::f16, mma, 6);
                REQUIRE(plan_decode_attention(together).splits == plan_decode_attention(alone).splits);
                const Inputs inputs(together.cache, 8, position + 1, 1);
                const auto expected = run(device, together, 0, inputs, position);
                for (std::size_t head = 0; head < 8; head++) {
                    Inputs one = inputs;
                    one.q.assign(inputs.q.begin() + 64 * head, inputs.q.begin() + 64 * (head + 1));
                    CHECK((run(device, alone, 0, one, position) ==
                           std::vector(expected.begin() + 64 * head, expected.begin() + 64 * (head + 1))));
                }
            }
}

TEST_CASE("attention by tensor cores for an assembler without movmatrix has the same bits") {
    for (auto& device : ptxgen::test::test_devices())
        for (const std::uint32_t head_dim : {64u, 128u}) {
            const auto config = config_of(4, 1, head_dim, CacheType::f16, true);
            const Inputs inputs(config.cache, 4, 301, 1);
            CHECK((run(device, config, 0, inputs, 300, PtxVersion{7, 0}) == run(device, config, 0, inputs, 300)));
        }
}

TEST_CASE("decode_attention refuses shapes that it cannot compute") {
    const auto message = [](const DecodeAttentionConfig& config) {
        return decode_attention(config, 0).error().message;
    };
    CHECK(message(config_of(9, 2, 64, CacheType::f16, true)) ==
          "heads must be a multiple of kv-heads, but 9 is none of 2");
    CHECK(message(config_of(2, 2, 257, CacheType::f16, true)) == "head-dim must be from 1 to 256, not 257");
    auto config = config_of(2, 2, 64, CacheType::f16, true);
    config.split_positions = 1;
    CHECK(message(config) == "split-positions must be from 2 to 1048576, not 1");
}
