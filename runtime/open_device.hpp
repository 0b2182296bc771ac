#pragma once

#include "runtime/device.hpp"
#include "runtime/emulator/emulator.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace ptxgen::runtime {

enum class DeviceChoice : std::uint8_t {
    automatic, ///< a GPU if one can be used, else the emulator
    cuda,
    emulator,
};

/// "auto", "cuda" or "emulator". The error lists these.
Result<DeviceChoice> parse_device_choice(std::string_view text);

struct DeviceRequest {
    DeviceChoice choice = DeviceChoice::automatic;
    int gpu = 0;                   ///< number of the GPU
    EmulatorOptions emulator = {}; ///< used when the emulator is
};

struct OpenedDevice {
    std::unique_ptr<Device> device;
    /// One line to show the user when `automatic` fell back to the emulator: that it did, and why. Otherwise empty.
    std::string note;
};

/// Opens the device that PTX runs on. Fails with the choice `cuda`, when no GPU can be used, and with `automatic`,
/// when there are GPUs but none of the asked-for number.
Result<OpenedDevice> open_device(const DeviceRequest& request = {});

} // namespace ptxgen::runtime
