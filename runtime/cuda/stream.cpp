#include "runtime/cuda/stream.hpp"

#include "runtime/cuda/module.hpp"

namespace ptxgen::cuda {
namespace {

/// The CUDA object behind an interface, if it is one and lives in `context`.
template <class Object, class Interface>
Result<Object*> own(Interface& object, const Context& context, const char* what) {
    auto* cuda = dynamic_cast<Object*>(&object);
    if (!cuda) return Error{fmt::format("this {} was not made by a CUDA device", what)};
    if (cuda->context().handle() != context.handle())
        return Error{fmt::format("this {} belongs to another device or context than the stream", what)};
    return cuda;
}

} // namespace

Result<std::unique_ptr<CudaEvent>> CudaEvent::create(ContextPtr context) {
    abi::Event handle = nullptr;
    if (auto status = call_in(*context, context->driver().event_create, &handle, abi::event_default); !status)
        return status.error();
    return std::unique_ptr<CudaEvent>(new CudaEvent(std::move(context), handle));
}

CudaEvent::~CudaEvent() {
    const Current current(*context_);
    if (current.status()) (void)context_->driver().event_destroy(handle_);
}

Status CudaEvent::synchronize() { return call_in(*context_, context_->driver().event_synchronize, handle_); }

Result<bool> CudaEvent::ready() {
    const Current current(*context_);
    if (!current.status()) return current.status().error();
    const Driver& driver = context_->driver();
    const auto code = driver.event_query(handle_);
    if (code == abi::Code::success || code == abi::Code::not_ready) return code == abi::Code::success;
    return driver.error(code, driver.event_query, handle_);
}

Result<float> CudaEvent::elapsed_ms(runtime::Event& later) {
    auto other = own<CudaEvent>(later, *context_, "event");
    if (!other) return other.error();
    float milliseconds = 0;
    const auto status =
        call_in(*context_, context_->driver().event_elapsed_time, &milliseconds, handle_, (*other)->handle());
    if (!status) return status.error();
    return milliseconds;
}

CudaGraph::~CudaGraph() {
    const Current current(*context_);
    if (current.status()) (void)context_->driver().graph_exec_destroy(handle_);
}

Result<std::unique_ptr<CudaStream>> CudaStream::create(ContextPtr context) {
    abi::Stream handle = nullptr;
    if (auto status = call_in(*context, context->driver().stream_create, &handle, abi::stream_non_blocking); !status)
        return status.error();
    return std::unique_ptr<CudaStream>(new CudaStream(std::move(context), handle, true));
}

Result<std::unique_ptr<CudaStream>> CudaStream::borrow(ContextPtr context, abi::Stream handle) {
    const Driver& driver = context->driver();
    // The default streams are those of the current context, so only a stream of its own can be a wrong one.
    const bool default_stream = reinterpret_cast<std::uintptr_t>(handle) <= 2;
    if (driver.stream_get_ctx && !default_stream) {
        abi::Context of_stream = nullptr;
        if (auto status = call_in(*context, driver.stream_get_ctx, handle, &of_stream); !status) return status.error();
        if (of_stream != context->handle())
            return Error{
                "the stream handed over belongs to another context than the device: hand over its context too"};
    }
    return std::unique_ptr<CudaStream>(new CudaStream(std::move(context), handle, false));
}

CudaStream::~CudaStream() {
    if (!owned_) return;
    const Current current(*context_);
    if (current.status()) (void)context_->driver().stream_destroy(handle_);
}

Status CudaStream::copy_to_device(runtime::DevicePtr target, const void* source, std::size_t bytes) {
    if (bytes == 0) return {};
    return call_in(*context_, context_->driver().memcpy_h_to_d_async, target, source, bytes, handle_);
}

Status CudaStream::copy_to_host(void* target, runtime::DevicePtr source, std::size_t bytes) {
    if (bytes == 0) return {};
    return call_in(*context_, context_->driver().memcpy_d_to_h_async, target, source, bytes, handle_);
}

Status CudaStream::copy(runtime::DevicePtr target, runtime::DevicePtr source, std::size_t bytes) {
    if (bytes == 0) return {};
    return call_in(*context_, context_->driver().memcpy_d_to_d_async, target, source, bytes, handle_);
}

Status CudaStream::fill(runtime::DevicePtr target, std::uint8_t value, std::size_t bytes) {
    if (bytes == 0) return {};
    return call_in(*context_, context_->driver().memset_d8_async, target, value, bytes, handle_);
}

Status CudaStream::launch(runtime::Kernel& kernel, const runtime::LaunchConfig& config,
                          std::span<const runtime::KernelArg> args) {
    auto cuda = own<CudaKernel>(kernel, *context_, "kernel");
    if (!cuda) return cuda.error();
    auto status = (*cuda)->launch(handle_, config, args);
    if (status) last_kernel_ = (*cuda)->shared_name();
    return status;
}

Status CudaStream::launch(runtime::Graph& graph) {
    auto cuda = own<CudaGraph>(graph, *context_, "graph");
    if (!cuda) return cuda.error();
    return call_in(*context_, context_->driver().graph_launch, (*cuda)->handle(), handle_);
}

Status CudaStream::record(runtime::Event& event) {
    auto cuda = own<CudaEvent>(event, *context_, "event");
    if (!cuda) return cuda.error();
    return call_in(*context_, context_->driver().event_record, (*cuda)->handle(), handle_);
}

Status CudaStream::wait(runtime::Event& event) {
    auto cuda = own<CudaEvent>(event, *context_, "event");
    if (!cuda) return cuda.error();
    return call_in(*context_, context_->driver().stream_wait_event, handle_, (*cuda)->handle(), 0u);
}

Status CudaStream::synchronize() {
    const Current current(*context_);
    if (!current.status()) return current.status();
    const Driver& driver = context_->driver();
    const auto code = driver.stream_synchronize(handle_);
    if (code == abi::Code::success) return {};
    auto error = driver.error(code, driver.stream_synchronize, handle_);
    if (is_sticky(code) && last_kernel_)
        error.message += fmt::format(" (this stream's last launch was of kernel {})", *last_kernel_);
    return error;
}

Status CudaStream::begin_capture() {
    const Driver& driver = context_->driver();
    // All of a graph's functions are looked for before anything is recorded in vain.
    if (!driver.stream_end_capture) return driver.missing(driver.stream_end_capture);
    if (!driver.graph_instantiate) return driver.missing(driver.graph_instantiate);
    if (!driver.graph_launch) return driver.missing(driver.graph_launch);
    if (!driver.graph_destroy) return driver.missing(driver.graph_destroy);
    if (!driver.graph_exec_destroy) return driver.missing(driver.graph_exec_destroy);
    return call_in(*context_, driver.stream_begin_capture, handle_, abi::CaptureMode::thread_local_);
}

Result<std::unique_ptr<runtime::Graph>> CudaStream::end_capture() {
    const Current current(*context_);
    if (!current.status()) return current.status().error();
    const Driver& driver = context_->driver();
    abi::Graph graph = nullptr;
    if (auto status = driver.call(driver.stream_end_capture, handle_, &graph); !status) return status.error();
    abi::GraphExec exec = nullptr;
    const auto status = driver.call(driver.graph_instantiate, &exec, graph, 0ull);
    (void)driver.graph_destroy(graph);
    if (!status) return status.error();
    return std::unique_ptr<runtime::Graph>(std::make_unique<CudaGraph>(context_, exec));
}

} // namespace ptxgen::cuda
