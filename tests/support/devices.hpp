#pragma once

#include "kernels/generated.hpp"
#include "runtime/device.hpp"

#include <doctest/doctest.h>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ptxgen::test {

/// A device that kernel tests run on: transfers and launches that fail the running test where they fail.
class TestDevice {
public:
    TestDevice(std::string name, std::unique_ptr<runtime::Device> device)
        : name_(std::move(name)), device_(std::move(device)) {}

    const std::string& name() const { return name_; }
    runtime::Device& device() { return *device_; }

    /// `count` elements whose content nobody has written.
    template <class T>
    runtime::Buffer allocate(std::size_t count) {
        auto buffer = device_->allocate(count * sizeof(T));
        if (!buffer) FAIL(buffer.error().message);
        return std::move(*buffer);
    }
    template <class T>
    runtime::Buffer upload(const std::vector<T>& values) {
        runtime::Buffer buffer = allocate<T>(values.size());
        check(device_->stream().copy_to_device(buffer.address(), values.data(), values.size() * sizeof(T)));
        return buffer;
    }
    template <class T>
    std::vector<T> download(const runtime::Buffer& buffer, std::size_t count) {
        std::vector<T> values(count);
        check(device_->stream().copy_to_host(values.data(), buffer.address(), count * sizeof(T)));
        check(device_->stream().synchronize());
        return values;
    }
    /// Prints, loads and runs a kernel, and waits for it.
    void launch(const Result<kernels::Generated>& generated, const kernels::Grid& grid,
                std::initializer_list<runtime::KernelArg> args) {
        launch(generated, grid, std::span(args.begin(), args.size()));
    }
    void launch(const Result<kernels::Generated>& generated, const kernels::Grid& grid,
                std::span<const runtime::KernelArg> args) {
        if (!generated) FAIL(generated.error().message);
        const auto text = print(generated->module);
        if (!text) FAIL(text.error().message);
        auto module = device_->load(*text);
        if (!module) FAIL(module.error().message);
        auto kernel = (*module)->kernel(generated->name());
        if (!kernel) FAIL(kernel.error().message);
        const auto& shape = generated->launch;
        runtime::LaunchConfig config;
        config.grid = {grid.x, grid.y, grid.z};
        config.block = {shape.block_x, shape.block_y, shape.block_z};
        config.shared_bytes = shape.dynamic_shared_bytes;
        config.cooperative = shape.cooperative;
        check(device_->stream().launch(**kernel, config, args));
        check(device_->stream().synchronize());
    }

private:
    static void check(const Status& status) {
        if (!status) FAIL(status.error().message);
    }
    std::string name_;
    std::unique_ptr<runtime::Device> device_;
};

/// Every device of this machine that kernels are tested on: the emulator with its checks on, and a GPU if there is one.
std::span<TestDevice> test_devices();

} // namespace ptxgen::test
