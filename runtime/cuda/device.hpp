#pragma once

#include "runtime/cuda/context.hpp"
#include "runtime/cuda/cuda.hpp"
#include "runtime/cuda/module_cache.hpp"
#include "runtime/cuda/stream.hpp"

namespace ptxgen::cuda {

class CudaDevice final : public runtime::Device {
public:
    static Result<std::unique_ptr<CudaDevice>> create(const Driver& driver, const runtime::CudaOptions& options);

    const runtime::DeviceProperties& properties() const override { return *properties_; }
    Result<runtime::MemoryInfo> memory_info() override;
    Result<runtime::Buffer> allocate(std::size_t bytes) override;
    void free(runtime::DevicePtr address) noexcept override;
    Result<std::unique_ptr<runtime::HostBuffer>> allocate_host(std::size_t bytes, runtime::HostMemory kind) override;
    Result<std::unique_ptr<runtime::LoadedModule>> load(std::string_view ptx) override;
    runtime::Stream& stream() override { return *stream_; }
    Result<std::unique_ptr<runtime::Stream>> create_stream() override;
    Result<std::unique_ptr<runtime::Event>> create_event() override;

private:
    explicit CudaDevice(ContextPtr context) : context_(std::move(context)) {}

    ContextPtr context_;
    std::shared_ptr<const runtime::DeviceProperties> properties_;
    std::optional<ModuleCache> cache_;
    std::unique_ptr<CudaStream> stream_;
};

Result<runtime::DeviceProperties> read_properties(const Driver& driver, abi::Device device);

} // namespace ptxgen::cuda
