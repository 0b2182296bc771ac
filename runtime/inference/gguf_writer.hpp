#pragma once

#include "runtime/inference/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ptxgen::gguf {

/// Puts a GGUF file together. Nothing is checked, so that wrong files can be made as well.
class Writer {
public:
    /// `version` and `alignment` as the file states them; alignment is written as a key if it is not 32.
    explicit Writer(std::uint32_t version = 3, std::uint32_t alignment = 32);

    /// A number with exactly its C++ type, a bool or a string.
    template <class T>
    Writer& number(std::string_view key, T value) {
        begin_key(key, value_type_of<T>());
        append(keys_, &value, sizeof value);
        return *this;
    }
    Writer& boolean(std::string_view key, bool value);
    Writer& string(std::string_view key, std::string_view value);
    template <class T>
    Writer& numbers(std::string_view key, const std::vector<T>& values) {
        begin_array(key, value_type_of<T>(), values.size());
        append(keys_, values.data(), values.size() * sizeof(T));
        return *this;
    }
    Writer& strings(std::string_view key, const std::vector<std::string>& values);
    /// A value of another file as it is.
    Writer& copy(std::string_view key, const Value& value);

    /// `type` is the id in the file; `ne` fastest first.
    Writer& tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                   const std::vector<std::byte>& data);
    Writer& tensor(std::string_view name, TensorType type, const std::vector<std::uint64_t>& ne,
                   const std::vector<std::byte>& data) {
        return tensor(name, static_cast<std::uint32_t>(type), ne, data);
    }

    /// The same without data, for files that are too large for memory: the caller writes header(), and from there on
    /// each tensor's `bytes` in the order of the calls, filled up to a multiple of the alignment. Not to be mixed with
    /// tensor().
    Writer& declare(std::string_view name, TensorType type, const std::vector<std::uint64_t>& ne, std::uint64_t bytes);

    /// The whole file.
    std::vector<std::byte> bytes() const;
    /// All before the first tensor's data.
    std::vector<std::byte> header() const;

private:
    static void append(std::vector<std::byte>& to, const void* from, std::size_t bytes);
    static void append_string(std::vector<std::byte>& to, std::string_view text);
    void begin_key(std::string_view key, ValueType type);
    void describe(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne, std::uint64_t bytes);
    void begin_array(std::string_view key, ValueType element, std::uint64_t count);

    std::uint32_t version_;
    std::uint32_t alignment_;
    std::uint64_t key_count_ = 0;
    std::uint64_t tensor_count_ = 0;
    std::uint64_t data_size_ = 0;
    std::vector<std::byte> keys_, infos_, data_;
};

} // namespace ptxgen::gguf
