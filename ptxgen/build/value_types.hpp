#pragma once

#include "ptxgen/isa/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace ptxgen {

// The types of values in built code. They exist at compile time only; registers carry a width.
#define PTXGEN_VALUE_TYPE(name)                                                                                        \
    struct name {                                                                                                      \
        static constexpr Type type = Type::name;                                                                       \
    };
PTXGEN_VALUE_TYPE(pred)
PTXGEN_VALUE_TYPE(b8)
PTXGEN_VALUE_TYPE(b16)
PTXGEN_VALUE_TYPE(b32)
PTXGEN_VALUE_TYPE(b64)
PTXGEN_VALUE_TYPE(b128)
PTXGEN_VALUE_TYPE(u8)
PTXGEN_VALUE_TYPE(u16)
PTXGEN_VALUE_TYPE(u32)
PTXGEN_VALUE_TYPE(u64)
PTXGEN_VALUE_TYPE(s8)
PTXGEN_VALUE_TYPE(s16)
PTXGEN_VALUE_TYPE(s32)
PTXGEN_VALUE_TYPE(s64)
PTXGEN_VALUE_TYPE(f16)
PTXGEN_VALUE_TYPE(f16x2)
PTXGEN_VALUE_TYPE(bf16)
PTXGEN_VALUE_TYPE(bf16x2)
PTXGEN_VALUE_TYPE(tf32)
PTXGEN_VALUE_TYPE(f32)
PTXGEN_VALUE_TYPE(f64)
PTXGEN_VALUE_TYPE(f32x2)
PTXGEN_VALUE_TYPE(u16x2)
PTXGEN_VALUE_TYPE(s16x2)
PTXGEN_VALUE_TYPE(e4m3)
PTXGEN_VALUE_TYPE(e5m2)
PTXGEN_VALUE_TYPE(e4m3x2)
PTXGEN_VALUE_TYPE(e5m2x2)
#undef PTXGEN_VALUE_TYPE

/// A pointer into one state space. Shared addresses are 32 bits wide, all others 64.
template <class T, Space S>
struct ptr {
    using element = std::remove_const_t<T>;
    static constexpr bool is_const = std::is_const_v<T>;
    static constexpr Space space = S;
    static constexpr Type type = S == Space::shared || S == Space::shared_cluster ? Type::u32 : Type::u64;
};
template <class T>
using global_ptr = ptr<T, Space::global>;
template <class T>
using generic_ptr = ptr<T, Space::generic>;
template <class T>
using shared_ptr = ptr<T, Space::shared>;
template <class T>
using cluster_ptr = ptr<T, Space::shared_cluster>;
template <class T>
using local_ptr = ptr<T, Space::local>;
template <class T>
using const_ptr = ptr<T, Space::constant>;

template <class T>
inline constexpr bool is_pointer_type = false;
template <class T, Space S>
inline constexpr bool is_pointer_type<ptr<T, S>> = true;

/// A PTX value type: u32, f16x2, global_ptr<f32>, …
template <class T>
concept value_type = requires {
    T::type;
}
&&std::is_same_v<std::remove_cv_t<decltype(T::type)>, Type>;
template <class T>
concept pointer_type = is_pointer_type<T>;

/// The width of the register that holds a value; 8-bit values live in 16-bit registers.
constexpr Type register_type(Type type) {
    return type == Type::pred ? Type::pred : bits_type(std::max(16u, bit_width(type)));
}

// clang-format off
template <Type> struct value_of;
#define PTXGEN_VALUE_OF(name) template <> struct value_of<Type::name> { using type = name; };
PTXGEN_VALUE_OF(pred) PTXGEN_VALUE_OF(b8) PTXGEN_VALUE_OF(b16) PTXGEN_VALUE_OF(b32) PTXGEN_VALUE_OF(b64)
PTXGEN_VALUE_OF(b128) PTXGEN_VALUE_OF(u8) PTXGEN_VALUE_OF(u16) PTXGEN_VALUE_OF(u32) PTXGEN_VALUE_OF(u64)
PTXGEN_VALUE_OF(s8) PTXGEN_VALUE_OF(s16) PTXGEN_VALUE_OF(s32) PTXGEN_VALUE_OF(s64) PTXGEN_VALUE_OF(f16)
PTXGEN_VALUE_OF(f16x2) PTXGEN_VALUE_OF(bf16) PTXGEN_VALUE_OF(bf16x2) PTXGEN_VALUE_OF(tf32) PTXGEN_VALUE_OF(f32)
PTXGEN_VALUE_OF(f64) PTXGEN_VALUE_OF(f32x2) PTXGEN_VALUE_OF(u16x2) PTXGEN_VALUE_OF(s16x2) PTXGEN_VALUE_OF(e4m3)
PTXGEN_VALUE_OF(e5m2) PTXGEN_VALUE_OF(e4m3x2) PTXGEN_VALUE_OF(e5m2x2)
#undef PTXGEN_VALUE_OF
    // clang-format on
    /// The value type of a run-time type: value_of_t<Type::u32> is u32.
    template <Type T>
    using value_of_t = typename value_of<T>::type;

/// Text as a template argument.
template <std::size_t N>
struct FixedString {
    char text[N]{};
    constexpr FixedString(const char (&from)[N]) { std::copy_n(from, N, text); } // NOLINT: literals convert
    constexpr std::string_view view() const { return {text, N - 1}; }
};

/// An instruction modifier as an argument: `relaxed`, `gpu`, `v4`.
template <FixedString Text>
struct Modifier {
    static constexpr std::string_view text = Text.view();
};

} // namespace ptxgen
