#include "kernels/ring/gemv_ring.hpp"

#include "ptxgen/base/float16.hpp"
#include "tests/kernels/numeric/ring_case.hpp"
#include "tests/support/devices.hpp"

#include <cstring>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

using Case = test::RingCase;

Case make_case(const GemvRingConfig& config, std::uint32_t tokens, test::Random& random) {
    const test::RingCaseShape shape{config.rows, config.cols,     tokens,
                                    config.bias, config.residual, config.norm_epsilon};
    return test::ring_case(config.type, shape, random);
}

std::vector<float> run(test::TestDevice& device, const GemvRingConfig& config, const Case& made, std::uint32_t tokens,
                       Target target, bool in_place = false) {
    const auto weights = device.upload(made.packed);
    const auto x = device.upload(made.x);
    const auto norm = device.upload(made.norm);
    const auto bias = device.upload(made.bias);
    const auto residual = device.upload(made.residual);
    const auto apart = device.allocate<float>(made.expected.size());
    const auto& y = in_place ? residual : apart;
    std::vector<runtime::KernelArg> arguments{weights.address(), x.address(), y.address()};
    if (config.norm_epsilon) arguments.emplace_back(norm.address());
    if (config.bias) arguments.emplace_back(bias.address());
    if (config.residual) arguments.emplace_back(residual.address());
    arguments.emplace_back(tokens);
    device.launch(gemv_ring(config, target), gemv_ring_grid(config, tokens), arguments);
    return device.download<float>(y, made.expected.size());
}

constexpr Target sm_75{75, TargetVariant::plain}, sm_80{80, TargetVariant::plain}, sm_90{90, TargetVariant::plain};

void check(const GemvRingConfig& config, std::uint32_t tokens, std::uint64_t seed, bool in_place = false) {
    test::Random random(seed);
    const Case made = make_case(config, tokens, random);
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        CAPTURE(name(config.type));
        CAPTURE(config.rows);
        CAPTURE(config.cols);
        CAPTURE(config.ctas);
        CAPTURE(tokens);
        CAPTURE(config.token_tile);
        const auto streamed = run(device, config, made, tokens, sm_90, in_place);
        CHECK(made.distance(streamed) < 1e-6);
        // The other ways to load and to multiply give the same bits.
        for (const Target target : {sm_80, sm_75}) {
            CAPTURE(to_string(target));
            const auto other = run(device, config, made, tokens, target, in_place);
            CHECK(std::memcmp(streamed.data(), other.data(), streamed.size() * 4) == 0);
        }
    }
}

} // namespace

TEST_CASE("ring GEMV multiplies every type that it packs") {
    std::uint64_t seed = 1;
    for (const TensorType type : ring_types())
        for (const std::uint32_t cols : {256u, 1024u, 4096u}) // a super-block of a warp's own
            check({.type = type, .rows = 37, .cols = cols, .ctas = 2}, 1, seed++);
}

TEST_CASE("ring GEMV takes rows and columns of any number") {
    std::uint64_t seed = 100;
    for (const TensorType type : ring_types()) {
        for (const std::uint32_t cols : {32u, 288u, 576u, 640u, 2560u})
            check({.type = type, .rows = 21, .cols = test::ring_cols(type, cols), .ctas = 3}, 1, seed++);
        for (const std::uint32_t rows : {1u, 16u, 130u})
            check({.type = type, .rows = rows, .cols = 768, .ctas = 1 + rows % 4}, 1, seed++);
        check({.type = type, .rows = 18, .cols = test::ring_cols(type, 9728), .ctas = 1}, 1, seed++);
    }
    for (const std::uint32_t cols : {12288u, 4352u, 8192u})
        check({.type = TensorType::q4_k, .rows = 33, .cols = cols, .ctas = 2}, 1, seed++);
}

TEST_CASE("ring GEMV gives the same for any number of CTAs, stages and units of a stage") {
    const std::uint64_t seed = 200;
    for (const std::uint32_t cols : {1024u, 2560u})
        for (const std::uint32_t units : {1u, 2u, 4u, 8u, 16u})
            check({.type = TensorType::q4_k,
                   .rows = 300,
                   .cols = cols,
                   .ctas = units + 1,
                   .stage_units = units,
                   .stages = 3 * 16 / units},
                  1, seed);
    for (const std::uint32_t in_flight : {1u, 3u, 8u})
        check({.type = TensorType::q4_k, .rows = 300, .cols = 1024, .ctas = 2, .stages = 8, .in_flight = in_flight}, 1,
              seed);
    // Little shared memory: several passes over the rows, few stages.
    for (const TensorType type : {TensorType::q6_k, TensorType::q8_0})
        check({.type = type, .rows = 700, .cols = 768, .ctas = 1, .shared_bytes = 96 * 1024}, 1, seed);
}

TEST_CASE("ring GEMV multiplies several tokens as it does one") {
    std::uint64_t seed = 300;
    for (const TensorType type : ring_types())
        for (const std::uint32_t cols : {768u, 1024u, 4608u}) {
            const GemvRingConfig config{.type = type, .rows = 20, .cols = cols, .token_tile = 3, .ctas = 2};
            check(config, 5, seed++);
            test::Random random(seed++);
            const Case made = make_case(config, 4, random);
            for (auto& device : test::test_devices()) {
                GemvRingConfig single = config;
                single.token_tile = 1;
                CHECK(run(device, config, made, 4, sm_90) == run(device, single, made, 4, sm_90));
            }
        }
    check({.type = TensorType::q4_1, .rows = 5, .cols = 576, .token_tile = 8, .ctas = 1}, 9, seed++);
}

TEST_CASE("ring GEMV norms its vectors") {
    std::uint64_t seed = 450;
    for (const TensorType type : ring_types())
        for (const std::uint32_t cols : {256u, 1056u, 4608u}) // the last: more super-blocks than warps
            check({.type = type, .rows = 35, .cols = test::ring_cols(type, cols), .norm_epsilon = 1e-5, .ctas = 2}, 1,
                  seed++);
    check(
        {.type = TensorType::q4_k, .rows = 700, .cols = 768, .norm_epsilon = 0.5, .ctas = 1, .shared_bytes = 96 << 10},
        1, seed++);
    for (const std::uint32_t cols : {96u, 4640u})
        check({.type = TensorType::q5_0,
               .rows = 18,
               .cols = cols,
               .norm_epsilon = 1e-5,
               .bias = true,
               .residual = true,
               .token_tile = 3,
               .ctas = 2},
              5, seed++);
    // Tokens that share the weights are normed as they are alone.
    const GemvRingConfig config{.type = TensorType::q8_0, .rows = 40, .cols = 4160, .norm_epsilon = 1e-6, .ctas = 3};
    test::Random random(seed);
    const Case made = make_case(config, 5, random);
    GemvRingConfig several = config;
    several.token_tile = 4;
    for (auto& device : test::test_devices())
        CHECK(run(device, several, made, 5, sm_90) == run(device, config, made, 5, sm_90));
}

TEST_CASE("ring GEMV multiplies several matrices as it does each alone") {
    const std::vector<GemvRingMatrix> matrices{
        {TensorType::q4_k, 300}, {TensorType::q6_k, 37, true}, {TensorType::q8_0, 16}, {TensorType::q4_1, 5}};
    std::uint64_t seed = 470;
    for (const std::uint32_t cols : {768u, 4352u})
        for (const std::uint32_t tokens : {1u, 3u})
            for (const std::uint32_t ctas : {1u, 3u, 132u}) {
                CAPTURE(cols);
                CAPTURE(tokens);
                CAPTURE(ctas);
                test::Random random(seed++);
                GemvRingConfig together{.cols = cols, .norm_epsilon = 1e-5, .token_tile = std::min(tokens, 2u)};
                together.ctas = ctas;
                // Little memory: the first matrix takes several passes of a lone CTA, and there may be no room for two
                // sets of partial sums.
                together.shared_bytes = (tokens == 1 ? 96 : 160) * 1024;
                std::vector<GemvRingConfig> alone;
                std::vector<Case> cases;
                for (const GemvRingMatrix& matrix : matrices) {
                    GemvRingConfig config = together;
                    config.type = matrix.type;
                    config.rows = matrix.rows;
                    config.bias = matrix.bias;
                    config.others.clear();
                    alone.push_back(config);
                    cases.push_back(make_case(config, tokens, random));
                    cases.back().x = cases[0].x;
                    cases.back().norm = cases[0].norm;
                    if (alone.size() > 1) together.others.push_back(matrix);
                }
                together.type = matrices[0].type;
                together.rows = matrices[0].rows;
                for (auto& device : test::test_devices()) {
                    CAPTURE(device.name());
                    const auto x = device.upload(cases[0].x), norm = device.upload(cases[0].norm);
                    std::vector<runtime::Buffer> kept, y;
                    std::vector<runtime::KernelArg> arguments;
                    for (std::size_t i = 0; i < cases.size(); i++) {
                        kept.push_back(device.upload(cases[i].packed));
                        y.push_back(device.allocate<float>(cases[i].expected.size()));
                        arguments.emplace_back(kept.back().address());
                        if (i == 0) arguments.emplace_back(x.address());
                        arguments.emplace_back(y.back().address());
                        if (i == 0) arguments.emplace_back(norm.address());
                        if (!alone[i].bias) continue;
                        kept.push_back(device.upload(cases[i].bias));
                        arguments.emplace_back(kept.back().address());
                    }
                    arguments.emplace_back(tokens);
                    for (const Target target : {sm_90, sm_75}) {
                        device.launch(gemv_ring(together, target), gemv_ring_grid(together, tokens), arguments);
                        for (std::size_t i = 0; i < cases.size(); i++)
                            CHECK(device.download<float>(y[i], cases[i].expected.size()) ==
                                  run(device, alone[i], cases[i], tokens, target));
                    }
                }
            }
}

TEST_CASE("ring GEMV adds a bias and a residual, also in place") {
    std::uint64_t seed = 400;
    for (const bool bias : {false, true})
        for (const bool residual : {false, true})
            check({.type = TensorType::q8_0,
                   .rows = 67,
                   .cols = 96,
                   .bias = bias,
                   .residual = residual,
                   .token_tile = 2,
                   .ctas = 2},
                  3, seed++);
    test::Random random(seed);
    const GemvRingConfig config{.type = TensorType::q4_1, .rows = 67, .cols = 96, .residual = true, .ctas = 2};
    const Case made = make_case(config, 2, random);
    for (auto& device : test::test_devices())
        CHECK(run(device, config, made, 2, sm_90, true) == run(device, config, made, 2, sm_90));
}

namespace {

double f16(double value) { return f16_to_f32(f32_to_f16(static_cast<float>(value))); }

/// What llama.cpp's CPU code makes of the same product, but for its rounding of sums: activations as Q8_K (K-quants:
/// one scale for 256), Q8_1 (Q4_1) or Q8_0, their scales and Q8_1's sums as f16 (ggml-quants.c, quantize_row_*_ref).
std::vector<double> llama_products(TensorType type, std::uint32_t rows, std::uint32_t cols,
                                   const std::vector<std::byte>& stored, const std::vector<float>& x) {
    const bool k_quant = tensor_type_info(type).block_elements == 256;
    const std::size_t block = k_quant ? 256 : 32;
    std::vector<double> values(cols), exact_sums(cols / 32); // what Q8_1 keeps beside the bytes
    for (std::size_t b = 0; b < cols; b += block) {
        double largest = 0;
        for (std::size_t i = b; i < b + block; i++)
            if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
        const double d = k_quant ? -largest / 127 : std::abs(largest) / 127;
        for (std::size_t i = b; i < b + block; i++)
            values[i] = std::min(127.0, std::round(x[i] / d)) * (k_quant ? d : f16(d));
        if (type == TensorType::q4_1) {
            double sum = 0;
            for (std::size_t i = b; i < b + 32; i++) sum += values[i] / f16(d) * d;
            exact_sums[b / 32] = f16(sum);
        }
    }
    std::vector<double> w(std::size_t{rows} * cols), y(rows);
    quant::dequantize(type, stored.data(), w.size(), w.data());
    for (std::uint32_t r = 0; r < rows; r++)
        for (std::uint32_t c = 0; c < cols; c++) {
            double minimum = 0;
            if (type == TensorType::q4_1) {
                std::uint16_t bits = 0;
                std::memcpy(&bits, stored.data() + (std::size_t{r} * cols + c) / 32 * 20 + 2, 2);
                minimum = f16_to_f32(bits);
                if (c % 32 == 0) y[r] += minimum * exact_sums[c / 32];
            }
            y[r] += (w[std::size_t{r} * cols + c] - minimum) * values[c];
        }
    return y;
}

/// Activations as models have them: normal; a few large columns; heavy tails.
std::vector<float> activations(int kind, std::size_t count, test::Random& random) {
    std::vector<float> x(count);
    for (std::size_t i = 0; i < count; i++) {
        double v = random.normal();
        if (kind == 1 && random.below(128) == 0) v *= 40;
        if (kind == 2) v *= std::exp(1.5 * random.normal());
        x[i] = static_cast<float>(v);
    }
    return x;
}

} // namespace

TEST_CASE("ring GEMV errs no more than llama.cpp's CPU code") {
    std::uint64_t seed = 600;
    double ours = 0, llama = 0;
    for (const TensorType type : ring_types())
        for (const int kind : {0, 1, 2}) {
            const GemvRingConfig config{.type = type, .rows = 64, .cols = 1024, .ctas = 2};
            test::Random random(seed++);
            Case made = make_case(config, 1, random);
            made.x = activations(kind, config.cols, random);
            std::vector<double> w(made.stored.size() / tensor_type_info(type).block_bytes *
                                  tensor_type_info(type).block_elements);
            quant::dequantize(type, made.stored.data(), w.size(), w.data());
            const auto theirs = llama_products(type, config.rows, config.cols, made.stored, made.x);
            for (auto& device : test::test_devices()) {
                const auto found = run(device, config, made, 1, sm_90);
                double square = 0, our_square = 0, their_square = 0;
                for (std::uint32_t r = 0; r < config.rows; r++) {
                    double exact = 0;
                    for (std::uint32_t c = 0; c < config.cols; c++)
                        exact += w[std::size_t{r} * config.cols + c] * made.x[c];
                    square += exact * exact;
                    our_square += (found[r] - exact) * (found[r] - exact);
                    their_square += (theirs[r] - exact) * (theirs[r] - exact);
                }
                CAPTURE(name(type));
                CAPTURE(kind);
                CAPTURE(std::sqrt(our_square / square));
                CAPTURE(std::sqrt(their_square / square));
                CHECK(our_square < 1.3 * 1.3 * their_square);
                ours += our_square / square;
                llama += their_square / square;
            }
        }
    MESSAGE("relative RMS error " << std::sqrt(ours) << ", llama.cpp " << std::sqrt(llama));
    CHECK(std::sqrt(ours) < 1.1 * std::sqrt(llama));
}

TEST_CASE("a block that is not finite gives no finite result, and a tiny one zero") {
    const GemvRingConfig config{.type = TensorType::q8_0, .rows = 16, .cols = 64, .ctas = 1};
    for (const float odd : {INFINITY, -INFINITY, std::nanf(""), 1e-36F, 1e-42F}) {
        test::Random random(500);
        Case made = make_case(config, 1, random);
        std::fill(made.x.begin(), made.x.end(), 0.0F);
        made.x[40] = odd;
        for (auto& device : test::test_devices())
            for (const float y : run(device, config, made, 1, sm_90)) {
                if (std::abs(odd) < 1)
                    CHECK(y == 0);
                else
                    CHECK_FALSE(std::isfinite(y));
            }
    }
}

TEST_CASE("a ring GEMV that cannot be is refused with the reason") {
    const auto message = [](const GemvRingConfig& config) {
        const auto generated = gemv_ring(config, sm_90);
        return generated ? std::string("none") : generated.error().message;
    };
    CHECK(message({.type = TensorType::q5_k}) == "there is no ring format for weights of type Q5_K");
    CHECK(message({.type = TensorType::q4_k, .cols = 576}) == "cols must be a multiple of 256 for Q4_K, not 576");
    CHECK(message({.rows = 0}) == "rows must be from 1 to 1073741824, not 0");
    GemvRingConfig several{.rows = 16, .cols = 256};
    several.others.assign(8, {TensorType::q8_0, 16});
    CHECK(message(several) == "matrices must be from 1 to 8, not 9");
    several.others.assign(1, {TensorType::q5_k, 16});
    CHECK(message(several) == "there is no ring format for weights of type Q5_K");
    CHECK(message({.token_tile = 9}) == "token-tile must be from 1 to 8, not 9");
    CHECK(message({.ctas = 0}) == "ctas must be from 1 to 65535, not 0");
    CHECK(message({.stage_units = 3}) == "stage-units must be 1, 2, 4, 8 or 16, not 3");
    CHECK(message({.cols = 4096, .stage_units = 8, .stages = 5}) ==
          "stages must be a multiple of 2 and at most 12 here, not 5");
    CHECK(message({.cols = 1 << 20}) ==
          "1048576 columns of Q4_K for 1 tokens need 1348992 bytes of shared memory for activations, partial sums and "
          "the ring, but a CTA has 232448; use a smaller token-tile");
}
