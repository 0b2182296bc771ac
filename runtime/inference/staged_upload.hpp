#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace ptxgen {

/// Copies to a device through two page-locked buffers in turn: one is filled while the other is on its way.
class StagedUpload {
public:
    /// `slot_bytes` is what one buffer holds.
    static Result<StagedUpload> create(runtime::Device& device, std::size_t slot_bytes);

    std::size_t slot_bytes() const { return slots_[0].memory->size(); }
    /// Lets `fill` write `bytes` (at most slot_bytes()) into a buffer and starts their copy to `target`.
    Status send(runtime::DevicePtr target, std::size_t bytes, const std::function<void(std::byte*)>& fill);
    /// Waits until all is there.
    Status finish();

private:
    struct Slot {
        std::unique_ptr<runtime::HostBuffer> memory;
        std::unique_ptr<runtime::Event> sent;
        bool in_use = false;
    };
    explicit StagedUpload(runtime::Device& device) : device_(&device) {}

    runtime::Device* device_;
    std::array<Slot, 2> slots_;
    std::size_t next_ = 0;
};

/// Calls `work(begin, end)` for parts of [0, count), several at once on threads of the host. Parts have at least
/// `least` elements.
void parallel_parts(std::size_t count, std::size_t least, const std::function<void(std::size_t, std::size_t)>& work);

} // namespace ptxgen
