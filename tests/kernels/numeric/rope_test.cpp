#include "kernels/attention/rope.hpp"

#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

#include <complex>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

/// Turns by complex multiplication, from angles rather than from the table.
std::vector<double> reference(const std::vector<float>& x, const RopeConfig& config, std::uint32_t position,
                              double base) {
    std::vector<double> out(x.begin(), x.end());
    const std::size_t width = std::size_t{config.heads} * config.head_dim;
    for (std::size_t row = 0; row < x.size() / config.head_dim; row++) {
        const double at = static_cast<double>(position + row * config.head_dim / width);
        for (std::uint32_t p = 0; p < config.dim / 2; p++) {
            const bool interleaved = config.kind == RopeKind::interleaved;
            double& a = out[row * config.head_dim + (interleaved ? 2 * p : p)];
            double& b = out[row * config.head_dim + (interleaved ? 2 * p + 1 : p + config.dim / 2)];
            const auto turned = std::complex(a, b) * std::polar(1.0, at * std::pow(base, -2.0 * p / config.dim));
            a = turned.real();
            b = turned.imag();
        }
    }
    return out;
}

void check_rope(test::TestDevice& device, const RopeConfig& config, std::uint32_t tokens) {
    constexpr std::uint32_t position = 11, positions = 20;
    constexpr double base = 10000;
    CAPTURE(device.name());
    CAPTURE(static_cast<int>(config.kind));
    CAPTURE(config.heads);
    CAPTURE(config.head_dim);
    CAPTURE(tokens);
    test::Random random(config.heads + config.dim);
    const auto x = test::random_floats(random, std::size_t{tokens} * config.heads * config.head_dim);
    std::vector<float> table;
    for (std::uint32_t at = 0; at < positions; at++)
        for (std::uint32_t p = 0; p < config.dim / 2; p++) {
            const double angle = at * std::pow(base, -2.0 * p / config.dim);
            table.push_back(static_cast<float>(std::cos(angle)));
            table.push_back(static_cast<float>(std::sin(angle)));
        }
    const auto x_at = device.upload(x), table_at = device.upload(table);
    const auto position_at = device.upload(std::vector{position});
    device.launch(rope(config), rope_grid(tokens + 1),
                  {x_at.address(), table_at.address(), position_at.address(), tokens});
    CHECK(test::deviation(device.download<float>(x_at, x.size()), reference(x, config, position, base)) < 1e-6);
}

} // namespace

TEST_CASE("rope turns the leading pairs of every head by the angles of its position") {
    for (auto& device : test::test_devices())
        for (const RopeKind kind : {RopeKind::interleaved, RopeKind::neox})
            for (const auto& [heads, head_dim, dim] : {std::array{9u, 64u, 64u},
                                                       {1u, 2u, 2u},
                                                       {3u, 80u, 32u},
                                                       {16u, 128u, 128u},
                                                       {4u, 256u, 256u},
                                                       {5u, 7u, 6u},
                                                       {7u, 96u, 96u},
                                                       {300u, 6u, 4u}})
                for (const std::uint32_t tokens : {1u, 4u}) check_rope(device, {kind, heads, head_dim, dim}, tokens);
}

TEST_CASE("rope refuses an odd or too large dim") {
    CHECK(rope({RopeKind::neox, 2, 64, 63}).error().message == "dim must be even, not 63");
    CHECK(rope({RopeKind::neox, 2, 64, 66}).error().message == "dim must be from 2 to 64, not 66");
}
