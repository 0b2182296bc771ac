#include "kernels/ring/gather_ring.hpp"

#include "runtime/inference/quant.hpp"
#include "tests/kernels/numeric/compare.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/quant_blocks.hpp"

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

void check(const GatherRingConfig& config, const std::vector<std::uint32_t>& ids, std::uint64_t seed) {
    test::Random random(seed);
    const std::size_t count = std::size_t{config.rows} * config.cols;
    const auto table = test::random_blocks(config.type, count, random);
    std::vector<std::byte> packed(ring_bytes(config.type, config.rows, config.cols));
    // In two parts, as several threads would.
    const std::uint64_t tiles = ring_shape(config.rows, config.cols).tiles, first = tiles / 2;
    pack_ring(config.type, config.rows, config.cols, table.data(), first, tiles - first,
              packed.data() + packed.size() / tiles * first);
    pack_ring(config.type, config.rows, config.cols, table.data(), 0, first, packed.data());
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
        const auto table_at = device.upload(packed);
        const auto ids_at = device.upload(ids);
        const auto out_at = device.allocate<float>(expected.size());
        device.launch(gather_ring(config), gather_ring_grid(config, tokens),
                      {table_at.address(), ids_at.address(), out_at.address()});
        CHECK((device.download<float>(out_at, expected.size()) == expected));
    }
}

} // namespace

TEST_CASE("rows of packed matrices are what the file says") {
    std::uint64_t seed = 1;
    for (const TensorType type : ring_types())
        for (const std::uint32_t cols : {256u, 768u, 576u, 32u}) {
            if (cols % tensor_type_info(type).block_elements != 0) continue;
            check({.type = type, .rows = 37, .cols = cols}, {0, 7, 8, 15, 16, 31, 36, 1000, 22}, seed++);
            check({.type = type, .rows = 16, .cols = cols, .scale = 1.7F, .warps_per_cta = 1}, {3, 12}, seed++);
        }
}

TEST_CASE("a gather that cannot be is refused with the reason") {
    const auto message = [](const GatherRingConfig& config) {
        const auto generated = gather_ring(config);
        return generated ? std::string("none") : generated.error().message;
    };
    CHECK(message({.type = TensorType::f16}) == "there is no ring format for weights of type F16");
    CHECK(message({.type = TensorType::q6_k, .cols = 32}) == "cols must be a multiple of 256 for Q6_K, not 32");
    CHECK(message({.rows = 0}) == "rows must be from 1 to 1073741824, not 0");
    CHECK(message({.warps_per_cta = 33}) == "warps must be from 1 to 32, not 33");
}
