#pragma once

#include "kernels/tensor_type.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/inference/mapped_file.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// Reader of GGUF model files, versions 2 and 3, little-endian. Nothing is copied out of the mapping: strings and
/// tensor data point into it and live as long as the `File`. The format: ggml's docs/gguf.md.
namespace ptxgen::gguf {

enum class ValueType : std::uint32_t {
    u8 = 0,
    i8 = 1,
    u16 = 2,
    i16 = 3,
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    string = 8,
    array = 9,
    u64 = 10,
    i64 = 11,
    f64 = 12,
};

/// "u32", "string", …; "?" outside the enumeration.
std::string_view name(ValueType type);

/// Text from a file made fit for a one-line message: short, and '?' for each byte that is not printable ASCII.
std::string printable(std::string_view text);

/// One key's value. Numbers lie unaligned at `data`; a string is a u64 length and its bytes; an array is `count`
/// elements.
struct Value {
    ValueType type = ValueType::u8;
    ValueType element = ValueType::u8; ///< of an array
    std::uint64_t count = 1;           ///< elements of an array, else 1
    const std::byte* data = nullptr;   ///< the value; of an array, the first element
    std::uint64_t bytes = 0;           ///< of the value from `data` on
    std::uint64_t offset = 0;          ///< of the value's type field in the file, for messages
};

/// The elements of a numeric array, which lie unaligned in the file: element i is read with `[i]`.
template <class T>
class NumberArray {
public:
    NumberArray() = default;
    NumberArray(const std::byte* data, std::uint64_t count) : data_(data), count_(count) {}
    std::uint64_t size() const { return count_; }
    bool empty() const { return count_ == 0; }
    T operator[](std::uint64_t i) const {
        T value;
        std::memcpy(&value, data_ + i * sizeof(T), sizeof(T));
        return value;
    }

private:
    const std::byte* data_ = nullptr;
    std::uint64_t count_ = 0;
};

struct Tensor {
    std::string_view name;
    TensorType type = TensorType::f32;
    std::uint32_t dimensions = 1;
    std::array<std::uint64_t, 4> ne{1, 1, 1, 1}; ///< elements by dimension, fastest first: ne[0] is the row length
    std::uint64_t offset = 0;                    ///< of the data in its file
    const std::byte* data = nullptr;
    std::uint64_t bytes = 0;
    std::uint32_t part = 0; ///< which file of a split model holds it

    std::uint64_t rows() const { return ne[1] * ne[2] * ne[3]; }
    std::uint64_t elements() const { return ne[0] * rows(); }
};

/// "[576, 49152]": the dimensions, fastest first, as many as the file states.
std::string shape_text(const Tensor& tensor);
std::string shape_text(std::span<const std::uint64_t> extents);

/// What to read: `metadata` leaves out the tensors (and the other files of a split model), so that a file with tensor
/// types that are not supported still gives its keys.
enum class Contents : std::uint8_t { all, metadata };

class File {
public:
    /// Opens and checks a model. A file of a split model (NAME-00002-of-00003.gguf) opens all of its parts, keys are
    /// those of the first. Errors name the path, the field, its offset, what was expected and what was found.
    static Result<File> open(const std::string& path, Contents contents = Contents::all);

    const std::string& path() const { return parts_.front().path(); }
    std::uint32_t version() const { return version_; }
    std::uint64_t alignment() const { return alignment_; }
    std::uint64_t size() const; ///< bytes of all parts

    /// Keys in file order.
    const std::vector<std::string_view>& keys() const { return keys_; }
    bool contains(std::string_view key) const { return values_.contains(key); }
    /// nullptr if there is no such key.
    const Value* find(std::string_view key) const;

    /// The value of a key as T: an integer type (from any integer type; errors if it does not fit), float or double
    /// (from f32, f64), bool, std::string_view. Errors: no such key, another type, out of range.
    template <class T>
    Result<T> get(std::string_view key) const;
    /// As `get`, but `fallback` where the key is missing.
    template <class T>
    Result<T> get_or(std::string_view key, T fallback) const {
        if (!contains(key)) return fallback;
        return get<T>(key);
    }

    /// A numeric array whose elements are exactly T (std::int32_t, float, …). Errors: no such key, another type.
    template <class T>
    Result<NumberArray<T>> get_numbers(std::string_view key) const;
    /// A string array; the strings point into the mapping. Errors: no such key, another type.
    Result<std::vector<std::string_view>> get_strings(std::string_view key) const;

    const std::vector<Tensor>& tensors() const { return tensors_; }
    /// nullptr if there is no such tensor.
    const Tensor* tensor(std::string_view name) const;

    /// Hints for reading a tensor's data once: ahead of use, and when done.
    void prefetch(const Tensor& tensor) const { parts_[tensor.part].will_need(tensor.offset, tensor.bytes); }
    void release(const Tensor& tensor) const { parts_[tensor.part].dont_need(tensor.offset, tensor.bytes); }

    /// "PATH: key 'K' (offset N): MESSAGE", for errors about a key's value that its reader finds.
    Error key_error(std::string_view key, std::string_view message) const;

private:
    friend class Reader;
    File() = default;
    Result<Value> typed_array(std::string_view key, ValueType element) const;

    std::vector<MappedFile> parts_;
    std::uint32_t version_ = 0;
    std::uint64_t alignment_ = 32;
    std::vector<std::string_view> keys_;
    std::unordered_map<std::string_view, Value> values_;
    std::vector<Tensor> tensors_;
    std::unordered_map<std::string_view, std::size_t> tensor_index_;
};

/// The ValueType of a C++ number type.
template <class T>
constexpr ValueType value_type_of() {
    if constexpr (std::same_as<T, std::uint8_t>)
        return ValueType::u8;
    else if constexpr (std::same_as<T, std::int8_t>)
        return ValueType::i8;
    else if constexpr (std::same_as<T, std::uint16_t>)
        return ValueType::u16;
    else if constexpr (std::same_as<T, std::int16_t>)
        return ValueType::i16;
    else if constexpr (std::same_as<T, std::uint32_t>)
        return ValueType::u32;
    else if constexpr (std::same_as<T, std::int32_t>)
        return ValueType::i32;
    else if constexpr (std::same_as<T, std::uint64_t>)
        return ValueType::u64;
    else if constexpr (std::same_as<T, std::int64_t>)
        return ValueType::i64;
    else if constexpr (std::same_as<T, float>)
        return ValueType::f32;
    else {
        static_assert(std::same_as<T, double>, "GGUF arrays hold fixed-width integers, float or double");
        return ValueType::f64;
    }
}

template <class T>
Result<NumberArray<T>> File::get_numbers(std::string_view key) const {
    const auto value = typed_array(key, value_type_of<T>());
    if (!value) return value.error();
    return NumberArray<T>(value->data, value->count);
}

} // namespace ptxgen::gguf
