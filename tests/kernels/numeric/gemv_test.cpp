#include "kernels/gemv/gemv.hpp"

#include "runtime/inference/quant.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/quant_blocks.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

struct Case {
    std::vector<std::byte> weights;
    std::vector<float> x, scale, bias, residual;
    std::vector<double> expected;  ///< [tokens][rows]
    std::vector<double> magnitude; ///< Σ |w · x| and the other terms, what rounding errors are measured by
};

Case make_case(const GemvConfig& config, std::uint32_t tokens, test::Random& random) {
    const std::size_t count = std::size_t{config.rows} * config.cols;
    Case made;
    made.weights = test::random_blocks(config.type, count, random);
    made.x = test::random_floats(random, std::size_t{tokens} * config.cols);
    made.scale = test::random_floats(random, tokens);
    made.bias = test::random_floats(random, config.rows);
    made.residual = test::random_floats(random, std::size_t{tokens} * config.rows);
    std::vector<double> w(count);
    quant::dequantize(config.type, made.weights.data(), count, w.data());
    for (std::uint32_t t = 0; t < tokens; t++)
        for (std::uint32_t r = 0; r < config.rows; r++) {
            double sum = 0, magnitude = 0;
            const auto add = [&](double term) {
                sum += term;
                magnitude += std::abs(term);
            };
            for (std::uint32_t c = 0; c < config.cols; c++)
                add(w[std::size_t{r} * config.cols + c] * made.x[std::size_t{t} * config.cols + c] *
                    (config.scale ? made.scale[t] : 1));
            if (config.bias) add(made.bias[r]);
            if (config.residual) add(made.residual[std::size_t{t} * config.rows + r]);
            made.expected.push_back(sum);
            made.magnitude.push_back(magnitude);
        }
    return made;
}

std::vector<float> run(test::TestDevice& device, const GemvConfig& config, const Case& made, std::uint32_t tokens,
                       bool in_place) {
    const auto complete = completed(config);
    if (!complete) FAIL(complete.error().message);
    const auto weights = device.upload(made.weights);
    const auto x = device.upload(made.x);
    const auto scale = device.upload(made.scale);
    const auto bias = device.upload(made.bias);
    const auto residual = device.upload(made.residual);
    const auto apart = device.allocate<float>(made.expected.size());
    const auto& y = in_place ? residual : apart;
    std::vector<runtime::KernelArg> arguments{weights.address(), x.address(), y.address()};
    if (config.scale) arguments.emplace_back(scale.address());
    if (config.bias) arguments.emplace_back(bias.address());
    if (config.residual) arguments.emplace_back(residual.address());
    arguments.emplace_back(tokens);
    device.launch(gemv(config), gemv_grid(*complete, tokens), arguments);
    return device.download<float>(y, made.expected.size());
}

void check(const GemvConfig& config, std::uint32_t tokens, std::uint64_t seed, bool in_place = false) {
    test::Random random(seed);
    const Case made = make_case(config, tokens, random);
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        CAPTURE(name(config.type));
        CAPTURE(config.rows);
        CAPTURE(config.cols);
        CAPTURE(tokens);
        CAPTURE(config.token_tile);
        CAPTURE(config.lanes_per_row);
        CAPTURE(config.rows_per_lane);
        CAPTURE(config.bias);
        CAPTURE(config.residual);
        const auto found = run(device, config, made, tokens, in_place);
        double worst = 0;
        std::size_t at = 0;
        for (std::size_t i = 0; i < found.size(); i++) {
            const double distance = std::abs(static_cast<double>(found[i]) - made.expected[i]) / made.magnitude[i];
            if (!(distance <= worst)) worst = std::isfinite(distance) ? distance : INFINITY, at = i;
        }
        CAPTURE(at);
        CHECK(worst < 2e-6);
    }
}

std::uint32_t columns(TensorType type, std::uint32_t small, std::uint32_t plain) {
    const std::uint32_t step = tensor_type_info(type).block_elements;
    if (step == 1) return plain;
    return step == 32 ? small : (small + 255) / 256 * 256;
}

} // namespace

TEST_CASE("GEMV multiplies every weight type") {
    std::uint64_t seed = 1;
    for (const TensorType type : weight_types())
        for (const std::uint32_t tile : {1u, 2u, 8u})
            for (const std::uint32_t tokens : {1u, 3u, 13u}) {
                if (tile == 2 && tokens != 3) continue;
                check({.type = type, .rows = 37, .cols = columns(type, 576, 576), .token_tile = tile}, tokens, seed++);
            }
}

TEST_CASE("GEMV takes rows and columns of any number") {
    std::uint64_t seed = 1000;
    for (const TensorType type : weight_types()) {
        for (const std::uint32_t rows : {1u, 2u, 3u, 5u, 129u})
            check({.type = type, .rows = rows, .cols = columns(type, 96, 50)}, 1, seed++);
        for (const std::uint32_t cols : {32u, 640u, 896u, 1536u}) {
            check({.type = type, .rows = 11, .cols = columns(type, cols, cols)}, 1, seed++);
            check({.type = type, .rows = 6, .cols = columns(type, cols, cols + 2), .token_tile = 4}, 8, seed++);
        }
    }
    for (const TensorType type : {TensorType::f32, TensorType::f16, TensorType::bf16})
        for (const std::uint32_t cols : {1u, 2u, 3u, 4u, 5u, 7u, 31u, 33u, 255u, 577u})
            check({.type = type, .rows = 9, .cols = cols, .token_tile = 2}, 3, seed++);
}

TEST_CASE("GEMV gives the same for every way of dealing rows to lanes") {
    std::uint64_t seed = 2000;
    for (const TensorType type : {TensorType::q4_1, TensorType::q8_0, TensorType::q4_k, TensorType::f32})
        for (const std::uint32_t lanes : {1u, 2u, 4u, 8u, 16u, 32u}) {
            if (type == TensorType::q4_k && lanes < 4) continue;
            for (const std::uint32_t rows_each : {1u, 3u, 8u})
                for (const std::uint32_t tile : {1u, 4u})
                    check({.type = type,
                           .rows = 41,
                           .cols = columns(type, 544, 84),
                           .token_tile = tile,
                           .lanes_per_row = lanes,
                           .rows_per_lane = rows_each,
                           .warps_per_cta = 1 + lanes % 3},
                          5, seed++);
        }
    for (const TensorType type : {TensorType::q5_0, TensorType::q6_k})
        check(spread({.type = type, .rows = 700, .cols = columns(type, 640, 0)}, 132), 1, seed++);
}

TEST_CASE("GEMV adds a bias and a residual, also in place") {
    std::uint64_t seed = 3000;
    for (const bool bias : {false, true})
        for (const bool in_place : {false, true})
            for (const std::uint32_t tile : {1u, 4u})
                check({.type = TensorType::q8_0,
                       .rows = 67,
                       .cols = 96,
                       .bias = bias,
                       .residual = true,
                       .token_tile = tile},
                      6, seed++, in_place);
    check({.type = TensorType::f16, .rows = 67, .cols = 30, .bias = true}, 3, seed++);
}

TEST_CASE("GEMV scales a token's result, and nothing else") {
    std::uint64_t seed = 700;
    for (const bool others : {false, true})
        for (const std::uint32_t tile : {1u, 4u}) {
            GemvConfig config{.type = TensorType::q5_k, .rows = 19, .cols = 512, .token_tile = tile};
            config.bias = config.residual = others;
            config.scale = true;
            check(config, 5, seed++);
        }
}

TEST_CASE("a GEMV shared out by tiles has rows that divide them") {
    for (const TensorType type : weight_types())
        for (const std::uint32_t rows : {1u, 2u, 17u, 160u})
            for (const std::uint32_t cols : {32u, 96u, 256u, 4096u}) {
                if (cols % tensor_type_info(type).block_elements != 0) continue;
                CAPTURE(name(type));
                CAPTURE(rows);
                CAPTURE(cols);
                const auto config = shared_out_by_tiles({.type = type, .rows = rows, .cols = cols});
                REQUIRE_MESSAGE(config.ok(), config.error().message);
                CHECK(16 % gemv_rows_per_warp(*config) == 0);
            }
    std::uint64_t seed = 750;
    for (const TensorType type : {TensorType::q2_k, TensorType::mxfp4, TensorType::f16}) {
        const auto config = shared_out_by_tiles({.type = type, .rows = 37, .cols = 512});
        REQUIRE(config.ok());
        check(*config, 1, seed++);
    }
}

TEST_CASE("a GEMV that cannot be is refused with the reason") {
    const auto message = [](const GemvConfig& config) {
        const auto generated = gemv(config);
        return generated ? std::string("none") : generated.error().message;
    };
    CHECK(message({.type = TensorType::q4_k, .rows = 1, .cols = 576}) ==
          "cols must be a multiple of 256 for Q4_K, not 576");
    CHECK(message({.type = TensorType::q8_1, .rows = 1, .cols = 32}) == "there is no GEMV for weights of type Q8_1");
    CHECK(message({.rows = 0}) == "rows must be from 1 to 1073741824, not 0");
    CHECK(message({.token_tile = 3}) == "token-tile must be 1, 2, 4 or 8, not 3");
    CHECK(message({.warps_per_cta = 17}) == "warps must be from 1 to 16, not 17");
    CHECK(message({.type = TensorType::q6_k, .cols = 256, .lanes_per_row = 2}) ==
          "lanes-per-row must be a power of two from 4 to 32 for Q6_K, or 0, not 2");
    CHECK(message({.rows_per_lane = 9}) == "rows-per-lane must be from 0 to 8, not 9");
}
