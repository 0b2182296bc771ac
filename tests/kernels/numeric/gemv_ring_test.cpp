#include "kernels/ring/gemv_ring.hpp"

#include "runtime/inference/quant.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/quant_blocks.hpp"

#include <cstring>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

/// What the kernels make of an activation vector: in blocks of 32, d = max|x| / 127 and the nearest multiple of it.
std::vector<double> quantized(const std::vector<float>& x) {
    std::vector<double> values;
    for (std::size_t b = 0; b < x.size(); b += 32) {
        float largest = 0;
        for (std::size_t i = b; i < b + 32; i++) largest = std::max(largest, std::abs(x[i]));
        const float scale = largest * (1.0F / 127.0F);
        const float inverse = largest >= 0x1p-100F ? 1.0F / largest * 127.0F : 0.0F;
        for (std::size_t i = b; i < b + 32; i++)
            values.push_back(std::nearbyint(static_cast<double>(x[i]) * static_cast<double>(inverse)) *
                             static_cast<double>(scale));
    }
    return values;
}

struct Case {
    std::vector<std::byte> stored, packed;
    std::vector<float> x, bias, residual;
    std::vector<double> expected;  ///< [tokens][rows]
    std::vector<double> magnitude; ///< Σ |w · x| and the other terms, what rounding errors are measured by
};

Case make_case(const GemvRingConfig& config, std::uint32_t tokens, test::Random& random) {
    const std::size_t count = std::size_t{config.rows} * config.cols;
    Case made;
    made.stored = test::random_blocks(config.type, count, random);
    made.packed.resize(ring_bytes(config.type, config.rows, config.cols));
    pack_ring(config.type, config.rows, config.cols, made.stored.data(), 0,
              ring_shape(config.rows, config.cols).tiles, made.packed.data());
    made.x = test::random_floats(random, std::size_t{tokens} * config.cols);
    made.bias = test::random_floats(random, config.rows);
    made.residual = test::random_floats(random, std::size_t{tokens} * config.rows);
    std::vector<double> w(count);
    quant::dequantize(config.type, made.stored.data(), count, w.data());
    const std::vector<double> x = quantized(made.x);
    for (std::uint32_t t = 0; t < tokens; t++)
        for (std::uint32_t r = 0; r < config.rows; r++) {
            double sum = 0, magnitude = 0;
            const auto add = [&](double term) {
                sum += term;
                magnitude += std::abs(term);
            };
            for (std::uint32_t c = 0; c < config.cols; c++)
                add(w[std::size_t{r} * config.cols + c] * x[std::size_t{t} * config.cols + c]);
            if (config.bias) add(made.bias[r]);
            if (config.residual) add(made.residual[std::size_t{t} * config.rows + r]);
            made.expected.push_back(sum);
            made.magnitude.push_back(magnitude);
        }
    return made;
}

std::vector<float> run(test::TestDevice& device, const GemvRingConfig& config, const Case& made, std::uint32_t tokens,
                       Target target, bool in_place = false) {
    const auto weights = device.upload(made.packed);
    const auto x = device.upload(made.x);
    const auto bias = device.upload(made.bias);
    const auto residual = device.upload(made.residual);
    const auto apart = device.allocate<float>(made.expected.size());
    const auto& y = in_place ? residual : apart;
    const auto kernel = gemv_ring(config, target);
    const Grid grid = gemv_ring_grid(config, tokens);
    const auto w_at = weights.address(), x_at = x.address(), y_at = y.address();
    if (config.bias && config.residual)
        device.launch(kernel, grid, {w_at, x_at, y_at, bias.address(), residual.address(), tokens});
    else if (config.bias)
        device.launch(kernel, grid, {w_at, x_at, y_at, bias.address(), tokens});
    else if (config.residual)
        device.launch(kernel, grid, {w_at, x_at, y_at, residual.address(), tokens});
    else
        device.launch(kernel, grid, {w_at, x_at, y_at, tokens});
    return device.download<float>(y, made.expected.size());
}

constexpr Target sm_75{75, TargetVariant::plain}, sm_80{80, TargetVariant::plain}, sm_90{90, TargetVariant::plain};

[[maybe_unused]] std::uint32_t columns(TensorType type, std::uint32_t cols) {
    const std::uint32_t step = tensor_type_info(type).block_elements;
    return (cols + step - 1) / step * step;
}

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
        double worst = 0;
        std::size_t at = 0;
        for (std::size_t i = 0; i < streamed.size(); i++) {
            const double distance = std::abs(static_cast<double>(streamed[i]) - made.expected[i]) / made.magnitude[i];
            if (!(distance <= worst)) worst = std::isfinite(distance) ? distance : INFINITY, at = i;
        }
        CAPTURE(at);
        CHECK(worst < 1e-6);
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
        for (const std::uint32_t cols : {256u, 1024u, 4096u})
            check({.type = type, .rows = 37, .cols = cols, .ctas = 2}, 1, seed++);
}
