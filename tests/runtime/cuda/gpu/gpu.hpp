#pragma once

#include "runtime/cuda/cuda.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

/// The GPU of this machine, or null with a line that says why the test is skipped.
inline std::unique_ptr<ptxgen::runtime::Device> gpu_or_skip(const char* test,
                                                            const ptxgen::runtime::CudaOptions& options = {}) {
    auto device = ptxgen::runtime::create_cuda_device(options);
    if (device) return std::move(*device);
    fmt::print("[SKIP] {}: {}\n", test, device.error().message);
    return nullptr;
}

/// The value of a result, or the test ends with its message.
template <class T>
T must(ptxgen::Result<T> result) {
    REQUIRE_MESSAGE(result.ok(), (result.ok() ? "" : result.error().message));
    return std::move(*result);
}
inline void must(const ptxgen::Status& status) {
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
}

template <class T>
ptxgen::runtime::Buffer upload(ptxgen::runtime::Device& device, const std::vector<T>& values) {
    auto buffer = must(device.allocate(values.size() * sizeof(T)));
    must(device.stream().copy_to_device(buffer.address(), values.data(), buffer.size()));
    must(device.stream().synchronize());
    return buffer;
}

template <class T>
std::vector<T> download(ptxgen::runtime::Device& device, const ptxgen::runtime::Buffer& buffer) {
    std::vector<T> values(buffer.size() / sizeof(T));
    must(device.stream().copy_to_host(values.data(), buffer.address(), buffer.size()));
    must(device.stream().synchronize());
    return values;
}

inline std::uint32_t blocks_for(std::uint32_t n, std::uint32_t block) { return (n + block - 1) / block; }
