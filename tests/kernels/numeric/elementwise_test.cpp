#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"

#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <numbers>

using namespace ptxgen;
using namespace ptxgen::kernels;
using test::random_floats;

namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))); }

} // namespace

TEST_CASE("swiglu and geglu equal their float64 references at any width") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {1u, 30u, 576u, 1025u, 1536u, 2048u, 4099u})
            for (const std::uint32_t tokens : {1u, 3u}) {
                CAPTURE(device.name());
                CAPTURE(width);
                CAPTURE(tokens);
                test::Random random(width);
                const auto gate = random_floats(random, std::size_t{tokens} * width, 3);
                const auto up = random_floats(random, gate.size());
                const auto gate_at = device.upload(gate), up_at = device.upload(up);
                const auto out_at = device.allocate<float>(gate.size());
                for (const bool swish : {true, false}) {
                    std::vector<double> expected;
                    for (std::size_t i = 0; i < gate.size(); i++)
                        expected.push_back((swish ? silu(gate[i]) : gelu(gate[i])) * up[i]);
                    const GatedConfig config{width};
                    device.launch(swish ? swiglu(config) : geglu(config), gated_grid(config, tokens),
                                  {gate_at.address(), up_at.address(), out_at.address(), tokens});
                    CHECK(test::deviation(device.download<float>(out_at, gate.size()), expected) < 1e-6);
                }
            }
}

TEST_CASE("silu and gelu are accurate from one end of the range to the other") {
    std::vector<float> x;
    for (double v = -120; v <= 120; v += 0.37) x.push_back(static_cast<float>(v));
    for (double v = 1e-6; v < 10; v *= 1.7) {
        x.push_back(static_cast<float>(v));
        x.push_back(static_cast<float>(-v));
    }
    const auto width = static_cast<std::uint32_t>(x.size());
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        const auto gate_at = device.upload(x), up_at = device.upload(std::vector<float>(width, 1.f));
        const auto out_at = device.allocate<float>(width);
        for (const bool swish : {true, false}) {
            device.launch(swish ? swiglu({width}) : geglu({width}), gated_grid({width}, 1),
                          {gate_at.address(), up_at.address(), out_at.address(), 1u});
            const auto found = device.download<float>(out_at, width);
            for (std::uint32_t i = 0; i < width; i++) {
                CAPTURE(x[i]);
                const double expected = swish ? silu(x[i]) : gelu(x[i]);
                CHECK(std::abs(found[i] - expected) <=
                      1e-6 * std::abs(expected) + 1e-7 * std::min(1.f, std::abs(x[i])));
            }
        }
    }
}

TEST_CASE("add adds rows in place") {
    for (auto& device : test::test_devices())
        for (const std::uint32_t width : {1u, 33u, 576u, 1024u, 2050u})
            for (const std::uint32_t tokens : {1u, 5u}) {
                CAPTURE(device.name());
                CAPTURE(width);
                CAPTURE(tokens);
                test::Random random(width);
                const auto x = random_floats(random, std::size_t{tokens} * width), y = random_floats(random, x.size());
                std::vector<float> expected(x.size());
                for (std::size_t i = 0; i < x.size(); i++) expected[i] = x[i] + y[i];
                const auto x_at = device.upload(x), y_at = device.upload(y);
                device.launch(add({width}), {tokens + 1, add_grid({width}, tokens).y, 1},
                              {x_at.address(), y_at.address(), tokens});
                CHECK((device.download<float>(x_at, x.size()) == expected));
            }
}
