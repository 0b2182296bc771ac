#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ptxgen {

/// Fundamental and packed types of PTX (PTX ISA 5.2), as they appear in instructions and declarations.
enum class Type : std::uint8_t {
    none,
    pred,
    b8,
    b16,
    b32,
    b64,
    b128,
    u8,
    u16,
    u32,
    u64,
    s8,
    s16,
    s32,
    s64,
    f16,
    f16x2,
    bf16,
    bf16x2,
    tf32,
    f32,
    f64,
    f32x2,
    u16x2,
    s16x2,
    e4m3,
    e5m2,
    e4m3x2,
    e5m2x2,
};

/// What a value of a type is made of: decides which types may meet in one operand.
enum class TypeClass : std::uint8_t { none, predicate, bits, unsigned_integer, signed_integer, floating };

constexpr unsigned bit_width(Type type) {
    switch (type) {
    case Type::none: return 0;
    case Type::pred: return 1;
    case Type::b8:
    case Type::u8:
    case Type::s8:
    case Type::e4m3:
    case Type::e5m2: return 8;
    case Type::b16:
    case Type::u16:
    case Type::s16:
    case Type::f16:
    case Type::bf16:
    case Type::e4m3x2:
    case Type::e5m2x2: return 16;
    case Type::b32:
    case Type::u32:
    case Type::s32:
    case Type::f32:
    case Type::f16x2:
    case Type::bf16x2:
    case Type::tf32:
    case Type::u16x2:
    case Type::s16x2: return 32;
    case Type::b64:
    case Type::u64:
    case Type::s64:
    case Type::f64:
    case Type::f32x2: return 64;
    case Type::b128: return 128;
    }
    return 0;
}

constexpr unsigned byte_size(Type type) { return (bit_width(type) + 7) / 8; }

constexpr TypeClass type_class(Type type) {
    switch (type) {
    case Type::none: return TypeClass::none;
    case Type::pred: return TypeClass::predicate;
    case Type::u8:
    case Type::u16:
    case Type::u32:
    case Type::u64:
    case Type::u16x2: return TypeClass::unsigned_integer;
    case Type::s8:
    case Type::s16:
    case Type::s32:
    case Type::s64:
    case Type::s16x2: return TypeClass::signed_integer;
    case Type::f16:
    case Type::bf16:
    case Type::f32:
    case Type::f64: return TypeClass::floating;
    default: return TypeClass::bits; // packed and alternate formats live in bit registers
    }
}

constexpr bool is_integer(Type type) {
    return type_class(type) == TypeClass::unsigned_integer || type_class(type) == TypeClass::signed_integer;
}
constexpr bool is_floating(Type type) { return type_class(type) == TypeClass::floating; }

/// The bit type of a width (`b32` of 32), `pred` of 1.
constexpr Type bits_type(unsigned width) {
    switch (width) {
    case 1: return Type::pred;
    case 8: return Type::b8;
    case 16: return Type::b16;
    case 32: return Type::b32;
    case 64: return Type::b64;
    case 128: return Type::b128;
    }
    return Type::none;
}

/// The type of twice the width (`u64` of `u32`), `none` where there is none: results of `mul.wide`.
constexpr Type doubled(Type type) {
    switch (type) {
    case Type::u8: return Type::u16;
    case Type::u16: return Type::u32;
    case Type::u32: return Type::u64;
    case Type::s8: return Type::s16;
    case Type::s16: return Type::s32;
    case Type::s32: return Type::s64;
    case Type::b8: return Type::b16;
    case Type::b16: return Type::b32;
    case Type::b32: return Type::b64;
    case Type::b64: return Type::b128;
    default: return Type::none;
    }
}

/// The name in PTX without the dot: "f16x2".
std::string_view to_string(Type type);
std::optional<Type> parse_type(std::string_view name);

/// State spaces (PTX ISA 5.1). `generic` is the absence of a space on a memory instruction.
enum class Space : std::uint8_t { generic, global, shared, shared_cluster, local, constant, param };

std::string_view to_string(Space space); ///< "global", "shared", "shared::cluster", "const", …; "" for generic
std::optional<Space> parse_space(std::string_view word); ///< accepts `shared::cta` and `param::entry` too

} // namespace ptxgen
