#pragma once

#include "kernels/generated.hpp"
#include "runtime/device.hpp"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ptxgen {

/// A kernel on a device with the launch that its generator described.
struct BuiltKernel {
    runtime::Kernel* kernel = nullptr;
    kernels::LaunchShape launch;
    std::vector<Parameter> parameters;
};

/// Kernels built for one device, each configuration once.
class KernelSet {
public:
    explicit KernelSet(runtime::Device& device) : device_(&device) {}

    /// The kernel known as `key`; the first time `generate` builds it for the device's target and version.
    using Generate = std::function<Result<kernels::Generated>(std::optional<Target>, std::optional<PtxVersion>)>;
    Result<const BuiltKernel*> get(const std::string& key, const Generate& generate);

private:
    struct Entry {
        std::unique_ptr<runtime::LoadedModule> module;
        BuiltKernel kernel;
    };
    runtime::Device* device_;
    std::map<std::string, Entry> entries_;
};

/// One launch of a plan: a kernel with its arguments, all but the number of tokens.
class PlannedLaunch {
public:
    using GridOf = std::function<kernels::Grid(std::uint32_t tokens)>;
    using Argument = std::pair<std::string, runtime::DevicePtr>;

    /// Binds every parameter by name; `tokens` is filled at the launch. The error names a parameter without argument.
    static Result<PlannedLaunch> bind(const BuiltKernel& kernel, GridOf grid, std::span<const Argument> arguments);

    Status launch(runtime::Stream& stream, std::uint32_t tokens);

private:
    runtime::Kernel* kernel_ = nullptr;
    runtime::LaunchConfig config_;
    GridOf grid_;
    std::vector<runtime::KernelArg> args_;
    std::size_t tokens_at_ = 0;
};

} // namespace ptxgen
