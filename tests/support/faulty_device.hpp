#pragma once

#include "runtime/device.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

namespace ptxgen::test {

/// Passes everything on to another device, counts it, and can fail one operation (a call of Device, LoadedModule or
/// Stream that returns a Result) with the message `failure`.
class FaultyDevice final : public runtime::Device {
public:
    static constexpr std::string_view failure = "this operation was made to fail";
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    /// `inner` must outlive the object. `fail_at`: the number of the operation that fails, from 0 on.
    explicit FaultyDevice(runtime::Device& inner, std::uint64_t fail_at = never);
    ~FaultyDevice() override;

    std::uint64_t operations() const { return operations_; }
    std::uint64_t allocations() const { return allocations_; }
    std::size_t live_allocations() const { return live_.size(); }
    std::uint64_t peak_bytes() const { return peak_bytes_; } ///< as they were asked for

    /// From now on it says that it is a GPU, so that what engines do on one only can be tried on the emulator.
    void seem_a_gpu() {
        properties_ = inner_.properties();
        properties_->is_emulator = false;
        properties_->multiprocessors = 132;
    }

    const runtime::DeviceProperties& properties() const override {
        return properties_ ? *properties_ : inner_.properties();
    }
    Result<runtime::MemoryInfo> memory_info() override;
    Result<runtime::Buffer> allocate(std::size_t bytes) override;
    void free(runtime::DevicePtr address) noexcept override;
    Result<std::unique_ptr<runtime::HostBuffer>> allocate_host(std::size_t bytes, runtime::HostMemory kind) override;
    Result<std::unique_ptr<runtime::LoadedModule>> load(std::string_view ptx) override;
    runtime::Stream& stream() override;
    Result<std::unique_ptr<runtime::Stream>> create_stream() override;
    Result<std::unique_ptr<runtime::Event>> create_event() override;

    /// Whether the operation that is made now fails.
    bool fails() { return operations_++ == fail_at_; }

private:
    runtime::Device& inner_;
    std::uint64_t fail_at_;
    std::uint64_t operations_ = 0;
    std::uint64_t allocations_ = 0;
    std::uint64_t live_bytes_ = 0;
    std::uint64_t peak_bytes_ = 0;
    std::optional<runtime::DeviceProperties> properties_;
    std::map<runtime::DevicePtr, runtime::Buffer> live_;
    std::unique_ptr<runtime::Stream> stream_;
};

} // namespace ptxgen::test
