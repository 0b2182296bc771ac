#include "kernels/norm/add_rms_norm.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"

#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;
using test::deviation;
using test::random_floats;

namespace {

std::vector<double> reference(const std::vector<float>& x, const std::vector<float>& weight, double epsilon) {
    const std::size_t width = weight.size();
    std::vector<double> out(x.size());
    for (std::size_t row = 0; row < x.size() / width; row++) {
        double squares = 0;
        for (std::size_t i = 0; i < width; i++) squares += std::pow(x[row * width + i], 2);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + epsilon);
        for (std::size_t i = 0; i < width; i++) out[row * width + i] = x[row * width + i] * scale * weight[i];
    }
    return out;
}

void check_head_rms_norm(test::TestDevice& device, const HeadRmsNormConfig& config, std::uint32_t tokens) {
    CAPTURE(device.name());
    CAPTURE(config.heads);
    CAPTURE(config.head_dim);
    CAPTURE(tokens);
    test::Random random(config.head_dim);
    const auto x = random_floats(random, std::size_t{tokens} * config.heads * config.head_dim, 2);
    const auto weight = random_floats(random, config.head_dim);
    const auto x_at = device.upload(x), weight_at = device.upload(weight);
    const auto out_at = device.allocate<float>(x.size());
    const auto expected = reference(x, weight, config.epsilon);
    device.launch(head_rms_norm(config), head_rms_norm_grid(config, tokens),
                  {x_at.address(), weight_at.address(), out_at.address(), tokens});
    CHECK(deviation(device.download<float>(out_at, x.size()), expected) < 1e-6);
    device.launch(head_rms_norm(config), head_rms_norm_grid(config, tokens),
                  {x_at.address(), weight_at.address(), x_at.address(), tokens});
    CHECK(deviation(device.download<float>(x_at, x.size()), expected) < 1e-6);
}

} // namespace

TEST_CASE("rms_norm equals the float64 reference at any width") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {1u, 3u, 31u, 64u, 97u, 576u, 577u, 640u, 896u, 1030u, 4096u, 9001u, 40002u})
            for (const std::uint32_t tokens : {1u, 3u}) {
                CAPTURE(device.name());
                CAPTURE(width);
                CAPTURE(tokens);
                test::Random random(width);
                const auto x = random_floats(random, std::size_t{tokens} * width, 3);
                const auto weight = random_floats(random, width);
                const RmsNormConfig config{width, 1e-5};
                const auto x_at = device.upload(x), weight_at = device.upload(weight);
                const auto out_at = device.allocate<float>(x.size());
                const auto expected = reference(x, weight, config.epsilon);
                device.launch(rms_norm(config), rms_norm_grid(tokens),
                              {x_at.address(), weight_at.address(), out_at.address(), tokens});
                CHECK(deviation(device.download<float>(out_at, x.size()), expected) < 1e-6);
                // In place, and CTAs beyond the tokens.
                device.launch(rms_norm(config), rms_norm_grid(tokens + 2),
                              {x_at.address(), weight_at.address(), x_at.address(), tokens});
                CHECK(deviation(device.download<float>(x_at, x.size()), expected) < 1e-6);
            }
}

TEST_CASE("add_rms_norm adds the float64 reference at any width") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {32u, 96u, 640u, 1056u, 4096u, 4128u, 9024u}) {
            CAPTURE(device.name());
            CAPTURE(width);
            constexpr std::uint32_t tokens = 3;
            test::Random random(width);
            const auto x = random_floats(random, std::size_t{tokens} * width, 3);
            const auto y = random_floats(random, std::size_t{tokens} * width, 2);
            const auto weight = random_floats(random, width);
            const AddRmsNormConfig config{width, 1e-2};
            auto expected = reference(y, weight, config.epsilon);
            for (std::size_t i = 0; i < x.size(); i++) expected[i] += x[i];
            const auto x_at = device.upload(x), y_at = device.upload(y), weight_at = device.upload(weight);
            // With CTAs beyond the tokens.
            device.launch(add_rms_norm(config), add_rms_norm_grid(tokens + 2),
                          {x_at.address(), y_at.address(), weight_at.address(), tokens});
            CHECK(deviation(device.download<float>(x_at, x.size()), expected) < 1e-6);
            CHECK(device.download<float>(y_at, y.size()) == y);
        }
}

TEST_CASE("rms_norm's epsilon counts in rows of small values") {
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        test::Random random(5);
        const auto x = random_floats(random, 130, 1e-3);
        const auto weight = random_floats(random, 65);
        const auto x_at = device.upload(x), weight_at = device.upload(weight);
        device.launch(rms_norm({65, 1e-5}), rms_norm_grid(2),
                      {x_at.address(), weight_at.address(), x_at.address(), 2u});
        CHECK(deviation(device.download<float>(x_at, x.size()), reference(x, weight, 1e-5)) < 1e-6);
        const std::vector<float> zero(65);
        const auto zero_at = device.upload(zero);
        device.launch(rms_norm({65, 1e-5}), rms_norm_grid(1),
                      {zero_at.address(), weight_at.address(), zero_at.address(), 1u});
        CHECK(device.download<float>(zero_at, 65) == zero);
    }
}

TEST_CASE("head_rms_norm norms every head by itself") {
    for (auto& device : test::test_devices())
        for (const auto& [heads, head_dim] : {std::pair{1u, 1u},
                                              {3u, 5u},
                                              {4u, 256u},
                                              {16u, 128u},
                                              {9u, 64u},
                                              {5u, 80u},
                                              {2u, 33u},
                                              {3u, 130u},
                                              {1u, 1000u}})
            for (const std::uint32_t tokens : {1u, 5u}) check_head_rms_norm(device, {heads, head_dim, 1e-6}, tokens);
}

TEST_CASE("norms refuse sizes out of range") {
    CHECK(rms_norm({0, 1e-5}).error().message == "width must be from 1 to 1048576, not 0");
    CHECK(add_rms_norm({48, 1e-5}).error().message == "width must be a multiple of 32, not 48");
    CHECK(head_rms_norm({4, 0, 1e-5}).error().message == "head-dim must be from 1 to 1024, not 0");
}
