// The fused kernel gives the bits of the kernels that it replaces, which are tested against float64.
#include "kernels/attention/head_inputs.hpp"

#include "kernels/attention/kv_append.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

struct Results {
    std::vector<float> q;
    std::vector<std::byte> keys, values;
    bool operator==(const Results&) const = default;
};

void check(test::TestDevice& device, const HeadInputsConfig& config, std::uint32_t tokens) {
    constexpr std::uint32_t position = 11;
    const KvCacheShape& cache = config.cache;
    const std::uint32_t dim = cache.head_dim;
    CAPTURE(device.name());
    CAPTURE(dim);
    CAPTURE(config.norms);
    CAPTURE(tokens);
    test::Random random(dim + tokens);
    const auto q = test::random_floats(random, std::size_t{tokens} * config.heads * dim);
    const auto k = test::random_floats(random, std::size_t{tokens} * cache.kv_heads * dim);
    const auto v = test::random_floats(random, k.size());
    const auto table_at = device.upload(test::random_floats(random, std::size_t{cache.capacity} * config.rope_dim));
    const auto q_norm = device.upload(test::random_floats(random, dim));
    const auto k_norm = device.upload(test::random_floats(random, dim));
    const auto position_at = device.upload(std::vector{position});
    const std::vector<std::byte> empty(cache.bytes());
    const auto run = [&](auto&& launches) {
        const auto q_at = device.upload(q), k_at = device.upload(k), v_at = device.upload(v);
        const auto k_cache = device.upload(empty), v_cache = device.upload(empty);
        launches(q_at.address(), k_at.address(), v_at.address(), k_cache.address(), v_cache.address());
        return Results{device.download<float>(q_at, q.size()), device.download<std::byte>(k_cache, cache.bytes()),
                       device.download<std::byte>(v_cache, cache.bytes())};
    };
    const auto expected = run([&](auto q_at, auto k_at, auto v_at, auto k_cache, auto v_cache) {
        for (const auto& [heads, x, weight] :
             {std::tuple{config.heads, q_at, q_norm.address()}, {cache.kv_heads, k_at, k_norm.address()}}) {
            const HeadRmsNormConfig norm{heads, dim, config.epsilon};
            if (config.norms)
                device.launch(head_rms_norm(norm), head_rms_norm_grid(norm, tokens), {x, weight, x, tokens});
            device.launch(rope({config.kind, heads, dim, config.rope_dim}), rope_grid(tokens),
                          {x, table_at.address(), position_at.address(), tokens});
        }
        device.launch(kv_append(cache), kv_append_grid(tokens),
                      {k_at, v_at, k_cache, v_cache, position_at.address(), tokens});
    });
    const auto found = run([&](auto q_at, auto k_at, auto v_at, auto k_cache, auto v_cache) {
        const auto grid = head_inputs_grid(config, tokens + 1);
        const auto table = table_at.address(), at = position_at.address();
        if (config.norms)
            device.launch(head_inputs(config), grid,
                          {q_at, k_at, v_at, q_norm.address(), k_norm.address(), table, k_cache, v_cache, at, tokens});
        else
            device.launch(head_inputs(config), grid, {q_at, k_at, v_at, table, k_cache, v_cache, at, tokens});
    });
    CHECK((found.q == expected.q));
    CHECK((found.keys == expected.keys));
    CHECK((found.values == expected.values));
    CHECK((found.keys != empty));
}

} // namespace

TEST_CASE("head inputs in one kernel are those of norms, rope and append") {
    for (auto& device : test::test_devices())
        for (const auto kind : {RopeKind::interleaved, RopeKind::neox})
            for (const bool norms : {false, true})
                for (const auto type : {CacheType::f32, CacheType::f16}) {
                    const auto config = [&](std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim,
                                            std::uint32_t rope_dim) {
                        return HeadInputsConfig{{kv_heads, head_dim, 40, type}, heads, kind, rope_dim, norms, 1e-5};
                    };
                    check(device, config(9, 3, 64, 64), 1);
                    check(device, config(16, 8, 128, 128), 3);
                    check(device, config(4, 1, 256, 256), 2);
                    check(device, config(6, 2, 16, 12), 2);
                    check(device, config(1, 1, 2, 2), 5);
                    check(device, config(3, 3, 33, 20), 4);
                    check(device, config(4, 2, 40, 40), 1);
                }
}
