#include "runtime/cuda/device.hpp"

#include "runtime/cuda/compile.hpp"
#include "runtime/cuda/module.hpp"

namespace ptxgen::cuda {
namespace {

/// Page-locked host memory.
class PinnedBuffer final : public runtime::HostBuffer {
public:
    PinnedBuffer(ContextPtr context, void* data, std::size_t bytes, runtime::DevicePtr device_address)
        : context_(std::move(context)), data_(data), bytes_(bytes), device_address_(device_address) {}
    ~PinnedBuffer() override {
        const Current current(*context_);
        const RelaxedCapture relaxed(context_->driver());
        if (current.status() && data_) (void)context_->driver().mem_free_host(data_);
    }
    PinnedBuffer(const PinnedBuffer&) = delete;
    PinnedBuffer& operator=(const PinnedBuffer&) = delete;

    void* data() override { return data_; }
    std::size_t size() const override { return bytes_; }
    runtime::DevicePtr device_address() const override { return device_address_; }

private:
    ContextPtr context_;
    void* data_;
    std::size_t bytes_;
    runtime::DevicePtr device_address_;
};

std::optional<ModuleCache> open_cache(const runtime::CudaOptions& options) {
    if (!options.use_cache) return std::nullopt;
    if (!options.cache_directory.empty()) return ModuleCache({options.cache_directory});
    auto from_environment = ModuleCacheOptions::from_environment();
    if (!from_environment) return std::nullopt;
    return ModuleCache(std::move(*from_environment));
}

} // namespace

Result<std::unique_ptr<CudaDevice>> CudaDevice::create(const Driver& driver, const runtime::CudaOptions& options) {
    auto context = options.context ? Context::borrow(driver, static_cast<abi::Context>(options.context))
                                   : Context::retain_primary(driver, options.ordinal);
    if (!context) return context.error();
    std::unique_ptr<CudaDevice> device(new CudaDevice(*context));
    auto properties = read_properties(driver, (*context)->device());
    if (!properties) return properties.error();
    device->properties_ = std::make_shared<const runtime::DeviceProperties>(std::move(*properties));
    device->cache_ = open_cache(options);
    auto stream = options.stream ? CudaStream::borrow(*context, static_cast<abi::Stream>(*options.stream))
                                 : CudaStream::create(*context);
    if (!stream) return stream.error();
    device->stream_ = std::move(*stream);
    return device;
}

Result<runtime::MemoryInfo> CudaDevice::memory_info() {
    std::size_t free_bytes = 0, total_bytes = 0;
    if (auto status = call_in(*context_, context_->driver().mem_get_info, &free_bytes, &total_bytes); !status)
        return status.error();
    return runtime::MemoryInfo{free_bytes, total_bytes};
}

Result<runtime::Buffer> CudaDevice::allocate(std::size_t bytes) {
    if (bytes == 0) return runtime::Buffer();
    const Current current(*context_);
    if (!current.status()) return current.status().error();
    const Driver& driver = context_->driver();
    const RelaxedCapture relaxed(driver);
    abi::DevicePtr address = 0;
    const auto code = driver.mem_alloc(&address, bytes);
    if (code == abi::Code::success) return runtime::Buffer(*this, address, bytes);
    auto error = driver.error(code, driver.mem_alloc, &address, bytes);
    if (code == abi::Code::out_of_memory)
        if (const auto info = memory_info())
            error.message += fmt::format("; {} bytes are needed, {} of {} are free on {}", bytes, info->free_bytes,
                                         info->total_bytes, properties_->name);
    return error;
}

void CudaDevice::free(runtime::DevicePtr address) noexcept {
    const Current current(*context_);
    const RelaxedCapture relaxed(context_->driver());
    if (current.status()) (void)context_->driver().mem_free(address);
}

Result<std::unique_ptr<runtime::HostBuffer>> CudaDevice::allocate_host(std::size_t bytes, runtime::HostMemory kind) {
    const bool mapped = kind == runtime::HostMemory::mapped;
    void* data = nullptr;
    abi::DevicePtr address = 0;
    if (bytes > 0) {
        const Current current(*context_);
        if (!current.status()) return current.status().error();
        const Driver& driver = context_->driver();
        const RelaxedCapture relaxed(driver);
        const unsigned flags = abi::host_alloc_portable | (mapped ? abi::host_alloc_mapped : 0);
        if (auto status = driver.call(driver.mem_host_alloc, &data, bytes, flags); !status) return status.error();
        if (mapped)
            if (auto status = driver.call(driver.mem_host_get_device_pointer, &address, data, 0u); !status) {
                (void)driver.mem_free_host(data);
                return status.error();
            }
    }
    return std::unique_ptr<runtime::HostBuffer>(std::make_unique<PinnedBuffer>(context_, data, bytes, address));
}

Result<std::unique_ptr<runtime::LoadedModule>> CudaDevice::load(std::string_view ptx) {
    auto module = load_ptx(*context_, *properties_, cache_, ptx);
    if (!module) return module.error();
    return std::unique_ptr<runtime::LoadedModule>(std::make_unique<CudaModule>(context_, properties_, *module));
}

Result<std::unique_ptr<runtime::Stream>> CudaDevice::create_stream() {
    auto stream = CudaStream::create(context_);
    if (!stream) return stream.error();
    return std::unique_ptr<runtime::Stream>(std::move(*stream));
}

Result<std::unique_ptr<runtime::Event>> CudaDevice::create_event() {
    auto event = CudaEvent::create(context_);
    if (!event) return event.error();
    return std::unique_ptr<runtime::Event>(std::move(*event));
}

} // namespace ptxgen::cuda

namespace ptxgen::runtime {

Result<std::unique_ptr<Device>> create_cuda_device(const CudaOptions& options) {
    auto driver = cuda::driver();
    if (!driver) return driver.error();
    auto device = cuda::CudaDevice::create(**driver, options);
    if (!device) return device.error();
    return std::unique_ptr<Device>(std::move(*device));
}

Result<int> cuda_device_count() {
    auto driver = cuda::driver();
    if (!driver) return driver.error();
    int count = 0;
    if (auto status = (*driver)->call((*driver)->device_get_count, &count); !status) return status.error();
    return count;
}

} // namespace ptxgen::runtime
