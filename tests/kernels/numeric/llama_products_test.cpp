// The float64 emulation of llama.cpp's products, against its own.
#include "tests/support/llama_products.hpp"
#include "tests/support/quant_blocks.hpp"

#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <vector>

using namespace ptxgen;

namespace {

struct Found {
    TensorType type;
    std::array<float, 3> products;
};

using enum TensorType;

/// ggml_vec_dot_TYPE of llama.cpp v0.5.0's libggml-cpu (haswell) on the rows and activations below.
constexpr std::array found{
    Found{q4_k, {-7.95158386F, 93.1306763F, 22.7332458F}}, Found{q6_k, {-140.789062F, 109.118576F, 138.335754F}},
    Found{q8_0, {110.487068F, 158.747253F, 25.9643478F}},  Found{q5_0, {-69.218689F, 89.497467F, -26.9002895F}},
    Found{q4_1, {47.6751099F, 124.810516F, -157.09021F}},
};

} // namespace

TEST_CASE("products with rounded activations are llama.cpp's") {
    for (const Found& expected : found)
        for (std::uint64_t seed = 1; seed <= 3; seed++) {
            test::Random random(seed);
            const auto row = test::random_blocks(expected.type, 1024, random);
            std::vector<float> x(1024);
            for (float& value : x) {
                const double normal = random.normal();
                value = static_cast<float>(normal * normal * normal);
            }
            x[5 * seed] = 0;
            const auto activations = test::llama_activations(expected.type, x);
            const double product = test::llama_product(expected.type, row.data(), activations);
            // The library adds up f32; what the rounding of the activations changes is a thousand times larger.
            CHECK_MESSAGE(std::abs(product - expected.products[seed - 1]) < 1e-4, name(expected.type));
        }
}
