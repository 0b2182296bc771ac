#pragma once

#include "runtime/cuda/device.hpp"
#include "tests/runtime/cuda/fake/fake_libcuda.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <dlfcn.h>
#include <string>
#include <vector>

/// The fake driver in its initial state, without the named symbols.
class FakeDriver {
public:
    explicit FakeDriver(std::vector<std::string> missing = {})
        : handle_(dlopen(PTXGEN_FAKE_LIBCUDA, RTLD_NOW)), missing_(std::move(missing)) {
        REQUIRE(handle_);
        state_ = reinterpret_cast<FakeCuda* (*)()>(dlsym(handle_, "fake_cuda"))();
        *state_ = {};
    }
    FakeCuda* operator->() { return state_; }
    FakeCuda& state() { return *state_; }

    ptxgen::Result<ptxgen::cuda::Driver> resolve() const {
        return ptxgen::cuda::Driver::resolve(
            [this](const char* symbol) -> void* {
                if (std::find(missing_.begin(), missing_.end(), symbol) != missing_.end()) return nullptr;
                return dlsym(handle_, symbol);
            },
            "fake libcuda");
    }

private:
    void* handle_;
    std::vector<std::string> missing_;
    FakeCuda* state_;
};

/// A device on the fake driver; without a cache unless the options name its directory.
class FakeDevice : public FakeDriver {
public:
    explicit FakeDevice(ptxgen::runtime::CudaOptions options = {}, std::vector<std::string> missing = {})
        : FakeDriver(std::move(missing)), driver_(resolve()) {
        REQUIRE_MESSAGE(driver_, (driver_ ? "" : driver_.error().message));
        options.use_cache = !options.cache_directory.empty();
        options_ = std::move(options);
    }
    /// Made by the first use, so that the fake's state can be set before.
    ptxgen::cuda::CudaDevice& device() {
        if (!device_) {
            auto made = create();
            REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
            device_ = std::move(*made);
        }
        return *device_;
    }
    ptxgen::Result<std::unique_ptr<ptxgen::cuda::CudaDevice>> create() {
        return ptxgen::cuda::CudaDevice::create(*driver_, options_);
    }
    void close() { device_.reset(); }

private:
    ptxgen::Result<ptxgen::cuda::Driver> driver_;
    ptxgen::runtime::CudaOptions options_;
    std::unique_ptr<ptxgen::cuda::CudaDevice> device_;
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
