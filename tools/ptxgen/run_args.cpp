#include "tools/ptxgen/run_args.hpp"

#include "ptxgen/base/float16.hpp"
#include "tools/common/io.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <random>

namespace ptxgen::tools {
namespace {

constexpr std::uint64_t max_buffer_bytes = std::uint64_t{1} << 40;

/// Appends one element with this value; integers wrap to the type's width.
void append_integer(std::vector<std::byte>& bytes, Type type, std::int64_t value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), from, from + byte_size(type));
}

void append_real(std::vector<std::byte>& bytes, Type type, double value) {
    if (type == Type::f64) {
        const auto* from = reinterpret_cast<const std::byte*>(&value);
        bytes.insert(bytes.end(), from, from + 8);
        return;
    }
    const auto f = static_cast<float>(value);
    std::int64_t bits = 0;
    if (type == Type::f32)
        std::memcpy(&bits, &f, 4);
    else if (type == Type::f16)
        bits = f32_to_f16(f);
    else
        bits = f32_to_bf16(f);
    append_integer(bytes, type, bits);
}

template <class T>
std::optional<T> read_number(std::string_view text) {
    T value{};
    int base = 10;
    if constexpr (std::is_integral_v<T>)
        if (text.substr(0, 2) == "0x") {
            text.remove_prefix(2);
            base = 16;
        }
    std::from_chars_result result{};
    if constexpr (std::is_integral_v<T>)
        result = std::from_chars(text.data(), text.data() + text.size(), value, base);
    else
        result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{} || result.ptr != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
}

Error expected(const std::string& text, std::string_view what) {
    return {fmt::format("--arg '{}': expected {}", text, what)};
}

/// The scalar's bytes, with the range of the type.
Result<std::vector<std::byte>> scalar_bytes(const std::string& text, Type type, std::string_view value) {
    std::vector<std::byte> bytes;
    if (is_floating(type)) {
        const auto number = read_number<double>(value);
        if (!number) return expected(text, "a number behind '='");
        append_real(bytes, type, *number);
        return bytes;
    }
    const unsigned width = bit_width(type);
    const bool is_signed = type_class(type) == TypeClass::signed_integer;
    if (const auto number = read_number<std::int64_t>(value); number && (*number < 0 || is_signed)) {
        const std::int64_t high = width == 64 ? INT64_MAX : (std::int64_t{1} << (width - 1)) - 1;
        const std::int64_t low = is_signed || type_class(type) == TypeClass::bits ? -high - 1 : 0;
        if (*number < low || *number > high)
            return expected(text,
                            fmt::format("a value of {} from {} to {}, found {}", to_string(type), low, high, value));
        append_integer(bytes, type, *number);
        return bytes;
    }
    const auto number = read_number<std::uint64_t>(value);
    if (!number) return expected(text, "an integer behind '='");
    if (is_signed || (width < 64 && *number >> width != 0))
        return expected(text, fmt::format("a value that fits {}, found {}", to_string(type), value));
    append_integer(bytes, type, static_cast<std::int64_t>(*number));
    return bytes;
}

Result<std::vector<std::byte>> buffer_bytes(const std::string& text, Type type, std::uint64_t count,
                                            std::string_view how) {
    std::vector<std::byte> bytes;
    const bool real = is_floating(type);
    if (how == "zero") {
        bytes.resize(count * byte_size(type));
        return bytes;
    }
    if (how.substr(0, 1) == "@") {
        auto content = read_file(std::string(how.substr(1)));
        if (!content) return Error{fmt::format("--arg '{}': {}", text, content.error().message)};
        if (content->size() != count * byte_size(type))
            return expected(text, fmt::format("{} bytes in '{}', found {}", count * byte_size(type), how.substr(1),
                                              content->size()));
        bytes.resize(content->size());
        std::memcpy(bytes.data(), content->data(), content->size());
        return bytes;
    }
    bytes.reserve(count * byte_size(type));
    if (how == "iota") {
        for (std::uint64_t i = 0; i < count; i++) {
            if (real)
                append_real(bytes, type, static_cast<double>(i));
            else
                append_integer(bytes, type, static_cast<std::int64_t>(i));
        }
        return bytes;
    }
    if (how.substr(0, 7) == "random:") {
        const auto seed = read_number<std::uint64_t>(how.substr(7));
        if (!seed) return expected(text, "a seed behind 'random:'");
        std::mt19937_64 random(*seed);
        for (std::uint64_t i = 0; i < count; i++) {
            const std::uint64_t draw = random();
            if (real)
                append_real(bytes, type, static_cast<double>(draw >> 40) * 0x1p-23 - 1.0);
            else
                append_integer(bytes, type, static_cast<std::int64_t>(draw));
        }
        return bytes;
    }
    return expected(text, "zero, iota, random:SEED or @FILE behind '='");
}

} // namespace

Result<RunArg> parse_run_arg(const std::string& text) {
    RunArg arg;
    arg.text = text;
    const auto equals = text.find('=');
    if (equals == std::string::npos) return expected(text, "TYPE=VALUE or TYPE[COUNT]=CONTENT");
    std::string_view kind = std::string_view(text).substr(0, equals), value = std::string_view(text).substr(equals + 1);
    std::optional<std::uint64_t> count;
    if (const auto bracket = kind.find('['); bracket != std::string_view::npos) {
        if (kind.back() != ']' ||
            !(count = read_number<std::uint64_t>(kind.substr(bracket + 1, kind.size() - bracket - 2))))
            return expected(text, "a number of elements in brackets, as in f32[1024]");
        kind = kind.substr(0, bracket);
    }
    const auto type = parse_type(kind);
    if (!type || *type == Type::pred || bit_width(*type) < 8 || bit_width(*type) > 64)
        return expected(text, fmt::format("a type such as u32, s64, f32, f16 or b8, found '{}'", kind));
    arg.type = *type;
    if (!count) {
        auto bytes = scalar_bytes(text, *type, value);
        if (!bytes) return std::move(bytes).error();
        arg.bytes = std::move(*bytes);
        return arg;
    }
    arg.is_buffer = true;
    if (*count == 0 || *count > max_buffer_bytes / byte_size(*type))
        return expected(text, "at least one element and no more than a terabyte");
    if (const auto save = value.find('>'); save != std::string_view::npos) {
        arg.save_to = value.substr(save + 1);
        value = value.substr(0, save);
        if (arg.save_to.empty()) return expected(text, "a file name or '-' behind '>'");
    }
    auto bytes = buffer_bytes(text, *type, *count, value);
    if (!bytes) return std::move(bytes).error();
    arg.bytes = std::move(*bytes);
    return arg;
}

Status match_parameters(const Function& kernel, const std::vector<RunArg>& args) {
    if (args.size() != kernel.parameters.size()) {
        std::string names;
        for (const auto& p : kernel.parameters)
            names +=
                fmt::format("{}{} {}", names.empty() ? "" : ", ", p.pointer ? "pointer" : to_string(p.type), p.name);
        return Error{fmt::format("kernel '{}' takes {} arguments ({}), found {} --arg", kernel.name,
                                 kernel.parameters.size(), names, args.size())};
    }
    for (std::size_t i = 0; i < args.size(); i++) {
        const auto& p = kernel.parameters[i];
        const auto size = args[i].is_buffer ? 8 : args[i].bytes.size();
        if (p.byte_size() != size)
            return Error{
                fmt::format("--arg '{}': parameter {} '{}' of kernel '{}' is a .{} of {} bytes, this is {} of {}",
                            args[i].text, i, p.name, kernel.name, to_string(p.type), p.byte_size(),
                            args[i].is_buffer ? "a buffer address" : "a scalar", size)};
    }
    return {};
}

std::string format_elements(Type type, const std::vector<std::byte>& bytes) {
    std::string text;
    const unsigned size = byte_size(type);
    for (std::size_t at = 0; at + size <= bytes.size(); at += size) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, bytes.data() + at, size);
        if (at > 0) text += ' ';
        switch (type) {
        case Type::f32: text += fmt::format("{}", std::bit_cast<float>(static_cast<std::uint32_t>(bits))); break;
        case Type::f64: text += fmt::format("{}", std::bit_cast<double>(bits)); break;
        case Type::f16: text += fmt::format("{}", f16_to_f32(static_cast<std::uint16_t>(bits))); break;
        case Type::bf16: text += fmt::format("{}", bf16_to_f32(static_cast<std::uint16_t>(bits))); break;
        default:
            if (type_class(type) == TypeClass::signed_integer) {
                const unsigned shift = 64 - 8 * size;
                text += fmt::format("{}", static_cast<std::int64_t>(bits << shift) >> shift);
            } else {
                text += fmt::format("{}", bits);
            }
        }
    }
    return text;
}

} // namespace ptxgen::tools
