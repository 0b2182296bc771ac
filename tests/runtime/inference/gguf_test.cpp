#include "runtime/inference/gguf.hpp"

#include "tests/support/gguf_writer.hpp"
#include "tests/support/quant_blocks.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <limits>

using namespace ptxgen;
using test::GgufWriter;

namespace {

std::vector<std::byte> f32_data(std::size_t elements) {
    return test::encode_plain(TensorType::f32, std::vector<float>(elements, 0.5F));
}

gguf::File open_ok(const std::string& path, gguf::Contents contents = gguf::Contents::all) {
    auto file = gguf::File::open(path, contents);
    REQUIRE_MESSAGE(file.ok(), file.error().message);
    return std::move(*file);
}

std::string message_of(const auto& result) { return result.ok() ? "" : result.error().message; }

} // namespace

TEST_CASE("every kind of value is read back") {
    const test::TemporaryFolder folder;
    GgufWriter writer;
    writer.number<std::uint8_t>("u8", 200).number<std::int8_t>("i8", -7).number<std::uint16_t>("u16", 60000);
    writer.number<std::int16_t>("i16", -30000).number<std::uint32_t>("u32", 4000000000).number<std::int32_t>("i32", -5);
    writer.number<std::uint64_t>("u64", 1ULL << 63)
        .number<std::int64_t>("i64", std::numeric_limits<std::int64_t>::min());
    writer.number("f32", 0.1F).number("f64", 0.1).boolean("yes", true).boolean("no", false).string("text", "a\0b\xff");
    writer.strings("strings", {"", "one", "two words"}).numbers<std::int32_t>("numbers", {1, -2, 3});
    writer.numbers<float>("empty", {}).number<std::int16_t>("lowest", -128).number<std::int16_t>("too low", -129);
    const gguf::File file = open_ok(folder.write("values.gguf", writer.bytes()));

    CHECK(file.version() == 3);
    CHECK(file.keys().size() == 18);
    CHECK(file.keys().front() == "u8");
    CHECK(*file.get<std::uint8_t>("u8") == 200);
    CHECK(*file.get<std::int8_t>("i8") == -7);
    CHECK(*file.get<std::uint16_t>("u16") == 60000);
    CHECK(*file.get<std::int16_t>("i16") == -30000);
    CHECK(*file.get<std::uint32_t>("u32") == 4000000000);
    CHECK(*file.get<std::int32_t>("i32") == -5);
    CHECK(*file.get<std::uint64_t>("u64") == 1ULL << 63);
    CHECK(*file.get<std::int64_t>("i64") == std::numeric_limits<std::int64_t>::min());
    CHECK(*file.get<float>("f32") == 0.1F);
    CHECK(*file.get<double>("f32") == static_cast<double>(0.1F));
    CHECK(*file.get<double>("f64") == 0.1);
    CHECK(*file.get<bool>("yes"));
    CHECK_FALSE(*file.get<bool>("no"));
    CHECK(*file.get<std::string_view>("text") == std::string_view("a"));
    CHECK(*file.get_strings("strings") == std::vector<std::string_view>{"", "one", "two words"});
    const auto numbers = file.get_numbers<std::int32_t>("numbers");
    REQUIRE(numbers.ok());
    CHECK(numbers->size() == 3);
    CHECK((*numbers)[1] == -2);
    CHECK(file.get_numbers<float>("empty")->empty());
    // Integers convert where the value fits.
    CHECK(*file.get<std::uint64_t>("u8") == 200);
    CHECK(*file.get<std::int64_t>("i16") == -30000);
    CHECK(*file.get_or<std::uint32_t>("absent", 9) == 9);
    CHECK(*file.get<std::int8_t>("lowest") == -128);
    CHECK_FALSE(file.get<std::int8_t>("too low").ok());
    CHECK_FALSE(file.get<std::int8_t>("u8").ok());
    CHECK(*file.get_or<std::uint32_t>("u16", 9) == 60000);
}

TEST_CASE("a value of another type is an error that says where, what was expected and what was found") {
    const test::TemporaryFolder folder;
    GgufWriter writer;
    writer.number<std::int32_t>("count", -1).string("name", "x").strings("list", {"a"}).number("ratio", 1.5F);
    const std::string path = folder.write("types.gguf", writer.bytes());
    const gguf::File file = open_ok(path);
    CHECK(message_of(file.get<std::uint32_t>("count")) ==
          path + ": key 'count' (offset 37): expected an integer from 0 to 4294967295, found -1");
    CHECK(message_of(file.get<std::uint8_t>("name")) ==
          path + ": key 'name' (offset 57): expected an integer, found string");
    CHECK(message_of(file.get<std::string_view>("list")).ends_with("expected string, found array of 1 string"));
    CHECK(message_of(file.get_numbers<float>("list")).ends_with("expected array of f32, found array of 1 string"));
    CHECK(message_of(file.get_strings("name")).ends_with("expected array of string, found string"));
    CHECK(message_of(file.get<bool>("ratio")).ends_with("expected bool, found f32"));
    CHECK(message_of(file.get<float>("count")).ends_with("expected f32, found i32"));
    CHECK(message_of(file.get<float>("absent")) == path + ": key 'absent': is missing");
    CHECK_FALSE(file.get_or<std::uint32_t>("name", 1).ok());
}

TEST_CASE("tensors are described and their data is found") {
    const test::TemporaryFolder folder;
    test::Random random(5);
    for (const std::uint32_t version : {2U, 3U})
        for (const std::uint32_t alignment : {8U, 32U, 256U}) {
            GgufWriter writer(version, alignment);
            const auto blocks = test::random_blocks(TensorType::q4_k, 512UL * 3, random);
            writer.tensor("first", TensorType::f32, {3}, f32_data(3));
            writer.tensor("second", TensorType::q4_k, {512, 3}, blocks);
            writer.tensor("third", TensorType::f16, {5, 1, 2, 3}, std::vector<std::byte>(60));
            const gguf::File file = open_ok(folder.write("tensors.gguf", writer.bytes()));
            CHECK(file.version() == version);
            CHECK(file.alignment() == alignment);
            REQUIRE(file.tensors().size() == 3);
            const gguf::Tensor* second = file.tensor("second");
            REQUIRE(second);
            CHECK(second->type == TensorType::q4_k);
            CHECK(second->rows() == 3);
            CHECK(second->bytes == blocks.size());
            CHECK(second->offset % alignment == 0);
            CHECK(std::equal(blocks.begin(), blocks.end(), second->data));
            CHECK(gguf::shape_text(*second) == "[512, 3]");
            CHECK(file.tensor("third")->elements() == 30);
            CHECK(gguf::shape_text(*file.tensor("third")) == "[5, 1, 2, 3]");
            CHECK(file.tensor("fourth") == nullptr);
            file.prefetch(*second);
            file.release(*second);
            CHECK(std::equal(blocks.begin(), blocks.end(), second->data));
        }
}

TEST_CASE("metadata is read where tensors cannot be") {
    const test::TemporaryFolder folder;
    GgufWriter writer;
    writer.number<std::uint32_t>("key", 5).tensor("w", 16, {256}, std::vector<std::byte>(66));
    const std::string path = folder.write("unsupported.gguf", writer.bytes());
    CHECK(message_of(gguf::File::open(path)).find("tensor 'w': type 16 (IQ2_XXS) is not supported; supported: F32") !=
          std::string::npos);
    const gguf::File file = open_ok(path, gguf::Contents::metadata);
    CHECK(*file.get<std::uint32_t>("key") == 5);
    CHECK(file.tensors().empty());
}

namespace {

std::vector<std::byte> part(std::uint16_t number, std::uint16_t count, const std::string& tensor, int total = -1) {
    GgufWriter writer;
    if (number == 0) writer.string("general.architecture", "llama");
    if (total >= 0) writer.number<std::int32_t>("split.tensors.count", total);
    writer.number("split.no", number).number("split.count", count).tensor(tensor, TensorType::f32, {2}, f32_data(2));
    return writer.bytes();
}

} // namespace

TEST_CASE("a split model is opened as one") {
    const test::TemporaryFolder folder;
    const std::string first = folder.write("m-00001-of-00003.gguf", part(0, 3, "a", 3));
    const std::string second = folder.write("m-00002-of-00003.gguf", part(1, 3, "b"));
    const std::string third = folder.write("m-00003-of-00003.gguf", part(2, 3, "c"));
    for (const std::string& path : {first, second, third}) {
        const gguf::File file = open_ok(path);
        CHECK(file.path() == first);
        CHECK(*file.get<std::string_view>("general.architecture") == "llama");
        REQUIRE(file.tensors().size() == 3);
        CHECK(file.tensor("c")->part == 2);
        CHECK(file.tensor("c")->data[2] == file.tensor("a")->data[2]);
        CHECK(file.size() > 3 * 64);
        file.prefetch(*file.tensor("b"));
    }
    CHECK(open_ok(second, gguf::Contents::metadata).contains("general.architecture"));

    SUBCASE("a part is missing") {
        std::remove(third.c_str());
        CHECK(message_of(gguf::File::open(first)) == third + ": cannot open: No such file or directory");
    }
    SUBCASE("a part has another number") {
        folder.write("m-00003-of-00003.gguf", part(1, 3, "c"));
        CHECK(message_of(gguf::File::open(first)).ends_with("expected 2 as the file's name says, found 1"));
    }
    SUBCASE("a part is of another split") {
        folder.write("m-00003-of-00003.gguf", part(2, 4, "c"));
        CHECK(message_of(gguf::File::open(first)).ends_with("expected 3 as in the other parts, found 4"));
    }
    SUBCASE("two parts hold the same tensor") {
        folder.write("m-00003-of-00003.gguf", part(2, 3, "a"));
        CHECK(message_of(gguf::File::open(first)).ends_with("tensor 'a' occurs twice"));
    }
    SUBCASE("the tensors are not as many as the first part says") {
        folder.write("m-00001-of-00003.gguf", part(0, 3, "a", 4));
        CHECK(message_of(gguf::File::open(first)).ends_with("the parts hold 3 tensors, expected 4"));
    }
    SUBCASE("the name does not say which part it is") {
        const std::string renamed = folder.write("model.gguf", part(0, 3, "a"));
        CHECK(message_of(gguf::File::open(renamed)).ends_with("expected to end in -00001-of-00003.gguf"));
    }
    SUBCASE("the first part says it is another") {
        folder.write("m-00001-of-00003.gguf", part(1, 3, "a"));
        CHECK_FALSE(gguf::File::open(first).ok());
        CHECK_FALSE(gguf::File::open(second).ok());
    }
}
