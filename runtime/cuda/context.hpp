#pragma once

#include "runtime/cuda/driver.hpp"

#include <memory>

namespace ptxgen::cuda {

/// A CUDA context: the device's primary one, retained for the life of this object, or an embedding program's own,
/// which is used and never changed. Everything made in a context shares it, so it outlives them all.
class Context {
public:
    static Result<std::shared_ptr<Context>> retain_primary(const Driver& driver, int ordinal);
    static Result<std::shared_ptr<Context>> borrow(const Driver& driver, abi::Context handle);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    const Driver& driver() const { return driver_; }
    abi::Device device() const { return device_; }
    abi::Context handle() const { return handle_; }

private:
    Context(const Driver& driver, abi::Device device, abi::Context handle, bool retained)
        : driver_(driver), device_(device), handle_(handle), retained_(retained) {}

    const Driver& driver_;
    abi::Device device_;
    abi::Context handle_;
    bool retained_;
};

using ContextPtr = std::shared_ptr<Context>;

/// Makes a context the calling thread's current one for its lifetime; the thread's former one is current again after.
class Current {
public:
    explicit Current(const Context& context) : Current(context.driver(), context.handle()) {}
    Current(const Driver& driver, abi::Context handle);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

    const Status& status() const { return status_; }

private:
    const Driver& driver_;
    bool pushed_ = false;
    Status status_;
};

/// Lets the calling thread allocate and load for its lifetime although one of its streams is being captured.
class RelaxedCapture {
public:
    explicit RelaxedCapture(const Driver& driver);
    ~RelaxedCapture();
    RelaxedCapture(const RelaxedCapture&) = delete;
    RelaxedCapture& operator=(const RelaxedCapture&) = delete;

private:
    const Driver& driver_;
    abi::CaptureMode mode_ = abi::CaptureMode::relaxed;
    bool exchanged_ = false;
};

/// Calls a driver function in `context`.
template <class Function, class... Arguments>
Status call_in(const Context& context, const Function& function, Arguments... arguments) {
    const Current current(context);
    if (!current.status()) return current.status();
    return context.driver().call(function, arguments...);
}

} // namespace ptxgen::cuda
