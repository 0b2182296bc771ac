#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace ptxgen {

/// What went wrong, in one line that a user can act on: what was expected, what was found, what to do.
struct Error {
    std::string message;
};

/// A value or an Error. `value()` on an error, or `error()` on a value, is a programming mistake (asserted).
template <class T, class E = Error>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & { return assert(ok()), *std::get_if<0>(&state_); }
    const T& value() const& { return assert(ok()), *std::get_if<0>(&state_); }
    T&& value() && { return assert(ok()), std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const E& error() const& { return assert(!ok()), *std::get_if<1>(&state_); }
    E&& error() && { return assert(!ok()), std::move(*std::get_if<1>(&state_)); }

private:
    std::variant<T, E> state_;
};

/// The result of an operation without a value.
template <class E>
class [[nodiscard]] Result<void, E> {
public:
    Result() = default;
    Result(E error) : failed_(true), error_(std::move(error)) {}

    bool ok() const { return !failed_; }
    explicit operator bool() const { return ok(); }
    const E& error() const& { return assert(failed_), error_; }
    E&& error() && { return assert(failed_), std::move(error_); }

private:
    bool failed_ = false;
    E error_{};
};

using Status = Result<void>;

} // namespace ptxgen
