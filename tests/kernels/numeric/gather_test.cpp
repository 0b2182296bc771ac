#include "kernels/gather/gather.hpp"

#include "runtime/inference/quant.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/quant_blocks.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

void check(const GatherConfig& config, const std::vector<std::uint32_t>& ids, std::uint64_t seed) {
    test::Random random(seed);
    const std::size_t count = std::size_t{config.rows} * config.cols;
    const auto table = test::random_blocks(config.type, count, random);
    std::vector<float> values(count);
    quant::dequantize(config.type, table.data(), count, values.data());
    // Each weight is rounded once, as the CPU does it, and so is its product with the scale.
    std::vector<float> expected;
    for (const std::uint32_t id : ids)
        for (std::uint32_t c = 0; c < config.cols; c++)
            expected.push_back(values[std::size_t{std::min(id, config.rows - 1)} * config.cols + c] * config.scale);

    const auto tokens = static_cast<std::uint32_t>(ids.size());
    for (auto& device : test::test_devices()) {
        CAPTURE(device.name());
        CAPTURE(name(config.type));
        CAPTURE(config.cols);
        const auto table_at = device.upload(table);
        const auto ids_at = device.upload(ids);
        const auto out_at = device.allocate<float>(expected.size());
        device.launch(gather(config), gather_grid(config, tokens),
                      {table_at.address(), ids_at.address(), out_at.address()});
        CHECK((device.download<float>(out_at, expected.size()) == expected));
    }
}

} // namespace

TEST_CASE("gather gives rows of every weight type exactly as the CPU dequantises them") {
    std::uint64_t seed = 1;
    for (const TensorType type : weight_types()) {
        const std::uint32_t step = tensor_type_info(type).block_elements;
        for (const std::uint32_t cols : {step, step * 3, (576 + step - 1) / step * step})
            for (const float scale : {1.0F, 23.994F})
                check({.type = type, .rows = 19, .cols = cols, .scale = scale}, {18, 0, 7, 7, 3}, seed++);
    }
    check({.type = TensorType::f16, .rows = 3, .cols = 577, .warps_per_cta = 1}, {2, 1}, seed++);
    check({.type = TensorType::bf16, .rows = 3, .cols = 578, .warps_per_cta = 32}, {2, 1}, seed++);
}

TEST_CASE("gather never reads behind the table") {
    check({.type = TensorType::q8_0, .rows = 5, .cols = 64}, {4, 5, 4294967295u}, 50);
}

TEST_CASE("a gather that cannot be is refused with the reason") {
    const auto message = [](const GatherConfig& config) {
        const auto generated = gather(config);
        return generated ? std::string("none") : generated.error().message;
    };
    CHECK(message({.type = TensorType::q6_k, .rows = 4, .cols = 640}) ==
          "cols must be a multiple of 256 for Q6_K, not 640");
    CHECK(message({.type = TensorType::q8_k, .cols = 256}) == "there is no gather of rows of type Q8_K");
    CHECK(message({.warps_per_cta = 33}) == "warps must be from 1 to 32, not 33");
}
