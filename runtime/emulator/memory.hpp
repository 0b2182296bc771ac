#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/emulator/machine.hpp"

#include <map>
#include <memory>
#include <vector>

namespace ptxgen::runtime::emulator {

/// The emulated device's global memory: one reserved range of host memory, allocations with redzones between them, and
/// what has been written to each. Device addresses start at `device_base`, whatever the host gives.
class DeviceMemory {
public:
    static constexpr u64 device_base = 0x7000'0000'0000;
    static constexpr u64 redzone = 256;

    /// `limit` bytes at most, 0 for a share of what this process may have; `track` follows initialisation.
    DeviceMemory(u64 limit, bool track) : limit_(limit), track_(track) {}
    ~DeviceMemory();
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    Result<u64> allocate(u64 bytes);
    /// False if no allocation starts there.
    bool free(u64 address);

    /// The allocation that holds `address`; nullptr for none. Stable until it is freed.
    const Allocation* find(u64 address) const;
    /// What a wild address is near to, for messages: "", "12 bytes behind a buffer of 64 bytes at 0x…", "… freed …".
    std::string describe(u64 address) const;

    /// Checks a host access of [address, address + bytes).
    Status check_range(u64 address, u64 bytes) const;
    u8* host(u64 address) { return arena_ + (address - device_base); }
    u64 delta() const { return reinterpret_cast<u64>(arena_) - device_base; }
    u64 size() const { return used_; } ///< bytes from device_base on that may hold allocations

    void mark_initialised(u64 address, u64 bytes);
    /// `bytes` copied from source to target: what is initialised goes along.
    void copy_initialised(u64 target, u64 source, u64 bytes);
    /// Gives every allocation that is not fully initialised its shadow.
    void prepare_shadows();

    u64 limit();
    u64 allocated() const { return allocated_; }

private:
    struct Block {
        Allocation view; ///< what accesses see
        std::unique_ptr<u8[], void (*)(void*)> shadow{nullptr, nullptr};
        bool initialised = false;
    };
    bool reserve();
    void make_shadow(Block& block);
    Block* block_of(u64 address);
    const Block* block_of(u64 address) const { return const_cast<DeviceMemory*>(this)->block_of(address); }

    u64 limit_;
    bool track_;
    u8* arena_ = nullptr;
    u64 capacity_ = 0;
    u64 used_ = 0; ///< end of the highest allocation so far
    u64 allocated_ = 0;
    std::map<u64, std::unique_ptr<Block>> blocks_; ///< by device address
    std::map<u64, u64> holes_;                     ///< freed ranges: offset, size
    std::map<u64, u64> freed_;                     ///< what lay there, for messages
};

} // namespace ptxgen::runtime::emulator
