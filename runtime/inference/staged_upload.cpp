#include "runtime/inference/staged_upload.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

namespace ptxgen {

Result<StagedUpload> StagedUpload::create(runtime::Device& device, std::size_t slot_bytes) {
    StagedUpload upload(device);
    for (auto& slot : upload.slots_) {
        auto memory = device.allocate_host(slot_bytes, runtime::HostMemory::pinned);
        if (!memory) return std::move(memory).error();
        slot.memory = std::move(*memory);
        auto event = device.create_event();
        if (!event) return std::move(event).error();
        slot.sent = std::move(*event);
    }
    return upload;
}

Status StagedUpload::send(runtime::DevicePtr target, std::size_t bytes, const std::function<void(std::byte*)>& fill) {
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    if (slot.in_use)
        if (auto ok = slot.sent->synchronize(); !ok) return ok;
    auto* const data = static_cast<std::byte*>(slot.memory->data());
    fill(data);
    slot.in_use = true;
    if (auto ok = device_->stream().copy_to_device(target, data, bytes); !ok) return ok;
    return device_->stream().record(*slot.sent);
}

Status StagedUpload::finish() { return device_->stream().synchronize(); }

void parallel_parts(std::size_t count, std::size_t least, const std::function<void(std::size_t, std::size_t)>& work) {
    // More than 16 do not copy any faster.
    const std::size_t possible = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 16);
    const std::size_t parts = std::clamp<std::size_t>(count / std::max<std::size_t>(least, 1), 1, possible);
    const auto part = [&](std::size_t i) { work(count * i / parts, count * (i + 1) / parts); };
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < parts; i++) {
        try {
            others.emplace_back(part, i);
        } catch (const std::system_error&) { // the host gives no more threads
            part(i);
        }
    }
    part(0);
}

} // namespace ptxgen
