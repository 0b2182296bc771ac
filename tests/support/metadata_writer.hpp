#pragma once

#include "runtime/inference/gguf.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace ptxgen::test {

/// Builds a GGUF v3 file of keys without tensors, well-formed or not.
class MetadataWriter {
public:
    MetadataWriter& add(std::string_view key, std::uint32_t value) {
        return begin(key, gguf::ValueType::u32).put(value);
    }
    MetadataWriter& add(std::string_view key, bool value) {
        return begin(key, gguf::ValueType::boolean).put(static_cast<std::uint8_t>(value));
    }
    MetadataWriter& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
    MetadataWriter& add(std::string_view key, std::string_view value) {
        return begin(key, gguf::ValueType::string).put_string(value);
    }
    MetadataWriter& add(std::string_view key, const std::vector<std::string>& values) {
        begin_array(key, gguf::ValueType::string, values.size());
        for (const std::string& value : values) put_string(value);
        return *this;
    }
    MetadataWriter& add(std::string_view key, const std::vector<float>& values) {
        begin_array(key, gguf::ValueType::f32, values.size());
        for (const float value : values) put(value);
        return *this;
    }
    MetadataWriter& add(std::string_view key, const std::vector<std::int32_t>& values) {
        begin_array(key, gguf::ValueType::i32, values.size());
        for (const std::int32_t value : values) put(value);
        return *this;
    }

    std::string bytes() const {
        MetadataWriter header;
        header.body_ = "GGUF";
        header.put(std::uint32_t{3}).put(std::uint64_t{0}).put(count_);
        return header.body_ + body_;
    }

    /// Written to a temporary file, opened, and the file removed (the mapping stays).
    Result<gguf::File> open() const {
        std::string path = (std::filesystem::temp_directory_path() / "ptxgen-test-XXXXXX").string();
        const int fd = mkstemp(path.data());
        if (fd < 0) return Error{"cannot make a temporary file"};
        close(fd);
        std::ofstream(path, std::ios::binary) << bytes();
        auto file = gguf::File::open(path, gguf::Contents::metadata);
        std::filesystem::remove(path);
        return file;
    }

private:
    template <class T>
    MetadataWriter& put(T value) {
        body_.append(reinterpret_cast<const char*>(&value), sizeof value);
        return *this;
    }
    MetadataWriter& put_string(std::string_view text) {
        put(std::uint64_t{text.size()});
        body_ += text;
        return *this;
    }
    MetadataWriter& begin(std::string_view key, gguf::ValueType type) {
        ++count_;
        return put_string(key).put(static_cast<std::uint32_t>(type));
    }
    void begin_array(std::string_view key, gguf::ValueType element, std::uint64_t count) {
        begin(key, gguf::ValueType::array).put(static_cast<std::uint32_t>(element)).put(count);
    }

    std::string body_;
    std::uint64_t count_ = 0;
};

} // namespace ptxgen::test
