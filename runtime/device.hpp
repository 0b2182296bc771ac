#pragma once

#include "ptxgen/base/result.hpp"
#include "ptxgen/isa/target.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ptxgen::runtime {

/// An address in a device's memory.
using DevicePtr = std::uint64_t;

struct Dim3 {
    std::uint32_t x = 1, y = 1, z = 1;
    std::uint64_t count() const { return std::uint64_t{x} * y * z; }
    bool operator==(const Dim3&) const = default;
};

struct LaunchConfig {
    Dim3 grid = {};                   ///< CTAs
    Dim3 block = {};                  ///< threads of a CTA
    std::optional<Dim3> cluster = {}; ///< CTAs of a cluster
    std::uint32_t shared_bytes = 0;   ///< dynamic shared memory of a CTA
    bool cooperative = false;         ///< all CTAs are resident at once, or the launch fails
};

/// One kernel argument by value: a scalar, a DevicePtr, or any trivially copyable structure.
class KernelArg {
public:
    template <class T>
    requires(std::is_trivially_copyable_v<T> && !std::is_same_v<T, KernelArg>) KernelArg(const T& value)
        : bytes_(sizeof(T)) { // NOLINT(google-explicit-constructor): arguments are listed
        std::memcpy(bytes_.data(), &value, sizeof(T));
    }
    explicit KernelArg(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

    const void* data() const { return bytes_.data(); }
    std::size_t size() const { return bytes_.size(); }

private:
    std::vector<std::byte> bytes_;
};

struct DeviceProperties {
    std::string name;
    std::string driver;     ///< "CUDA driver 13.0", "emulator"
    Target target;          ///< compute capability; the `a` variant where the device has one
    PtxVersion ptx_version; ///< the newest that it takes
    std::uint32_t multiprocessors = 0;
    std::uint32_t max_threads_per_block = 1024;
    std::uint32_t max_threads_per_multiprocessor = 2048;
    std::uint32_t shared_bytes_per_block = 48 * 1024; ///< without opting in
    std::uint32_t shared_bytes_per_block_optin = 48 * 1024;
    std::uint32_t shared_bytes_per_multiprocessor = 64 * 1024;
    std::uint32_t l2_bytes = 0;
    std::uint64_t memory_bytes = 0;
    bool cooperative_launch = true;
    bool cluster_launch = false;
    bool is_emulator = false;
};

struct MemoryInfo {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
};

class Device;

/// Device memory, freed at the end of its life. Movable. A borrowed buffer is never freed.
class Buffer {
public:
    Buffer() = default;
    Buffer(Device& device, DevicePtr address, std::size_t bytes) : device_(&device), address_(address), bytes_(bytes) {}
    static Buffer borrow(DevicePtr address, std::size_t bytes) {
        Buffer buffer;
        buffer.address_ = address;
        buffer.bytes_ = bytes;
        return buffer;
    }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer(std::move(other)).swap(*this);
        return *this;
    }
    ~Buffer();

    DevicePtr address() const { return address_; }
    std::size_t size() const { return bytes_; }
    explicit operator bool() const { return address_ != 0; }

private:
    void swap(Buffer& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
    }
    Device* device_ = nullptr;
    DevicePtr address_ = 0;
    std::size_t bytes_ = 0;
};

/// Page-locked host memory that device copies reach asynchronously; a mapped one has a device address too.
class HostBuffer {
public:
    virtual ~HostBuffer() = default;
    virtual void* data() = 0;
    virtual std::size_t size() const = 0;
    virtual DevicePtr device_address() const = 0; ///< 0 if it is not mapped
};

struct FunctionAttributes {
    std::uint32_t registers = 0;
    std::uint32_t static_shared_bytes = 0;
    std::uint32_t local_bytes = 0;
    std::uint32_t max_threads_per_block = 0;
};

/// A kernel of a loaded module.
class Kernel {
public:
    virtual ~Kernel() = default;
    virtual const std::string& name() const = 0;
    virtual Result<FunctionAttributes> attributes() const = 0;
    /// CTAs of this shape that fit one multiprocessor at once.
    virtual Result<std::uint32_t> occupancy(std::uint32_t threads, std::uint32_t dynamic_shared_bytes) const = 0;
};

/// A module that the device has compiled. Its kernels live as long as it does.
class LoadedModule {
public:
    virtual ~LoadedModule() = default;
    virtual Result<Kernel*> kernel(std::string_view name) = 0;
    /// Address and size of a module-scope variable, as a borrowed buffer.
    virtual Result<Buffer> global(std::string_view name) = 0;
};

class Event {
public:
    virtual ~Event() = default;
    virtual Status synchronize() = 0;
    virtual Result<bool> ready() = 0;
    /// Milliseconds between two recorded events, this one first.
    virtual Result<float> elapsed_ms(Event& later) = 0;
};

/// A sequence of captured stream operations that is launched as one.
class Graph {
public:
    virtual ~Graph() = default;
};

/// A queue of device operations, executed in order. Every operation is asynchronous to the host unless said otherwise.
class Stream {
public:
    virtual ~Stream() = default;
    /// Host memory may be reused when the call returns, except pinned memory: that must live until the copy is done.
    virtual Status copy_to_device(DevicePtr target, const void* source, std::size_t bytes) = 0;
    /// `target` is filled once the stream is synchronised.
    virtual Status copy_to_host(void* target, DevicePtr source, std::size_t bytes) = 0;
    virtual Status copy(DevicePtr target, DevicePtr source, std::size_t bytes) = 0;
    virtual Status fill(DevicePtr target, std::uint8_t value, std::size_t bytes) = 0;
    virtual Status launch(Kernel& kernel, const LaunchConfig& config, std::span<const KernelArg> args) = 0;
    Status launch(Kernel& kernel, const LaunchConfig& config, std::initializer_list<KernelArg> args) {
        return launch(kernel, config, std::span(args.begin(), args.size()));
    }
    virtual Status launch(Graph& graph) = 0;
    virtual Status record(Event& event) = 0;
    virtual Status wait(Event& event) = 0;
    virtual Status synchronize() = 0;
    /// Operations between the two are recorded instead of executed. Devices without graphs replay them one by one.
    virtual Status begin_capture() = 0;
    virtual Result<std::unique_ptr<Graph>> end_capture() = 0;
};

enum class HostMemory : std::uint8_t { pinned, mapped };

/// What runs PTX: a GPU through the CUDA driver, or the CPU emulator.
class Device {
public:
    virtual ~Device() = default;
    virtual const DeviceProperties& properties() const = 0;
    virtual Result<MemoryInfo> memory_info() = 0;

    virtual Result<Buffer> allocate(std::size_t bytes) = 0;
    virtual void free(DevicePtr address) noexcept = 0;
    virtual Result<std::unique_ptr<HostBuffer>> allocate_host(std::size_t bytes, HostMemory kind) = 0;

    /// Compiles PTX. A failure carries the compiler's log with the PTX lines that it names.
    virtual Result<std::unique_ptr<LoadedModule>> load(std::string_view ptx) = 0;

    /// The stream that every device has.
    virtual Stream& stream() = 0;
    virtual Result<std::unique_ptr<Stream>> create_stream() = 0;
    virtual Result<std::unique_ptr<Event>> create_event() = 0;
};

inline Buffer::~Buffer() {
    if (device_ && address_) device_->free(address_);
}

} // namespace ptxgen::runtime
