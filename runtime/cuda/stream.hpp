#pragma once

#include "runtime/cuda/context.hpp"
#include "runtime/device.hpp"

#include <memory>
#include <string>

namespace ptxgen::cuda {

class CudaEvent final : public runtime::Event {
public:
    static Result<std::unique_ptr<CudaEvent>> create(ContextPtr context);
    ~CudaEvent() override;
    CudaEvent(const CudaEvent&) = delete;
    CudaEvent& operator=(const CudaEvent&) = delete;

    Status synchronize() override;
    Result<bool> ready() override;
    Result<float> elapsed_ms(runtime::Event& later) override;

    abi::Event handle() const { return handle_; }
    const Context& context() const { return *context_; }

private:
    CudaEvent(ContextPtr context, abi::Event handle) : context_(std::move(context)), handle_(handle) {}

    ContextPtr context_;
    abi::Event handle_;
};

class CudaGraph final : public runtime::Graph {
public:
    CudaGraph(ContextPtr context, abi::GraphExec handle) : context_(std::move(context)), handle_(handle) {}
    ~CudaGraph() override;
    CudaGraph(const CudaGraph&) = delete;
    CudaGraph& operator=(const CudaGraph&) = delete;

    abi::GraphExec handle() const { return handle_; }
    const Context& context() const { return *context_; }

private:
    ContextPtr context_;
    abi::GraphExec handle_;
};

/// A stream of ours, destroyed with this object, or an embedding program's, which is only used.
class CudaStream final : public runtime::Stream {
public:
    static Result<std::unique_ptr<CudaStream>> create(ContextPtr context);
    static Result<std::unique_ptr<CudaStream>> borrow(ContextPtr context, abi::Stream handle);
    ~CudaStream() override;
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;

    Status copy_to_device(runtime::DevicePtr target, const void* source, std::size_t bytes) override;
    Status copy_to_host(void* target, runtime::DevicePtr source, std::size_t bytes) override;
    Status copy(runtime::DevicePtr target, runtime::DevicePtr source, std::size_t bytes) override;
    Status fill(runtime::DevicePtr target, std::uint8_t value, std::size_t bytes) override;
    using runtime::Stream::launch;
    Status launch(runtime::Kernel& kernel, const runtime::LaunchConfig& config,
                  std::span<const runtime::KernelArg> args) override;
    Status launch(runtime::Graph& graph) override;
    Status record(runtime::Event& event) override;
    Status wait(runtime::Event& event) override;
    Status synchronize() override;
    Status begin_capture() override;
    Result<std::unique_ptr<runtime::Graph>> end_capture() override;

private:
    CudaStream(ContextPtr context, abi::Stream handle, bool owned)
        : context_(std::move(context)), handle_(handle), owned_(owned) {}

    ContextPtr context_;
    abi::Stream handle_;
    bool owned_;
    std::shared_ptr<const std::string> last_kernel_; ///< named by errors that turn up after a launch
};

} // namespace ptxgen::cuda
