#include "runtime/open_device.hpp"

#include "runtime/cuda/cuda.hpp"

#include <fmt/format.h>

namespace ptxgen::runtime {

Result<DeviceChoice> parse_device_choice(std::string_view text) {
    if (text == "auto") return DeviceChoice::automatic;
    if (text == "cuda") return DeviceChoice::cuda;
    if (text == "emulator") return DeviceChoice::emulator;
    return Error{fmt::format("no device '{}': it is auto, cuda or emulator", text)};
}

Result<OpenedDevice> open_device(const DeviceRequest& request) {
    std::string note;
    if (request.choice != DeviceChoice::emulator) {
        CudaOptions cuda;
        cuda.ordinal = request.gpu;
        auto device = create_cuda_device(cuda);
        if (device) return OpenedDevice{std::move(*device), {}};
        // A wrong number is a mistake of the caller's, not a machine without GPUs.
        const auto count = cuda_device_count();
        const bool wrong_number = count && *count > 0 && (request.gpu < 0 || request.gpu >= *count);
        if (request.choice == DeviceChoice::cuda || wrong_number) return device.error();
        note = fmt::format("no usable GPU, running on the CPU emulator: {}", device.error().message);
    }
    return OpenedDevice{create_emulator(request.emulator), std::move(note)};
}

} // namespace ptxgen::runtime
