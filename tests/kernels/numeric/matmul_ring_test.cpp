#include "kernels/ring/matmul_ring.hpp"

#include "kernels/elementwise/gated.hpp"
#include "kernels/ring/gemv_ring.hpp"
#include "tests/kernels/numeric/ring_case.hpp"
#include "tests/support/devices.hpp"

#include <cstring>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

constexpr Target sm_80{80, TargetVariant::plain};

std::vector<float> run(test::TestDevice& device, const MatmulRingConfig& config, const test::RingCase& made,
                       std::uint32_t tokens, bool in_place = false) {
    const auto weights = device.upload(made.packed);
    const auto x = device.upload(made.x);
    const auto columns = device.allocate<std::byte>(ring_column_bytes(tokens, config.cols));
    const RingColumnsConfig quantize{.cols = config.cols};
    device.launch(ring_columns(quantize, sm_80), ring_columns_grid(quantize, tokens),
                  {x.address(), columns.address(), tokens});
    const auto bias = device.upload(made.bias);
    const auto residual = device.upload(made.residual);
    const auto apart = device.allocate<float>(made.expected.size());
    const auto& y = in_place ? residual : apart;
    const auto kernel = matmul_ring(config, sm_80);
    const Grid grid = matmul_ring_grid(config, tokens);
    const auto w_at = weights.address(), c_at = columns.address(), y_at = y.address();
    if (config.bias && config.residual)
        device.launch(kernel, grid, {w_at, c_at, y_at, bias.address(), residual.address(), tokens});
    else if (config.bias)
        device.launch(kernel, grid, {w_at, c_at, y_at, bias.address(), tokens});
    else if (config.residual)
        device.launch(kernel, grid, {w_at, c_at, y_at, residual.address(), tokens});
    else
        device.launch(kernel, grid, {w_at, c_at, y_at, tokens});
    return device.download<float>(y, made.expected.size());
}

test::RingCase make_case(const MatmulRingConfig& config, std::uint32_t tokens, std::uint64_t seed) {
    test::Random random(seed);
    return test::ring_case(config.type, {config.rows, config.cols, tokens, config.bias, config.residual}, random);
}

void check(const MatmulRingConfig& config, std::uint32_t tokens, std::uint64_t seed, bool in_place = false) {
    const test::RingCase made = make_case(config, tokens, seed);
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        CAPTURE(name(config.type));
        CAPTURE(config.rows);
        CAPTURE(config.cols);
        CAPTURE(tokens);
        CHECK(made.distance(run(device, config, made, tokens, in_place)) < 1e-6);
    }
}

} // namespace

TEST_CASE("ring matmul multiplies every type that is packed") {
    std::uint64_t seed = 1;
    for (const TensorType type : ring_types())
        for (const std::uint32_t cols : {256u, 512u, 1280u})
            for (const std::uint32_t row_tiles : {1u, 2u})
                check({.type = type, .rows = 37, .cols = cols, .token_tile = 16, .row_tiles = row_tiles, .warps = 2},
                      11, seed++);
    check({.type = TensorType::q4_k, .rows = 256, .cols = 2560, .row_tiles = 2}, 64, seed++);
    check({.type = TensorType::q6_k, .rows = 256, .cols = 1024, .row_tiles = 2}, 64, seed++);
}

TEST_CASE("ring matmul takes rows, columns and tokens of any number") {
    std::uint64_t seed = 100;
    for (const TensorType type : ring_types()) {
        for (const std::uint32_t cols : {32u, 288u, 640u})
            check({.type = type, .rows = 21, .cols = test::ring_cols(type, cols), .token_tile = 24, .warps = 3}, 9,
                  seed++);
        for (const std::uint32_t rows : {1u, 16u, 130u})
            check({.type = type, .rows = rows, .cols = 256, .token_tile = 8, .warps = 1 + rows % 3}, 5, seed++);
    }
    for (const std::uint32_t tokens : {1u, 2u, 7u, 8u, 15u, 16u, 17u, 63u, 64u, 65u, 100u, 128u, 129u, 130u})
        check({.type = TensorType::q4_k, .rows = 40, .cols = 256, .row_tiles = 1, .warps = 3}, tokens, seed++);
}

TEST_CASE("ring matmul gives the same bits for any tiles of tokens and rows") {
    for (const TensorType type : {TensorType::q4_k, TensorType::q6_k, TensorType::q4_1}) {
        const MatmulRingConfig first{.type = type, .rows = 70, .cols = 768};
        const test::RingCase made = make_case(first, 21, 200);
        for (auto& device : test::test_devices()) {
            const auto expected = run(device, first, made, 21);
            for (const std::uint32_t token_tile : {8u, 40u, 64u})
                for (const std::uint32_t row_tiles : {1u, 2u})
                    for (const std::uint32_t warps : {1u, 5u}) {
                        MatmulRingConfig config = first;
                        config.token_tile = token_tile;
                        config.row_tiles = row_tiles;
                        config.warps = warps;
                        const auto found = run(device, config, made, 21);
                        CHECK(std::memcmp(found.data(), expected.data(), 4 * found.size()) == 0);
                    }
        }
    }
}

TEST_CASE("ring matmul adds a bias and a residual, also in place") {
    std::uint64_t seed = 300;
    for (const bool bias : {false, true})
        for (const bool residual : {false, true})
            for (const bool in_place : {false, true})
                if (residual || !in_place)
                    check({.type = TensorType::q8_0,
                           .rows = 67,
                           .cols = 96,
                           .bias = bias,
                           .residual = residual,
                           .token_tile = 16,
                           .warps = 2},
                          19, seed++, in_place);
}

TEST_CASE("ring matmul and ring GEMV differ by the order of their sums only") {
    std::uint64_t seed = 400;
    for (const TensorType type : ring_types()) {
        const MatmulRingConfig config{.type = type, .rows = 64, .cols = 1024, .token_tile = 8, .warps = 2};
        const test::RingCase made = make_case(config, 3, seed++);
        for (auto& device : test::test_devices()) {
            const auto x = device.upload(made.x);
            const auto weights = device.upload(made.packed);
            const auto y = device.allocate<float>(made.expected.size());
            const GemvRingConfig gemv{.type = type, .rows = 64, .cols = 1024, .ctas = 2};
            device.launch(gemv_ring(gemv, sm_80), gemv_ring_grid(gemv, 3),
                          {weights.address(), x.address(), y.address(), 3U});
            const auto one_by_one = device.download<float>(y, made.expected.size());
            const auto together = run(device, config, made, 3);
            for (std::size_t i = 0; i < together.size(); i++)
                CHECK(std::abs(together[i] - one_by_one[i]) <= 1e-6 * made.magnitude[i]);
        }
    }
}

TEST_CASE("columns of a gated vector are those of what the gating kernel makes of it") {
    const std::uint32_t cols = 672, tokens = 11;
    test::Random random(450);
    const auto gate = test::random_floats(random, std::size_t{tokens} * cols);
    const auto up = test::random_floats(random, std::size_t{tokens} * cols);
    const std::size_t bytes = ring_column_bytes(tokens, cols);
    for (const Activation activation : {Activation::swiglu, Activation::geglu})
        for (auto& device : test::test_devices()) {
            const auto gate_at = device.upload(gate), up_at = device.upload(up);
            const auto gated = device.allocate<float>(gate.size());
            const auto apart = device.allocate<std::byte>(bytes), together = device.allocate<std::byte>(bytes);
            const GatedConfig gating{cols};
            device.launch(activation == Activation::swiglu ? swiglu(gating, sm_80) : geglu(gating, sm_80),
                          gated_grid(gating, tokens), {gate_at.address(), up_at.address(), gated.address(), tokens});
            const RingColumnsConfig plain{.cols = cols}, fused{.cols = cols, .gated = activation};
            device.launch(ring_columns(plain, sm_80), ring_columns_grid(plain, tokens),
                          {gated.address(), apart.address(), tokens});
            device.launch(ring_columns(fused, sm_80), ring_columns_grid(fused, tokens),
                          {gate_at.address(), up_at.address(), together.address(), tokens});
            CHECK(device.download<std::byte>(apart, bytes) == device.download<std::byte>(together, bytes));
        }
}

TEST_CASE("a token that is not finite leaves the others as they are, and a tiny one gives zero") {
    for (const TensorType type : {TensorType::q8_0, TensorType::q4_1})
        for (const float odd : {INFINITY, -INFINITY, std::nanf(""), 1e-36F, 1e-42F}) {
            const MatmulRingConfig config{.type = type, .rows = 16, .cols = 64, .token_tile = 8, .warps = 1};
            test::RingCase made = make_case(config, 3, 500);
            for (auto& device : test::test_devices()) {
                const auto before = run(device, config, made, 3);
                std::fill(made.x.begin() + 64, made.x.begin() + 128, 0.0F);
                made.x[64 + 40] = odd;
                const auto after = run(device, config, made, 3);
                for (std::size_t i = 0; i < after.size(); i++) {
                    if (i / 16 != 1)
                        CHECK(after[i] == before[i]);
                    else if (std::abs(odd) < 1)
                        CHECK(after[i] == 0);
                    else
                        CHECK_FALSE(std::isfinite(after[i]));
                }
            }
        }
}

TEST_CASE("a ring matmul that cannot be is refused with the reason") {
    const auto message = [](const MatmulRingConfig& config) {
        const auto generated = matmul_ring(config, sm_80);
        return generated ? std::string("none") : generated.error().message;
    };
    CHECK(message({.type = TensorType::q5_k}) == "there is no ring format for weights of type Q5_K");
    CHECK(message({.type = TensorType::q4_k, .cols = 576}) == "cols must be a multiple of 256 for Q4_K, not 576");
    CHECK(message({.rows = 0}) == "rows must be from 1 to 1073741824, not 0");
    CHECK(message({.token_tile = 12}) == "token-tile must be a multiple of 8 up to 64, not 12");
    CHECK(message({.token_tile = 72}) == "token-tile must be a multiple of 8 up to 64, not 72");
    CHECK(message({.row_tiles = 3}) == "row-tiles must be from 1 to 2, not 3");
    CHECK(message({.warps = 9}) == "warps must be from 1 to 8, not 9");
}
