#include "kernels/quantize/norm_round_q8.hpp"
#include "kernels/quantize/quantize_q8_1.hpp"
#include "kernels/quantize/round_q8.hpp"

#include "ptxgen/base/float16.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <cstring>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

/// ggml's quantize_row_q8_1_ref.
std::vector<std::byte> reference(const std::vector<float>& x) {
    std::vector<std::byte> blocks(x.size() / 32 * 36);
    for (std::size_t b = 0; b < x.size() / 32; b++) {
        const float* from = &x[b * 32];
        std::byte* to = &blocks[b * 36];
        float largest = 0;
        for (int i = 0; i < 32; i++) largest = std::max(largest, std::abs(from[i]));
        const float d = largest / 127.0F;
        const float inverse = d >= 0x1p-126F ? 1.0F / d : 0.0F;
        int sum = 0;
        for (int i = 0; i < 32; i++) {
            const auto q = static_cast<int>(std::round(from[i] * inverse));
            to[4 + i] = static_cast<std::byte>(q);
            sum += q;
        }
        const std::uint16_t halves[2] = {f32_to_f16(d), f32_to_f16(static_cast<float>(sum) * d)};
        std::memcpy(to, halves, 4);
    }
    return blocks;
}

void check(const std::vector<float>& x, const QuantizeConfig& config) {
    const auto tokens = static_cast<std::uint32_t>(x.size() / config.width);
    const auto expected = reference(x);
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        CAPTURE(config.width);
        const auto x_at = device.upload(x);
        const auto out_at = device.allocate<std::byte>(expected.size());
        device.launch(quantize_q8_1(config), quantize_q8_1_grid(config, tokens),
                      {x_at.address(), out_at.address(), tokens});
        CHECK((device.download<std::byte>(out_at, expected.size()) == expected));
    }
}

} // namespace

TEST_CASE("activations are quantised to the same bytes as by ggml") {
    test::Random random(1);
    for (const std::uint32_t width : {32u, 96u, 576u, 1536u})
        for (const std::uint32_t tokens : {1u, 3u, 13u})
            check(test::random_floats(random, std::size_t{width} * tokens, random.uniform(0.01, 100)), {width, 3});
}

TEST_CASE("quantising rounds halves away from zero and leaves zeros alone") {
    std::vector<float> x(3 * 32, 0.0F);
    // A scale of 1, and values at and next to halves.
    x[0] = 127;
    for (int i = 1; i < 32; i++) {
        const float half = static_cast<float>(i) - 16.5F;
        x[static_cast<std::size_t>(i)] = i % 3 == 0 ? half : std::nextafter(half, i % 3 == 1 ? -INFINITY : INFINITY);
    }
    // Added to a half with rounding to nearest, these become 1.
    x[16] = std::nextafter(-0.5F, 0.0F);
    x[17] = std::nextafter(0.5F, 0.0F);
    x[64] = 1e-38F; // too small for a scale that has an inverse
    check(x, {32});
}

TEST_CASE("activations are rounded to 255 steps of each block's largest") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {1u, 3u, 4u, 31u, 32u, 33u, 100u, 256u, 257u, 576u, 1030u, 2048u}) {
            CAPTURE(device.name());
            CAPTURE(width);
            constexpr std::uint32_t tokens = 3;
            test::Random random(width);
            auto x = test::random_floats(random, std::size_t{width} * tokens);
            for (std::size_t i = 0; i < x.size(); i++) x[i] *= std::exp2(static_cast<float>(i % 37) - 18.0F);
            if (width >= 576) // a block of zeros, and one of a single value
                for (std::size_t i = 32; i < 96; i++) x[i] = i == 70 ? 3.5F : 0.0F;
            const auto x_at = device.upload(x);
            const auto out = device.allocate<float>(x.size());
            const RoundConfig config{width, 2};
            device.launch(round_q8(config), round_q8_grid(config, tokens), {x_at.address(), out.address()});
            const auto found = device.download<float>(out, x.size());
            std::size_t halves = 0;
            for (std::uint32_t t = 0; t < tokens; t++)
                for (std::uint32_t begin = 0; begin < width; begin += 32) {
                    const std::uint32_t end = std::min(begin + 32, width);
                    double largest = 0;
                    for (std::uint32_t c = begin; c < end; c++)
                        largest = std::max(largest, std::abs(double{x[t * width + c]}));
                    for (std::uint32_t c = begin; c < end; c++) {
                        const double d = largest / 127;
                        const double exact = largest > 0 ? double{x[t * width + c]} / d : 0;
                        const double expected = d * std::nearbyint(exact);
                        // A value right between two steps may go either way.
                        const bool half = std::abs(exact - std::floor(exact) - 0.5) < 1e-4;
                        halves += half;
                        CHECK(std::abs(double{found[t * width + c]} - expected) <= (half ? 1.001 : 3e-5) * d);
                    }
                }
            CHECK(halves * 100 <= x.size());
        }
}

TEST_CASE("norm_round_q8 rounds what is normed, and gives its factor apart") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {32u, 96u, 576u, 1056u, 4096u, 4640u}) {
            CAPTURE(device.name());
            CAPTURE(width);
            constexpr std::uint32_t tokens = 3;
            constexpr double epsilon = 1e-2;
            test::Random random(width);
            const auto x = test::random_floats(random, std::size_t{width} * tokens, 3);
            const auto norm = test::random_floats(random, width);
            auto weighed = x;
            for (std::size_t i = 0; i < x.size(); i++) weighed[i] *= norm[i % width];
            const auto x_at = device.upload(x), norm_at = device.upload(norm), weighed_at = device.upload(weighed);
            const auto out = device.allocate<float>(x.size()), rounded = device.allocate<float>(x.size());
            const auto scale = device.allocate<float>(tokens);
            // With CTAs beyond the tokens.
            device.launch(norm_round_q8({width, epsilon}), norm_round_q8_grid(tokens + 1),
                          {x_at.address(), norm_at.address(), out.address(), scale.address(), tokens});
            const RoundConfig plain{width, 2};
            device.launch(round_q8(plain), round_q8_grid(plain, tokens), {weighed_at.address(), rounded.address()});
            CHECK(device.download<float>(out, x.size()) == device.download<float>(rounded, x.size()));
            std::vector<double> factors;
            for (std::uint32_t t = 0; t < tokens; t++) {
                double squares = 0;
                for (std::uint32_t c = 0; c < width; c++) squares += std::pow(double{x[t * width + c]}, 2);
                factors.push_back(1 / std::sqrt(squares / width + epsilon));
            }
            CHECK(test::deviation(device.download<float>(scale, tokens), factors) < 1e-6);
        }
    CHECK(norm_round_q8({40, 1e-5}).error().message == "width must be a multiple of 32, not 40");
}
