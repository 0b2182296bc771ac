#include "runtime/cuda/context.hpp"

namespace ptxgen::cuda {

Result<ContextPtr> Context::retain_primary(const Driver& driver, int ordinal) {
    int count = 0;
    if (auto status = driver.call(driver.device_get_count, &count); !status) return status.error();
    if (count == 0) return Error{"the NVIDIA driver finds no GPU"};
    if (ordinal < 0 || ordinal >= count)
        return Error{count == 1 ? fmt::format("no GPU {}: there is one, number 0", ordinal)
                                : fmt::format("no GPU {}: there are {}, numbers 0 to {}", ordinal, count, count - 1)};
    abi::Device device = 0;
    abi::Context handle = nullptr;
    if (auto status = driver.call(driver.device_get, &device, ordinal); !status) return status.error();
    if (auto status = driver.call(driver.primary_ctx_retain, &handle, device); !status) return status.error();
    return ContextPtr(new Context(driver, device, handle, true));
}

Result<ContextPtr> Context::borrow(const Driver& driver, abi::Context handle) {
    const Current current(driver, handle);
    if (!current.status()) return current.status().error();
    abi::Device device = 0;
    if (auto status = driver.call(driver.ctx_get_device, &device); !status) return status.error();
    return ContextPtr(new Context(driver, device, handle, false));
}

Context::~Context() {
    if (retained_) (void)driver_.primary_ctx_release(device_);
}

Current::Current(const Driver& driver, abi::Context handle) : driver_(driver) {
    abi::Context now = nullptr;
    status_ = driver.call(driver.ctx_get_current, &now);
    if (!status_ || now == handle) return;
    status_ = driver.call(driver.ctx_push_current, handle);
    pushed_ = status_.ok();
}

Current::~Current() {
    abi::Context popped = nullptr;
    if (pushed_) (void)driver_.ctx_pop_current(&popped);
}

RelaxedCapture::RelaxedCapture(const Driver& driver) : driver_(driver) {
    if (driver.thread_exchange_capture_mode)
        exchanged_ = driver.thread_exchange_capture_mode(&mode_) == abi::Code::success;
}

RelaxedCapture::~RelaxedCapture() {
    if (exchanged_) (void)driver_.thread_exchange_capture_mode(&mode_);
}

} // namespace ptxgen::cuda
