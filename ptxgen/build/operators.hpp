#pragma once

#include "ptxgen/build/emit.hpp"

namespace ptxgen {

// Operators on values emit one instruction each. Both sides have one type; a C++ number takes the other side's.

namespace detail {

template <class A, class B>
concept value_operands = (typed_value<A> && (typed_value<B> || immediate_value<B>)) ||
                         (immediate_value<A> && typed_value<B>);

template <class A, class B>
constexpr void check_same() {
    if constexpr (typed_value<A> && typed_value<B>)
        static_assert(
            same_value_type<value_t<A>, value_t<B>>,
            "ptxgen: the two sides of an operator have different types; cvt<T>() converts, as<T>() reinterprets");
}

template <class A, class B>
FunctionState& state_of(const A& a, const B& b) {
    if constexpr (typed_value<A>)
        return a.state();
    else
        return b.state();
}

template <class A, class B>
struct side {
    using type = B;
};
template <typed_value A, class B>
struct side<A, B> {
    using type = A;
};
template <class A, class B>
using side_value_t = value_t<typename side<A, B>::type>;

template <class A, class B>
inline constexpr bool on_pointer = [] {
    if constexpr (typed_value<A>)
        if constexpr (pointer_type<value_t<A>>) return true;
    if constexpr (typed_value<B>)
        if constexpr (pointer_type<value_t<B>>) return true;
    return false;
}();

/// `pointer + index` elements. A C++ number moves the offset of the address and emits nothing.
template <class P, class I>
Val<P> advance(FunctionState& state, const Operand& pointer, const I& index) {
    constexpr auto size = static_cast<std::int64_t>(byte_size(P::element::type));
    if constexpr (immediate_value<I>) {
        Operand moved = pointer;
        moved.value += static_cast<std::int64_t>(index) * size;
        return {state, std::move(moved)};
    } else {
        using T = value_t<I>;
        static_assert(std::same_as<T, u32> || std::same_as<T, s32> || std::same_as<T, u64> || std::same_as<T, s64>,
                      "ptxgen: a pointer moves by an integer of 32 or 64 bits");
        // The constant part of the address stays in the address operand.
        Operand base = pointer;
        const std::int64_t offset = std::exchange(base.value, 0);
        base = state.materialise(base, P::type);
        const Val<P> from(state, base);
        const auto result = [&] {
            if constexpr (bit_width(P::type) == 32) {
                static_assert(bit_width(T::type) == 32, "ptxgen: a shared address moves by a 32-bit integer");
                return emit<Op::mad, "lo">(state, Val<u32>(state, index.operand()), static_cast<std::uint32_t>(size),
                                           from.template as<u32>());
            } else if constexpr (bit_width(T::type) == 32) {
                return emit<Op::mad, "wide", value_of_t<doubled(T::type)>>(
                    state, index, static_cast<std::int32_t>(size), from.template as<value_of_t<doubled(T::type)>>());
            } else {
                return emit<Op::mad, "lo">(state, index, size, from.template as<T>());
            }
        }();
        Operand moved = result.operand();
        moved.value = offset;
        return {state, std::move(moved), offset == 0};
    }
}

} // namespace detail

#define PTXGEN_BINARY_OPERATOR(symbol, ...)                                                                            \
    template <class A, class B>                                                                                        \
    requires detail::value_operands<A, B> &&(!detail::on_pointer<A, B>)auto operator symbol(const A& a, const B& b) {  \
        detail::check_same<A, B>();                                                                                    \
        using T [[maybe_unused]] = detail::side_value_t<A, B>;                                                         \
        FunctionState& state = detail::state_of(a, b);                                                                 \
        __VA_ARGS__                                                                                                    \
    }

PTXGEN_BINARY_OPERATOR(+, return emit<Op::add, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(-, return emit<Op::sub, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(*, if constexpr (is_integer(T::type)) return emit<Op::mul, "lo", T>(state, a, b);
                       else return emit<Op::mul, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(/, return emit<Op::div, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(%, return emit<Op::rem, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(&, return emit<Op::and_, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(|, return emit<Op::or_, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(^, return emit<Op::xor_, "", T>(state, a, b);)
PTXGEN_BINARY_OPERATOR(==, return emit<Op::setp, "eq">(state, a, b);)
PTXGEN_BINARY_OPERATOR(!=, if constexpr (is_floating(T::type)) return emit<Op::setp, "neu">(state, a, b);
                       else return emit<Op::setp, "ne">(state, a, b);)
PTXGEN_BINARY_OPERATOR(<, return emit<Op::setp, "lt">(state, a, b);)
PTXGEN_BINARY_OPERATOR(<=, return emit<Op::setp, "le">(state, a, b);)
PTXGEN_BINARY_OPERATOR(>, return emit<Op::setp, "gt">(state, a, b);)
PTXGEN_BINARY_OPERATOR(>=, return emit<Op::setp, "ge">(state, a, b);)
#undef PTXGEN_BINARY_OPERATOR

/// Shifts: the count is a u32; `>>` of a signed type copies the sign. Counts of at least the width give 0 or the sign.
template <typed_value A, class B>
requires(typed_value<B> || immediate_value<B>) auto operator<<(const A& a, const B& count) {
    return emit<Op::shl, "", value_t<A>>(a.state(), a, count);
}
template <typed_value A, class B>
requires(typed_value<B> || immediate_value<B>) auto operator>>(const A& a, const B& count) {
    return emit<Op::shr, "", value_t<A>>(a.state(), a, count);
}

template <typed_value A>
auto operator-(const A& a) {
    return emit<Op::neg, "", value_t<A>>(a.state(), a);
}
template <typed_value A>
auto operator~(const A& a) {
    return emit<Op::not_, "", value_t<A>>(a.state(), a);
}

/// Pointer arithmetic counts elements.
template <typed_value A, class B>
requires(pointer_type<value_t<A>> && (typed_value<B> || immediate_value<B>)) auto operator+(const A& pointer,
                                                                                            const B& index) {
    return detail::advance<value_t<A>>(pointer.state(), pointer.operand(), index);
}
template <typed_value A, immediate_value B>
requires pointer_type<value_t<A>>
auto operator-(const A& pointer, const B& index) {
    return detail::advance<value_t<A>>(pointer.state(), pointer.operand(), -static_cast<std::int64_t>(index));
}

#define PTXGEN_COMPOUND_OPERATOR(symbol)                                                                               \
    template <value_type T, class B>                                                                                   \
    requires(typed_value<B> || immediate_value<B>) Var<T>                                                              \
    &operator symbol##=(Var<T>& var, const B& b) {                                                                     \
        if constexpr (pointer_type<T>) {                                                                               \
            Val<T> moved = var symbol b;                                                                               \
            if (moved.operand().value != 0 || !moved.fresh())                                                          \
                var.state().assign_sum(var.reg(), moved.operand(), T::type);                                           \
            else                                                                                                       \
                var = std::move(moved);                                                                                \
        } else {                                                                                                       \
            var = var symbol b;                                                                                        \
        }                                                                                                              \
        return var;                                                                                                    \
    }
PTXGEN_COMPOUND_OPERATOR(+)
PTXGEN_COMPOUND_OPERATOR(-)
PTXGEN_COMPOUND_OPERATOR(*)
PTXGEN_COMPOUND_OPERATOR(/)
PTXGEN_COMPOUND_OPERATOR(%)
PTXGEN_COMPOUND_OPERATOR(&)
PTXGEN_COMPOUND_OPERATOR(|)
PTXGEN_COMPOUND_OPERATOR(^)
PTXGEN_COMPOUND_OPERATOR(<<)
PTXGEN_COMPOUND_OPERATOR(>>)
#undef PTXGEN_COMPOUND_OPERATOR

} // namespace ptxgen
