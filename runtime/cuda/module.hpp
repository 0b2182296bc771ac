#pragma once

#include "runtime/cuda/context.hpp"
#include "runtime/device.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ptxgen::cuda {

class CudaKernel final : public runtime::Kernel {
public:
    static Result<std::unique_ptr<CudaKernel>> create(ContextPtr context,
                                                      std::shared_ptr<const runtime::DeviceProperties> device,
                                                      abi::Function function, std::string name);

    const std::string& name() const override { return *name_; }
    Result<runtime::FunctionAttributes> attributes() const override { return attributes_; }
    Result<std::uint32_t> occupancy(std::uint32_t threads, std::uint32_t dynamic_shared_bytes) const override;

    /// Queues a launch in `stream`, after a check of its shape and arguments whose errors name what is wrong.
    Status launch(abi::Stream stream, const runtime::LaunchConfig& config,
                  std::span<const runtime::KernelArg> args) const;

    const Context& context() const { return *context_; }
    const std::shared_ptr<const std::string>& shared_name() const { return name_; }

private:
    CudaKernel(ContextPtr context, std::shared_ptr<const runtime::DeviceProperties> device, abi::Function function,
               std::string name)
        : context_(std::move(context)), device_(std::move(device)), function_(function),
          name_(std::make_shared<const std::string>(std::move(name))) {}

    Status read_attributes();
    void read_parameters();
    Status check_shape(const runtime::LaunchConfig& config) const;
    Status check_arguments(std::span<const runtime::KernelArg> args) const;
    /// Dynamic shared memory beyond what every kernel may use is allowed to this one.
    Status allow_shared(std::uint32_t bytes) const;
    /// Clusters of more than the portable eight CTAs are allowed to this kernel.
    Status allow_cluster(const runtime::Dim3& cluster) const;
    abi::Code launch_with_attributes(abi::Stream stream, const runtime::LaunchConfig& config, void** values) const;
    Error launch_error(abi::Code code, const char* symbol, const runtime::LaunchConfig& config) const;

    ContextPtr context_;
    std::shared_ptr<const runtime::DeviceProperties> device_;
    abi::Function function_;
    std::shared_ptr<const std::string> name_;
    runtime::FunctionAttributes attributes_;
    std::optional<std::vector<std::size_t>> parameter_bytes_; ///< absent where the driver cannot tell
    mutable std::atomic<std::uint32_t> allowed_shared_{0};    ///< dynamic shared memory that launches may use
    mutable std::mutex setup_;                                ///< held to change it
};

class CudaModule final : public runtime::LoadedModule {
public:
    CudaModule(ContextPtr context, std::shared_ptr<const runtime::DeviceProperties> device, abi::Module module)
        : context_(std::move(context)), device_(std::move(device)), module_(module) {}
    ~CudaModule() override;
    CudaModule(const CudaModule&) = delete;
    CudaModule& operator=(const CudaModule&) = delete;

    Result<runtime::Kernel*> kernel(std::string_view name) override;
    Result<runtime::Buffer> global(std::string_view name) override;

private:
    ContextPtr context_;
    std::shared_ptr<const runtime::DeviceProperties> device_;
    abi::Module module_;
    std::mutex kernels_lock_;
    std::map<std::string, std::unique_ptr<CudaKernel>, std::less<>> kernels_;
};

} // namespace ptxgen::cuda
