#pragma once

#include "runtime/inference/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ptxgen::test {

/// Puts a GGUF file together. Nothing is checked, so that wrong files can be made as well.
class GgufWriter {
public:
    /// `version` and `alignment` as the file states them; alignment is written as a key if it is not 32.
    explicit GgufWriter(std::uint32_t version = 3, std::uint32_t alignment = 32);

    /// A number with exactly its C++ type, a bool or a string.
    template <class T>
    GgufWriter& number(std::string_view key, T value) {
        begin_key(key, gguf::value_type_of<T>());
        append(keys_, &value, sizeof value);
        return *this;
    }
    GgufWriter& boolean(std::string_view key, bool value);
    GgufWriter& string(std::string_view key, std::string_view value);
    template <class T>
    GgufWriter& numbers(std::string_view key, const std::vector<T>& values) {
        begin_array(key, gguf::value_type_of<T>(), values.size());
        append(keys_, values.data(), values.size() * sizeof(T));
        return *this;
    }
    GgufWriter& strings(std::string_view key, const std::vector<std::string>& values);
    /// A value of another file as it is.
    GgufWriter& copy(std::string_view key, const gguf::Value& value);

    /// `type` is the id in the file; `ne` fastest first.
    GgufWriter& tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                       const std::vector<std::byte>& data);
    GgufWriter& tensor(std::string_view name, TensorType type, const std::vector<std::uint64_t>& ne,
                       const std::vector<std::byte>& data) {
        return tensor(name, static_cast<std::uint32_t>(type), ne, data);
    }

    std::vector<std::byte> bytes() const;

private:
    static void append(std::vector<std::byte>& to, const void* from, std::size_t bytes);
    static void append_string(std::vector<std::byte>& to, std::string_view text);
    void begin_key(std::string_view key, gguf::ValueType type);
    void begin_array(std::string_view key, gguf::ValueType element, std::uint64_t count);

    std::uint32_t version_;
    std::uint32_t alignment_;
    std::uint64_t key_count_ = 0;
    std::uint64_t tensor_count_ = 0;
    std::vector<std::byte> keys_, infos_, data_;
};

/// A folder of its own below the system's temporary folder, removed with what is in it.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::string& path() const { return path_; }
    /// Writes FOLDER/name and returns its path.
    std::string write(const std::string& name, const std::vector<std::byte>& bytes) const;

private:
    std::string path_;
};

} // namespace ptxgen::test
