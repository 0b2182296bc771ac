// Files that are damaged or made to harm: each gives one clear line, none crashes or takes memory.
#include "runtime/inference/gguf.hpp"
#include "runtime/inference/model.hpp"

#include "tests/support/gguf_writer.hpp"
#include "tests/support/quant_blocks.hpp"
#include "tests/support/tiny_models.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/resource.h>
#include <sys/stat.h>

using namespace ptxgen;
using test::GgufWriter;

namespace {

std::vector<std::byte> f32_data(std::size_t elements) {
    return test::encode_plain(TensorType::f32, std::vector<float>(elements, 0.5F));
}

std::string error_of(const std::string& path) {
    const auto file = gguf::File::open(path);
    return file.ok() ? "" : file.error().message;
}

/// Bytes of a file put together by hand.
class Bytes {
public:
    template <class T>
    Bytes& add(T value) {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + sizeof value);
        std::memcpy(&bytes_[at], &value, sizeof value);
        return *this;
    }
    Bytes& text(std::string_view text) {
        add<std::uint64_t>(text.size());
        for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
        return *this;
    }
    Bytes& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
        return add<std::uint32_t>(0x46554747).add(version).add(tensors).add(keys);
    }
    Bytes& padding(std::size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }
    const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

/// A file of one tensor info and 64 bytes of data.
std::vector<std::byte> one_tensor(const std::vector<std::uint64_t>& ne, std::uint32_t type, std::uint64_t offset = 0,
                                  std::uint32_t dimensions = 0) {
    Bytes bytes;
    bytes.header(1, 0).text("w").add(dimensions ? dimensions : static_cast<std::uint32_t>(ne.size()));
    for (const std::uint64_t extent : ne) bytes.add(extent);
    return bytes.add(type).add(offset).padding(128).bytes();
}

/// Keeps the address space below 8 GB while it lives, as `ulimit -v` does. Sanitizers reserve more than that.
class AddressSpaceLimit {
public:
    AddressSpaceLimit() {
#ifndef __SANITIZE_ADDRESS__
        getrlimit(RLIMIT_AS, &before_);
        rlimit limit = before_;
        limit.rlim_cur = 8ULL << 30;
        setrlimit(RLIMIT_AS, &limit);
#endif
    }
    ~AddressSpaceLimit() {
#ifndef __SANITIZE_ADDRESS__
        setrlimit(RLIMIT_AS, &before_);
#endif
    }
    AddressSpaceLimit(const AddressSpaceLimit&) = delete;
    AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;

private:
    rlimit before_{};
};

/// Reads everything that an opened file offers.
std::size_t walk(const gguf::File& file) {
    std::size_t sum = 0;
    for (const std::string_view key : file.keys()) {
        if (const auto strings = file.get_strings(key))
            for (const std::string_view text : *strings)
                sum += text.empty() ? 0 : static_cast<unsigned char>(text.back());
        if (const auto text = file.get<std::string_view>(key)) sum += text->size();
        if (const auto numbers = file.get_numbers<float>(key); numbers && !numbers->empty())
            sum += (*numbers)[numbers->size() - 1] > 0;
        sum += file.get<std::uint8_t>(key).ok();
    }
    for (const gguf::Tensor& tensor : file.tensors())
        sum +=
            std::to_integer<std::size_t>(tensor.data[0]) + std::to_integer<std::size_t>(tensor.data[tensor.bytes - 1]);
    return sum;
}

} // namespace

TEST_CASE("what is not a GGUF file is refused") {
    const test::TemporaryFolder folder;
    const std::string missing = folder.path() + "/missing.gguf";
    CHECK(error_of(missing) == missing + ": cannot open: No such file or directory");
    CHECK(error_of(folder.path()) == folder.path() + ": expected a regular file, found something else");
    const std::string fifo = folder.path() + "/fifo";
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(error_of(fifo).ends_with("expected a regular file, found something else"));
    const std::string empty = folder.write("empty.gguf", {});
    CHECK(error_of(empty) == empty + ": the file is empty; expected a GGUF model");
    const std::string other = folder.write("other.gguf", Bytes().add<std::uint32_t>(0x04034b50).padding(40).bytes());
    CHECK(error_of(other) ==
          other + ": offset 0: expected the magic \"GGUF\", found \"PK??\"; this is not a GGUF model");
    const auto version = [&](std::uint32_t number) {
        return error_of(folder.write("version.gguf", Bytes().header(0, 0, number).bytes()));
    };
    CHECK(version(2).empty());
    CHECK(version(3).empty());
    CHECK(version(1).ends_with("offset 4: expected GGUF version 2 or 3, found 1"));
    CHECK(version(4).ends_with("offset 4: expected GGUF version 2 or 3, found 4"));
    CHECK(version(0x03000000).ends_with("offset 4: the file is big-endian; expected a little-endian GGUF file"));
}

TEST_CASE("a file that ends anywhere before its end is refused") {
    const test::TemporaryFolder folder;
    // The padding lets each truncated file end with a page, so that a read beyond its end would fault.
    const auto make = [](std::size_t padding) {
        GgufWriter writer;
        writer.string("padding", std::string(padding, 'x')).number<std::uint32_t>("number", 3).boolean("flag", true);
        writer.strings("strings", {"abc", "", "de"}).numbers<float>("floats", {1, 2, 3});
        writer.tensor("w", TensorType::q8_0, {32, 2}, std::vector<std::byte>(68));
        writer.tensor("v", TensorType::f32, {16}, f32_data(16));
        return writer.bytes();
    };
    const std::size_t size = make(0).size();
    int accepted = 0;
    for (std::size_t end = 100; end < size; end++) {
        CAPTURE(end);
        const std::size_t padding = 4096 - end;
        auto bytes = make(padding);
        // Aligning the data makes the whole file's size depend on the padding, by less than 32 bytes.
        if (bytes.size() <= 4096) {
            CHECK(end + 32 > size);
            continue;
        }
        bytes.resize(4096);
        const std::string path = folder.write("cut.gguf", bytes);
        const std::string message = error_of(path);
        accepted += message.empty();
        CHECK(message.starts_with(path + ": "));
    }
    CHECK(accepted == 0);
    // From the very beginning, where there is nothing to pad.
    const auto bytes = make(0);
    for (std::size_t end = 0; end < bytes.size(); end++) {
        CAPTURE(end);
        CHECK_FALSE(
            error_of(folder.write("cut.gguf", {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(end)}))
                .empty());
    }
    CHECK(error_of(folder.write("whole.gguf", bytes)).empty());
}

TEST_CASE("counts and lengths that do not fit the file are refused without allocating for them") {
    const test::TemporaryFolder folder;
    const AddressSpaceLimit limit;
    const auto message = [&](const Bytes& bytes) { return error_of(folder.write("count.gguf", bytes.bytes())); };
    for (const std::uint64_t huge : {~0ULL, 1ULL << 63, 1ULL << 61, (1ULL << 61) + 1, 1ULL << 40, 100ULL}) {
        CAPTURE(huge);
        CHECK(message(Bytes().header(huge, 0).padding(64)).find("offset 8: the tensor count") != std::string::npos);
        CHECK(message(Bytes().header(0, huge).padding(64)).find("offset 16: the key count") != std::string::npos);
        CHECK(message(Bytes().header(0, 1).add(huge).padding(64))
                  .find("is " + std::to_string(huge) + " bytes long, but only") != std::string::npos);
        CHECK(message(Bytes().header(0, 1).text("k").add<std::uint32_t>(8).add(huge).padding(64))
                  .find("bytes long, but only") != std::string::npos);
        for (const std::uint32_t element : {0U, 3U, 6U, 7U, 10U, 12U, 8U}) {
            CAPTURE(element);
            Bytes bytes;
            bytes.header(0, 1).text("k").add<std::uint32_t>(9).add(element).add(huge).padding(64);
            CHECK(message(bytes).find("offset 41: key 'k': " + std::to_string(huge)) != std::string::npos);
        }
        CHECK(message(Bytes().header(1, 0).add(huge).padding(64)).find("the name of tensor 0 of 1") !=
              std::string::npos);
    }
    // One byte too long.
    CHECK(
        message(Bytes().header(0, 1).add<std::uint64_t>(14).padding(13)).find("is 14 bytes long, but only 13 bytes") !=
        std::string::npos);
    // The second string of an array leaves the file.
    Bytes bytes;
    bytes.header(0, 1).text("k").add<std::uint32_t>(9).add<std::uint32_t>(8).add<std::uint64_t>(2).text("ok").add(
        ~0ULL - 7);
    CHECK(message(bytes).find("string 1 of 2 does not fit") != std::string::npos);
}

TEST_CASE("value types that do not exist are refused") {
    const test::TemporaryFolder folder;
    const auto message = [&](const Bytes& bytes) { return error_of(folder.write("type.gguf", bytes.bytes())); };
    CHECK(message(Bytes().header(0, 1).text("k").add<std::uint32_t>(13).padding(64))
              .ends_with("offset 33: key 'k': expected a value type from 0 to 12, found 13"));
    for (const std::uint32_t element : {9U, 13U, ~0U}) {
        Bytes bytes;
        bytes.header(0, 1).text("k").add<std::uint32_t>(9).add(element).add<std::uint64_t>(1).padding(64);
        CHECK(message(bytes).find("expected an array of numbers or strings, found element type " +
                                  std::to_string(element)) != std::string::npos);
    }
}

TEST_CASE("tensors that cannot be are refused") {
    const test::TemporaryFolder folder;
    const auto message = [&](const std::vector<std::byte>& bytes) {
        return error_of(folder.write("tensor.gguf", bytes));
    };
    const auto has = [](const std::string& text, const char* part) {
        INFO(text);
        return text.find(part) != std::string::npos;
    };
    CHECK(message(one_tensor({16}, 0)).empty());
    CHECK(has(message(one_tensor({16}, 0, 0, 5)), "tensor 'w': expected 1 to 4 dimensions, found 5"));
    CHECK(has(message(one_tensor({16}, 0, 0, ~0U)), "expected 1 to 4 dimensions, found 4294967295"));
    CHECK(has(message(one_tensor({}, 0)), "expected 1 to 4 dimensions, found 0"));
    CHECK(has(message(one_tensor({16, 0}, 0)), "dimension 1 is 0"));
    CHECK(has(message(one_tensor({1ULL << 32, 1ULL << 32}, 0)), "dimension 1 is 4294967296; expected at least 1"));
    CHECK(has(message(one_tensor({1ULL << 62, 2, 2, 2}, 0)), "a product below 2^64"));
    CHECK(has(message(one_tensor({1ULL << 62}, 0)), "take more than 2^64 bytes"));
    CHECK(has(message(one_tensor({1ULL << 61}, 0)), "lie outside the file"));
    CHECK(has(message(one_tensor({(1ULL << 62) - 8}, 0, 32)), "lie outside the file")); // offset + bytes = 2^64
    CHECK(has(message(one_tensor({33}, 2)), "a row of 33 elements is no multiple of the 32 elements of a Q4_0 block"));
    CHECK(has(message(one_tensor({32}, 12)), "no multiple of the 256 elements of a Q4_K block"));
    CHECK(has(message(one_tensor({16}, 4000)), "type 4000 (?) is not supported"));
    CHECK(has(message(one_tensor({16}, 26)), "type 26 (I32) is not supported"));
    CHECK(has(message(one_tensor({16}, 0, 8)), "offset 8 is no multiple of the alignment 32"));
    CHECK(has(message(one_tensor({16}, 0, 96)), "lie outside the file"));
    CHECK(has(message(one_tensor({16}, 0, 1ULL << 40)), "lie outside the file"));
    CHECK(has(message(one_tensor({16}, 0, ~0ULL - 31)), "lie outside the file"));
    CHECK(has(message(one_tensor({16}, 0, ~0ULL - 63)), "lie outside the file"));
}

TEST_CASE("names that occur twice and bad alignments are refused") {
    const test::TemporaryFolder folder;
    const auto message = [&](const GgufWriter& writer) { return error_of(folder.write("bad.gguf", writer.bytes())); };
    CHECK(message(GgufWriter().boolean("k", true).boolean("k", true)).ends_with("key 'k' occurs twice"));
    GgufWriter twice;
    twice.tensor("w", TensorType::f32, {2}, f32_data(2)).tensor("w", TensorType::f32, {2}, f32_data(2));
    CHECK(message(twice).ends_with("tensor 'w' occurs twice"));
    for (const std::uint32_t alignment : {0U, 3U, 48U})
        CHECK(message(GgufWriter().number("general.alignment", alignment))
                  .ends_with(fmt::format("expected a power of two, found {}", alignment)));
    CHECK(message(GgufWriter().string("general.alignment", "32")).ends_with("expected an integer, found string"));
    CHECK(message(GgufWriter().number<std::uint32_t>("general.alignment", 1U << 31).tensor("w", 0, {2}, f32_data(2)))
              .find("lie outside the file") != std::string::npos);
    CHECK(message(GgufWriter().number<std::uint32_t>("split.count", ~0U)).find("key 'split.count'") !=
          std::string::npos);
    // What a file calls its keys cannot break the line or the terminal.
    CHECK(message(GgufWriter().boolean("a\n\033[31m", true).boolean("a\n\033[31m", true))
              .ends_with("key 'a??[31m' occurs twice"));
}

TEST_CASE("damaged models never crash") {
    const test::TemporaryFolder folder;
    const AddressSpaceLimit limit;
    const auto model = test::tiny_model_file(test::tiny_model("qwen2"));
    std::size_t head = 0;
    {
        const auto file = gguf::File::open(folder.write("model.gguf", model));
        REQUIRE(file.ok());
        head = file->tensors().front().offset;
    }
    test::Random random(11);
    int opened = 0;
    std::size_t sum = 0;
    for (int round = 0; round < 1500; round++) {
        auto bytes = model;
        for (std::uint64_t i = random.below(4) + 1; i > 0; i--) {
            std::byte& hit = bytes[random.below(head)];
            switch (random.below(4)) {
            case 0: hit = static_cast<std::byte>(random.bits()); break;
            case 1: hit ^= static_cast<std::byte>(1 << random.below(8)); break;
            case 2: hit = std::byte{0xff}; break;
            default: hit = std::byte{0}; break;
            }
        }
        if (random.below(8) == 0) bytes.resize(random.below(bytes.size()));
        const std::string path = folder.write("damaged.gguf", bytes);
        if (const auto file = gguf::File::open(path)) opened++, sum += walk(*file);
        if (const auto described = load_model(path)) sum += described->shape.vocab;
    }
    CHECK(opened > 100);
    CHECK(opened < 1400);
    CHECK(sum > 0);
}
