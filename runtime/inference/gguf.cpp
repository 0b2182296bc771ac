#include "runtime/inference/gguf.hpp"

#include <fmt/format.h>
#include <limits>
#include <span>
#include <type_traits>

namespace ptxgen::gguf {
namespace {

bool is_integer(ValueType type) {
    switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::u16:
    case ValueType::i16:
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::u64:
    case ValueType::i64: return true;
    default: return false;
    }
}

template <class T>
T load(const std::byte* data) {
    T value;
    std::memcpy(&value, data, sizeof value);
    return value;
}

/// An integer value as sign and magnitude, which holds every type that a file can state.
struct Integer {
    bool negative = false;
    std::uint64_t magnitude = 0;
};

template <class T>
Integer split_sign(T value) {
    if (value < 0) return {true, std::uint64_t{0} - static_cast<std::uint64_t>(static_cast<std::int64_t>(value))};
    return {false, static_cast<std::uint64_t>(value)};
}

Integer load_integer(const Value& value) {
    switch (value.type) {
    case ValueType::u8: return {false, load<std::uint8_t>(value.data)};
    case ValueType::u16: return {false, load<std::uint16_t>(value.data)};
    case ValueType::u32: return {false, load<std::uint32_t>(value.data)};
    case ValueType::u64: return {false, load<std::uint64_t>(value.data)};
    case ValueType::i8: return split_sign(load<std::int8_t>(value.data));
    case ValueType::i16: return split_sign(load<std::int16_t>(value.data));
    case ValueType::i32: return split_sign(load<std::int32_t>(value.data));
    default: return split_sign(load<std::int64_t>(value.data));
    }
}

std::string_view load_string(const std::byte* data) {
    return {reinterpret_cast<const char*>(data) + 8, load<std::uint64_t>(data)};
}

std::string type_text(const Value& value) {
    if (value.type == ValueType::array) return fmt::format("array of {} {}", value.count, name(value.element));
    return std::string(name(value.type));
}

} // namespace

std::string_view name(ValueType type) {
    static constexpr std::string_view names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                 "bool", "string", "array", "u64", "i64", "f64"};
    const auto i = static_cast<std::uint32_t>(type);
    return i < std::size(names) ? names[i] : "?";
}

std::string printable(std::string_view text) {
    constexpr std::size_t longest = 80;
    std::string shown;
    for (const char c : text.substr(0, longest)) shown += c >= ' ' && c <= '~' ? c : '?';
    return text.size() > longest ? shown + "…" : shown;
}

std::string shape_text(std::span<const std::uint64_t> extents) {
    std::string text = "[";
    for (const std::uint64_t extent : extents) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", extent);
    return text + "]";
}

std::string shape_text(const Tensor& tensor) { return shape_text(std::span(tensor.ne).first(tensor.dimensions)); }

std::uint64_t File::size() const {
    std::uint64_t sum = 0;
    for (const MappedFile& part : parts_) sum += part.size();
    return sum;
}

const Value* File::find(std::string_view key) const {
    const auto it = values_.find(key);
    return it == values_.end() ? nullptr : &it->second;
}

const Tensor* File::tensor(std::string_view tensor_name) const {
    const auto it = tensor_index_.find(tensor_name);
    return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

Error File::key_error(std::string_view key, std::string_view message) const {
    if (const Value* value = find(key))
        return {fmt::format("{}: key '{}' (offset {}): {}", path(), printable(key), value->offset, message)};
    return {fmt::format("{}: key '{}': {}", path(), printable(key), message)};
}

template <class T>
Result<T> File::get(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return key_error(key, "is missing");
    const auto mismatch = [&](std::string_view expected) {
        return key_error(key, fmt::format("expected {}, found {}", expected, type_text(*value)));
    };
    if constexpr (std::same_as<T, bool>) {
        if (value->type != ValueType::boolean) return mismatch("bool");
        return load<std::uint8_t>(value->data) != 0;
    } else if constexpr (std::same_as<T, std::string_view>) {
        if (value->type != ValueType::string) return mismatch("string");
        return load_string(value->data);
    } else if constexpr (std::floating_point<T>) {
        if (value->type == ValueType::f32) return static_cast<T>(load<float>(value->data));
        if (value->type == ValueType::f64) return static_cast<T>(load<double>(value->data));
        return mismatch("f32");
    } else {
        if (!is_integer(value->type)) return mismatch("an integer");
        const Integer found = load_integer(*value);
        constexpr auto highest = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
        const std::uint64_t limit = found.negative ? (std::is_signed_v<T> ? highest + 1 : 0) : highest;
        if (found.magnitude > limit)
            return key_error(key,
                             fmt::format("expected an integer from {} to {}, found {}{}", std::numeric_limits<T>::min(),
                                         std::numeric_limits<T>::max(), found.negative ? "-" : "", found.magnitude));
        return static_cast<T>(found.negative ? std::uint64_t{0} - found.magnitude : found.magnitude);
    }
}

template Result<bool> File::get(std::string_view) const;
template Result<std::string_view> File::get(std::string_view) const;
template Result<float> File::get(std::string_view) const;
template Result<double> File::get(std::string_view) const;
template Result<std::uint8_t> File::get(std::string_view) const;
template Result<std::uint16_t> File::get(std::string_view) const;
template Result<std::uint32_t> File::get(std::string_view) const;
template Result<std::uint64_t> File::get(std::string_view) const;
template Result<std::int8_t> File::get(std::string_view) const;
template Result<std::int16_t> File::get(std::string_view) const;
template Result<std::int32_t> File::get(std::string_view) const;
template Result<std::int64_t> File::get(std::string_view) const;

Result<Value> File::typed_array(std::string_view key, ValueType element) const {
    const Value* value = find(key);
    if (!value) return key_error(key, "is missing");
    if (value->type != ValueType::array || value->element != element)
        return key_error(key, fmt::format("expected array of {}, found {}", name(element), type_text(*value)));
    return *value;
}

Result<std::vector<std::string_view>> File::get_strings(std::string_view key) const {
    const auto value = typed_array(key, ValueType::string);
    if (!value) return value.error();
    std::vector<std::string_view> strings;
    // The file was walked when it was opened, so `count` strings of at least 8 bytes each do lie in it.
    strings.reserve(value->count);
    const std::byte* at = value->data;
    for (std::uint64_t i = 0; i < value->count; i++) {
        strings.push_back(load_string(at));
        at += 8 + strings.back().size();
    }
    return strings;
}

} // namespace ptxgen::gguf
