#include "runtime/inference/quant.hpp"

#include "tests/support/quant_blocks.hpp"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace ptxgen;

namespace {

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace

TEST_CASE("every block format dequantises to the values of the gguf Python package") {
    for (const TensorTypeInfo& info : tensor_types()) {
        CAPTURE(info.name);
        const std::string base = fmt::format(PTXGEN_SOURCE_DIR "/tests/data/quant/{}", info.name);
        const std::string blocks = read_file(base + ".blocks");
        const std::string values = read_file(base + ".f32");
        const std::size_t count = values.size() / sizeof(float);
        REQUIRE(count > 0);
        REQUIRE(row_bytes(info.type, count) == blocks.size());
        std::vector<float> expected(count);
        std::memcpy(expected.data(), values.data(), values.size());

        std::vector<float> found(count);
        std::vector<double> wide(count);
        // One byte off, since nothing in a file promises alignment.
        std::vector<std::byte> shifted(blocks.size() + 1);
        std::memcpy(shifted.data() + 1, blocks.data(), blocks.size());
        quant::dequantize(info.type, shifted.data() + 1, count, found.data());
        quant::dequantize(info.type, shifted.data() + 1, count, wide.data());
        for (std::size_t i = 0; i < count; i++) {
            CAPTURE(i);
            REQUIRE(found[i] == expected[i]);
            REQUIRE(wide[i] == static_cast<double>(expected[i]));
        }
    }
}

TEST_CASE("tensor types are found by id and by name") {
    for (const TensorTypeInfo& info : tensor_types()) {
        CHECK(tensor_type_from_id(static_cast<std::uint32_t>(info.type)) == info.type);
        CHECK(name(info.type) == info.name);
        CHECK(row_bytes(info.type, info.block_elements * 3ULL) == info.block_bytes * 3ULL);
    }
    CHECK_FALSE(tensor_type_from_id(16).has_value());
    CHECK(tensor_type_name(16) == "IQ2_XXS");
    CHECK(tensor_type_name(4000) == "?");
}

TEST_CASE("random blocks have the scale that was asked for") {
    test::Random random(1);
    for (const TensorTypeInfo& info : tensor_types())
        for (const double scale : {0.02, 1.0}) {
            CAPTURE(info.name);
            CAPTURE(scale);
            const std::uint64_t count = 64 * 256;
            std::vector<double> values(count);
            quant::dequantize(info.type, test::random_blocks(info.type, count, random, scale).data(), count,
                              values.data());
            double sum = 0;
            double squares = 0;
            for (const double value : values) sum += value, squares += value * value;
            CHECK(std::abs(sum / count) < 0.2 * scale);
            CHECK(std::sqrt(squares / count) > 0.6 * scale);
            CHECK(std::sqrt(squares / count) < 1.6 * scale);
        }
}
