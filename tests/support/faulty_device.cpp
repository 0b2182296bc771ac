#include "tests/support/faulty_device.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace ptxgen::test {
namespace {

using namespace runtime;

Error made_to_fail() { return {std::string(FaultyDevice::failure)}; }

class FaultyStream final : public Stream {
public:
    FaultyStream(FaultyDevice& device, Stream& inner) : device_(device), inner_(inner) {}
    FaultyStream(FaultyDevice& device, std::unique_ptr<Stream> inner)
        : device_(device), inner_(*inner), owned_(std::move(inner)) {}

    Status copy_to_device(DevicePtr target, const void* source, std::size_t bytes) override {
        return device_.fails() ? made_to_fail() : inner_.copy_to_device(target, source, bytes);
    }
    Status copy_to_host(void* target, DevicePtr source, std::size_t bytes) override {
        return device_.fails() ? made_to_fail() : inner_.copy_to_host(target, source, bytes);
    }
    Status copy(DevicePtr target, DevicePtr source, std::size_t bytes) override {
        return device_.fails() ? made_to_fail() : inner_.copy(target, source, bytes);
    }
    Status fill(DevicePtr target, std::uint8_t value, std::size_t bytes) override {
        return device_.fails() ? made_to_fail() : inner_.fill(target, value, bytes);
    }
    Status launch(Kernel& kernel, const LaunchConfig& config, std::span<const KernelArg> args) override {
        return device_.fails() ? made_to_fail() : inner_.launch(kernel, config, args);
    }
    Status launch(Graph& graph) override { return device_.fails() ? made_to_fail() : inner_.launch(graph); }
    Status record(Event& event) override { return device_.fails() ? made_to_fail() : inner_.record(event); }
    Status wait(Event& event) override { return device_.fails() ? made_to_fail() : inner_.wait(event); }
    Status synchronize() override { return device_.fails() ? made_to_fail() : inner_.synchronize(); }
    Status begin_capture() override { return device_.fails() ? made_to_fail() : inner_.begin_capture(); }
    Result<std::unique_ptr<Graph>> end_capture() override {
        auto graph = inner_.end_capture(); // the stream records no more, failed or not
        if (device_.fails()) return made_to_fail();
        return graph;
    }

private:
    FaultyDevice& device_;
    Stream& inner_;
    std::unique_ptr<Stream> owned_;
};

class FaultyModule final : public LoadedModule {
public:
    FaultyModule(FaultyDevice& device, std::unique_ptr<LoadedModule> inner)
        : device_(device), inner_(std::move(inner)) {}

    Result<Kernel*> kernel(std::string_view name) override {
        if (device_.fails()) return made_to_fail();
        return inner_->kernel(name);
    }
    Result<Buffer> global(std::string_view name) override {
        if (device_.fails()) return made_to_fail();
        return inner_->global(name);
    }

private:
    FaultyDevice& device_;
    std::unique_ptr<LoadedModule> inner_;
};

} // namespace

FaultyDevice::FaultyDevice(Device& inner, std::uint64_t fail_at)
    : inner_(inner), fail_at_(fail_at), stream_(std::make_unique<FaultyStream>(*this, inner.stream())) {}

FaultyDevice::~FaultyDevice() = default;

Result<MemoryInfo> FaultyDevice::memory_info() {
    if (fails()) return made_to_fail();
    return inner_.memory_info();
}

Result<Buffer> FaultyDevice::allocate(std::size_t bytes) {
    if (fails()) return made_to_fail();
    auto buffer = inner_.allocate(bytes);
    if (!buffer) return buffer;
    const DevicePtr address = buffer->address();
    live_.emplace(address, std::move(*buffer));
    allocations_++;
    live_bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, live_bytes_);
    return Buffer(*this, address, bytes);
}

void FaultyDevice::free(DevicePtr address) noexcept {
    const auto found = live_.find(address);
    if (found == live_.end()) return;
    live_bytes_ -= found->second.size();
    live_.erase(found);
}

Result<std::unique_ptr<HostBuffer>> FaultyDevice::allocate_host(std::size_t bytes, HostMemory kind) {
    if (fails()) return made_to_fail();
    return inner_.allocate_host(bytes, kind);
}

Result<std::unique_ptr<LoadedModule>> FaultyDevice::load(std::string_view ptx) {
    if (fails()) return made_to_fail();
    auto module = inner_.load(ptx);
    if (!module) return module;
    return std::unique_ptr<LoadedModule>(std::make_unique<FaultyModule>(*this, std::move(*module)));
}

Stream& FaultyDevice::stream() { return *stream_; }

Result<std::unique_ptr<Stream>> FaultyDevice::create_stream() {
    if (fails()) return made_to_fail();
    auto stream = inner_.create_stream();
    if (!stream) return stream;
    return std::unique_ptr<Stream>(std::make_unique<FaultyStream>(*this, std::move(*stream)));
}

Result<std::unique_ptr<Event>> FaultyDevice::create_event() {
    if (fails()) return made_to_fail();
    return inner_.create_event();
}

} // namespace ptxgen::test
