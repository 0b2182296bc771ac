#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/cuda/abi.hpp"

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ptxgen::cuda {

/// One function of the driver; `pointer` is null where the driver lacks an optional one.
template <class Signature>
struct DriverFunction;

template <class... Parameters>
struct DriverFunction<abi::Code(Parameters...)> {
    const char* symbol;
    const char* disables; ///< what does not work without it; empty for a required function
    abi::Code (*pointer)(Parameters...) = nullptr;

    explicit operator bool() const { return pointer != nullptr; }
    /// The bare call, only for a function that is there.
    abi::Code operator()(Parameters... arguments) const { return pointer(arguments...); }
};

namespace abi {

/// All functions of symbols.inc, one member each.
struct Functions {
#define PTXGEN_CUDA_SYMBOL(member, symbol, need, disables, parameters)                                                 \
    DriverFunction<Code parameters> member{#symbol, disables};
#include "runtime/cuda/symbols.inc"
#undef PTXGEN_CUDA_SYMBOL
};

} // namespace abi

/// An argument of a driver call as error messages show it: addresses in hexadecimal, names quoted.
template <class T>
std::string describe_argument(T value) {
    if constexpr (std::is_same_v<T, const char*>)
        return value ? fmt::format("\"{}\"", value) : "null";
    else if constexpr (std::is_pointer_v<T>)
        return value ? fmt::format("{}", static_cast<const void*>(value)) : "null";
    else if constexpr (std::is_same_v<T, abi::DevicePtr>)
        return fmt::format("{:#x}", value);
    else if constexpr (std::is_enum_v<T>)
        return fmt::format("{}", static_cast<std::underlying_type_t<T>>(value));
    else
        return fmt::format("{}", value);
}

/// Whether `code` leaves its context unusable: every later call fails with it too.
bool is_sticky(abi::Code code);

/// The CUDA driver, opened at run time. Immutable once resolved, so one serves all threads.
struct Driver : abi::Functions {
    /// Address of an exported symbol, null if there is none.
    using Lookup = std::function<void*(const char* symbol)>;

    std::string library; ///< the file it was opened from, links resolved where possible
    int version = 0;     ///< of the newest CUDA release that it supports: 1000 × major + 10 × minor

    /// Resolves symbols.inc through `lookup`, initialises the driver and reads its version. Errors: a required
    /// symbol that is missing (the driver is too old), and what cuInit reports (no device).
    static Result<Driver> resolve(const Lookup& lookup, std::string library);
    /// Opens the shared library `path`, which stays open for the life of the process, and resolves it.
    static Result<Driver> open(const std::string& path);

    /// Calls `function`; an error has its name, description, call and arguments.
    template <class... Parameters, class... Arguments>
    Status call(const DriverFunction<abi::Code(Parameters...)>& function, Arguments... arguments) const {
        if (!function) return missing(function);
        const abi::Code code = function(static_cast<Parameters>(arguments)...);
        if (code == abi::Code::success) return {};
        return error(code, function, arguments...);
    }

    /// The error of a call that returned `code`.
    template <class... Parameters, class... Arguments>
    Error error(abi::Code code, const DriverFunction<abi::Code(Parameters...)>& function,
                Arguments... arguments) const {
        return describe(code, function.symbol, {describe_argument(static_cast<Parameters>(arguments))...});
    }

    /// The error of using an optional function that this driver lacks.
    template <class Signature>
    Error missing(const DriverFunction<Signature>& function) const {
        return missing(function.symbol, function.disables);
    }

    /// An error code with its name and description, after the call that returned it: its symbol and arguments.
    Error describe(abi::Code code, const char* symbol, const std::vector<std::string>& arguments) const;

    std::string version_text() const; ///< "13.0"

private:
    Error missing(const char* symbol, const char* disables) const;
};

/// The process's driver: libcuda.so.1, or the library named by the environment's PTXGEN_LIBCUDA, opened once by
/// the first call. The error says why CUDA cannot be used here.
Result<const Driver*> driver();

} // namespace ptxgen::cuda
