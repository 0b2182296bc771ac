#include "kernels/matmul/matmul.hpp"

#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;
using test::random_floats;

namespace {

void check_matmul_at(test::TestDevice& device, const MatmulConfig& config, std::uint32_t m, std::uint32_t n,
                     std::uint32_t k) {
    CAPTURE(device.name());
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    CAPTURE(config.tile_m);
    CAPTURE(config.tile_n);
    CAPTURE(config.tile_k);
    test::Random random(m + n + k);
    const auto a = random_floats(random, std::size_t{m} * k), b = random_floats(random, std::size_t{k} * n);
    std::vector<double> expected(std::size_t{m} * n);
    for (std::size_t i = 0; i < m; i++)
        for (std::size_t l = 0; l < k; l++)
            for (std::size_t j = 0; j < n; j++) expected[i * n + j] += double{a[i * k + l]} * double{b[l * n + j]};
    // No buffer may be empty.
    const auto a_at = device.upload(a.empty() ? std::vector<float>(1) : a);
    const auto b_at = device.upload(b.empty() ? std::vector<float>(1) : b);
    const auto c_at = device.allocate<float>(expected.size());
    device.launch(matmul(config), matmul_grid(config, m, n), {a_at.address(), b_at.address(), c_at.address(), m, n, k});
    CHECK(test::deviation(device.download<float>(c_at, expected.size()), expected) < 2e-6);
}

} // namespace

TEST_CASE("matmul equals the float64 reference for any m, n and k") {
    for (auto& device : test::test_devices())
        for (const auto& [m, n, k] : {std::array{1u, 1u, 1u},
                                      {64u, 64u, 16u},
                                      {65u, 63u, 17u},
                                      {1u, 130u, 100u},
                                      {130u, 1u, 33u},
                                      {3u, 5u, 0u},
                                      {100u, 70u, 15u},
                                      {128u, 192u, 64u},
                                      {37u, 576u, 99u}})
            check_matmul_at(device, {}, m, n, k);
}

TEST_CASE("matmul works with any tile") {
    for (auto& device : test::test_devices()) {
        for (const MatmulConfig& config :
             {MatmulConfig{128, 128, 8, 8, 8}, MatmulConfig{16, 16, 4, 1, 1}, MatmulConfig{32, 64, 7, 2, 4},
              MatmulConfig{20, 28, 5, 4, 2}, MatmulConfig{64, 8, 64, 4, 1}, MatmulConfig{64, 64, 16, 4, 4, true}})
            check_matmul_at(device, config, 75, 141, 45);
    }
}

TEST_CASE("matmul refuses tiles that do not fit") {
    CHECK(matmul({64, 64, 16, 3, 4}).error().message == "thread-m must be 1, 2, 4 or 8, not 3");
    CHECK(matmul({64, 60, 16, 4, 8}).error().message == "tile-n must be a multiple of 4 and of a thread's 8, not 60");
    CHECK(matmul({256, 256, 16, 1, 1}).error().message ==
          "tiles of 256x256 by 1x1 for a thread take 65536 threads; 32 to 1024 make a CTA");
    CHECK(matmul({256, 256, 8, 8, 8}).error().message ==
          "a thread needs about 116 registers, but 1024 threads have 64 each; make a thread's part or tile-k smaller");
}
