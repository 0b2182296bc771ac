#pragma once

#include "runtime/cuda/cuda.hpp"
#include "runtime/emulator/emulator.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <memory>
#include <string_view>
#include <vector>

namespace ptxgen::test {

/// A device that engines are tested on.
struct EngineDevice {
    std::string_view name;
    runtime::Device* device = nullptr;
    std::unique_ptr<runtime::EmulatedDevice> emulator; ///< nothing: a GPU

    /// What the emulator found wrong; a GPU finds nothing.
    void check_findings() const {
        if (emulator) CHECK(emulator->findings().empty());
    }
};

inline std::unique_ptr<runtime::EmulatedDevice> emulator_of(std::uint32_t multiprocessors) {
    runtime::EmulatorOptions options;
    options.multiprocessors = multiprocessors;
    return runtime::create_emulator(options);
}

/// The emulator with so many multiprocessors, and the GPU if there is one; if not, `test` says so.
inline std::vector<EngineDevice> engine_devices(std::uint32_t multiprocessors, std::string_view test) {
    std::vector<EngineDevice> devices;
    devices.push_back({"emulator", nullptr, emulator_of(multiprocessors)});
    devices[0].device = devices[0].emulator.get();
    static const auto gpu = runtime::create_cuda_device();
    if (gpu)
        devices.push_back({"cuda", gpu->get(), nullptr});
    else
        fmt::print("[SKIP] {}, on a GPU: {}\n", test, gpu.error().message);
    return devices;
}

} // namespace ptxgen::test
