#include "tests/support/devices.hpp"

#include "runtime/cuda/cuda.hpp"
#include "runtime/emulator/emulator.hpp"

namespace ptxgen::test {

std::span<TestDevice> test_devices() {
    static std::vector<TestDevice> devices = [] {
        std::vector<TestDevice> found;
        runtime::EmulatorOptions options;
        options.threads = 1;
        found.emplace_back("emulator", runtime::create_emulator(options));
        if (auto gpu = runtime::create_cuda_device()) found.emplace_back("cuda", std::move(*gpu));
        return found;
    }();
    return devices;
}

} // namespace ptxgen::test
