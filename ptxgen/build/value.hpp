#pragma once

#include "ptxgen/build/function_state.hpp"
#include "ptxgen/build/value_types.hpp"

#include <array>
#include <concepts>
#include <utility>

namespace ptxgen {

template <value_type T>
class Var;

/// An immutable value of a kernel under construction: a register, an immediate or a special register.
/// Copies are cheap and mean the same value.
template <value_type T>
class Val {
public:
    using value = T;

    Val(FunctionState& state, Operand operand, bool fresh = false)
        : state_(&state), operand_(std::move(operand)), fresh_(fresh) {}
    Val(const Val& other) : state_(other.state_), operand_(other.operand_), fresh_(false) { other.fresh_ = false; }
    Val(Val&& other) noexcept = default;
    /// A snapshot: the variable may change afterwards.
    Val(const Var<T>& var); // NOLINT(google-explicit-constructor): reading a Var into a Val is the point
    // Rebinding would let a loop read a stale register; a value that changes is a Var.
    Val& operator=(const Val&) = delete;
    Val& operator=(Val&&) = delete;

    FunctionState& state() const { return *state_; }
    const Operand& operand() const { return operand_; }
    bool fresh() const { return fresh_; }

    /// The same bits seen as another type of the same width; emits nothing.
    template <value_type U>
    Val<U> as() const {
        static_assert(register_type(U::type) == register_type(T::type), "as<U>() keeps the width of the register");
        fresh_ = false;
        return {*state_, operand_};
    }
    /// `!p`: emits nothing, the use is negated.
    Val operator!() const requires std::same_as<T, pred> {
        Operand negated = operand_;
        negated.negated = !negated.negated;
        return {*state_, std::move(negated)};
    }
    explicit operator bool() const = delete; // a condition of the kernel is not one of this program: use if_

private:
    FunctionState* state_;
    Operand operand_;
    mutable bool fresh_; // the result of the last instruction, and nobody else holds it
};

using Pred = Val<pred>;

/// A register that is assigned. Not copyable: `=` and `op=` emit.
template <value_type T>
class Var {
public:
    using value = T;

    Var(FunctionState& state, Register reg) : state_(&state), reg_(reg) {}
    Var(Var&&) noexcept = default;
    Var(const Var&) = delete;

    Var& operator=(const Var& from) { return assign(Val<T>(*state_, from.operand())); }
    Var& operator=(const Val<T>& from) { return assign(from); }
    /// The instruction that just computed `from` writes this register instead of a new one.
    Var& operator=(Val<T>&& from) {
        if (!from.fresh() || !state_->retarget_last(from.operand(), reg_)) assign(from);
        return *this;
    }
    template <class N>
    requires std::is_arithmetic_v<N> Var& operator=(N immediate) {
        state_->move(reg_, state_->immediate(T::type, immediate), T::type);
        return *this;
    }

    FunctionState& state() const { return *state_; }
    Operand operand() const { return Operand::reg(reg_); }
    Register reg() const { return reg_; }
    explicit operator bool() const = delete;

private:
    Var& assign(const Val<T>& from) {
        state_->move(reg_, from.operand(), T::type);
        return *this;
    }
    FunctionState* state_;
    Register reg_;
};

template <value_type T>
Val<T>::Val(const Var<T>& var)
    : state_(&var.state()), operand_(var.state().copy(var.operand(), T::type)), fresh_(false) {}

/// A special register such as k.tid.x; read once, at the start of the kernel.
template <value_type T>
class Special {
public:
    using value = T;
    Special(FunctionState& state, std::string_view name) : state_(&state), name_(name) {}
    FunctionState& state() const { return *state_; }
    Operand operand() const { return state_->special(name_); }
    operator Val<T>() const { return {*state_, operand()}; } // NOLINT(google-explicit-constructor)

private:
    FunctionState* state_;
    std::string_view name_;
};

/// A branch target.
class LabelRef {
public:
    explicit LabelRef(std::uint32_t index) : index_(index) {}
    std::uint32_t index() const { return index_; }

private:
    std::uint32_t index_;
};

template <class A>
inline constexpr bool is_value = false;
template <class T>
inline constexpr bool is_value<Val<T>> = true;
template <class T>
inline constexpr bool is_value<Var<T>> = true;
template <class T>
inline constexpr bool is_value<Special<T>> = true;

/// Something that can be an operand with a type: Val, Var or a special register.
template <class A>
concept typed_value = is_value<std::remove_cvref_t<A>>;
/// A C++ number, which becomes an immediate of the other operand's type.
template <class A>
concept immediate_value = std::is_arithmetic_v<std::remove_cvref_t<A>> && !std::same_as<std::remove_cvref_t<A>, bool>;

template <class A>
using value_t = typename std::remove_cvref_t<A>::value;

} // namespace ptxgen
