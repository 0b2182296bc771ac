#pragma once

#include "ptxgen/build/select.hpp"

#include <utility>

namespace ptxgen {

/// Asks an instruction with an optional predicate result for it too: the call returns a pair.
inline constexpr Modifier<"with_pred"> with_pred{};

/// The operands of one instruction have one value type.
template <class A, class B>
concept same_value_type = std::same_as<A, B>;

namespace detail {

/// An operand as the form wants it: an address, a vector, a plain register, an immediate of the form's type.
template <class A>
Operand to_operand(FunctionState& state, const A& arg, const OperandSpec& spec, Type type) {
    if constexpr (std::is_arithmetic_v<A>) {
        return state.immediate(type, arg);
    } else if constexpr (std::is_same_v<A, LabelRef>) {
        return Operand::label(arg.index());
    } else if constexpr (typed_value<A>) {
        Operand operand = arg.operand();
        if (spec.kind == OperandKind::address) {
            if (operand.kind == Operand::Kind::symbol)
                return Operand::address(operand.scope, operand.id, operand.value);
            return Operand::address(Register{operand.id}, operand.value);
        }
        if (operand.negated && spec.negatable) return operand;
        if (operand.kind == Operand::Kind::reg && !operand.negated && operand.value == 0) return operand;
        return state.materialise(operand, value_t<A>::type);
    } else {
        std::vector<Operand> elements;
        for (const auto& element : arg) elements.push_back(to_operand(state, element, OperandSpec{}, type));
        return Operand::vector(std::move(elements));
    }
}

template <class A>
struct element_value {
    using type = value_t<A>;
};
template <class X, std::size_t N>
struct element_value<std::array<X, N>> {
    using type = value_t<X>;
};

/// Value type of result `R`: the explicit one, the type of the argument it follows, or the form's.
template <const Selection& S, std::size_t R, class Result, class... Args>
constexpr auto result_type() {
    if constexpr (!std::is_void_v<Result> && R == 0)
        return std::type_identity<Result>{};
    else if constexpr (S.like_arg[R] >= 0)
        return std::type_identity<typename element_value<
            std::tuple_element_t<static_cast<std::size_t>(S.like_arg[R]), std::tuple<Args...>>>::type>{};
    else
        return std::type_identity<value_of_t<S.dest_type[R]>>{};
}

template <class T, unsigned Count, std::size_t... I>
auto make_result(FunctionState& state, const Operand& operand, std::index_sequence<I...>) {
    if constexpr (Count == 1)
        return Val<T>(state, operand, true);
    else
        return std::array<Val<T>, Count>{Val<T>(state, operand.elements[I], true)...};
}

inline Operand new_result(FunctionState& state, Type type, unsigned count) {
    if (count == 1) return Operand::reg(state.new_register(type));
    std::vector<Operand> elements;
    for (unsigned i = 0; i < count; i++) elements.push_back(Operand::reg(state.new_register(type)));
    return Operand::vector(std::move(elements));
}

template <Misfit M>
constexpr void explain() {
    static_assert(M != Misfit::operand_count, "ptxgen: this instruction takes another number of operands");
    static_assert(M != Misfit::operand_kind,
                  "ptxgen: an operand is of the wrong kind (value, pointer, predicate, label, "
                  "vector of another length)");
    static_assert(M != Misfit::modifier, "ptxgen: this instruction has no such modifier");
    static_assert(M != Misfit::missing_modifier,
                  "ptxgen: a required modifier is missing (a rounding mode, an order, a scope, a shape)");
    static_assert(M != Misfit::no_such_type, "ptxgen: this instruction does not exist for this type");
    static_assert(M != Misfit::mixed_types,
                  "ptxgen: the operands have different types; cvt<T>() converts, as<T>() reinterprets");
    static_assert(M != Misfit::pointee, "ptxgen: the pointer points to another type than the value has");
    static_assert(M != Misfit::const_pointee, "ptxgen: this instruction writes through a pointer to const");
    static_assert(M != Misfit::space, "ptxgen: the pointer is into a state space that this instruction does not take");
    static_assert(M != Misfit::combination, "ptxgen: these modifiers do not go together");
}

template <Op O, FixedString Word, class Result, class... Args>
struct Call {
    static constexpr std::array<ArgInfo, sizeof...(Args) + 1> infos{arg_info<Args>()...};
    static constexpr bool wants_pred = (std::is_same_v<std::remove_cvref_t<Args>, Modifier<"with_pred">> || ...);
    static constexpr Type explicit_type = [] {
        if constexpr (std::is_void_v<Result>)
            return Type::none;
        else
            return Result::type;
    }();
    static constexpr Selection selection =
        select(O, Word.view(), explicit_type, std::span(infos).first(sizeof...(Args)), wants_pred);
};

} // namespace detail

/// Emits the instruction `O` (with the expanded word of its method name) for these operands and modifiers.
/// `Result` names the result's type where the operands do not.
template <Op O, FixedString Word = "", class Result = void, class... Args>
auto emit(FunctionState& state, const Args&... args) {
    using Call = detail::Call<O, Word, Result, Args...>;
    constexpr const detail::Selection& s = Call::selection;
    detail::explain<s.misfit>();
    if constexpr (s.misfit == detail::Misfit::none) {
        const Form& form = table[s.row];
        std::vector<Operand> operands(form.operands.size());
        for (std::size_t o = 0; o < operands.size(); o++)
            if (form.operands[o].kind == OperandKind::sink) operands[o] = Operand::sink();
        std::size_t at = 0;
        const auto place = [&](const auto& arg) {
            const int spec_at = s.spec_of_arg[at++];
            if constexpr (detail::arg_info<decltype(arg)>().kind != detail::ArgKind::modifier) {
                const OperandSpec& spec = form.operands[static_cast<std::size_t>(spec_at)];
                operands[static_cast<std::size_t>(spec_at)] =
                    detail::to_operand(state, arg, spec, element_type(form, s.choices, spec));
            }
        };
        (place(args), ...);
        if constexpr (s.dest[0] < 0) {
            state.append(s.row, s.choices, std::move(operands));
        } else {
            using First = typename decltype(detail::result_type<Call::selection, 0, Result, Args...>())::type;
            const Operand first = detail::new_result(state, First::type, s.dest_count[0]);
            operands[static_cast<std::size_t>(s.dest[0])] = first;
            if constexpr (s.dest[1] < 0) {
                state.append(s.row, s.choices, std::move(operands));
                return detail::make_result<First, s.dest_count[0]>(state, first,
                                                                   std::make_index_sequence<s.dest_count[0]>{});
            } else {
                using Second = typename decltype(detail::result_type<Call::selection, 1, Result, Args...>())::type;
                const Operand second = detail::new_result(state, Second::type, s.dest_count[1]);
                operands[static_cast<std::size_t>(s.dest[1])] = second;
                state.append(s.row, s.choices, std::move(operands));
                return std::pair{detail::make_result<First, s.dest_count[0]>(
                                     state, first, std::make_index_sequence<s.dest_count[0]>{}),
                                 detail::make_result<Second, s.dest_count[1]>(
                                     state, second, std::make_index_sequence<s.dest_count[1]>{})};
            }
        }
    }
}

} // namespace ptxgen
