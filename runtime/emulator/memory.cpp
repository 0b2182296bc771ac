#include "runtime/emulator/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ptxgen::runtime::emulator {
namespace {

constexpr u64 alignment = 256;
u64 round_up(u64 x) { return (x + alignment - 1) / alignment * alignment; }

/// Three quarters of the machine's memory, or half of what is left of the address space where that is limited.
u64 default_limit() {
    u64 limit = static_cast<u64>(sysconf(_SC_PHYS_PAGES)) * static_cast<u64>(sysconf(_SC_PAGESIZE)) / 4 * 3;
    rlimit address_space{};
    if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
        u64 pages = 0;
        if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
            unsigned long long n = 0;
            if (std::fscanf(f, "%llu", &n) == 1) pages = n;
            std::fclose(f);
        }
        const u64 in_use = pages * static_cast<u64>(sysconf(_SC_PAGESIZE));
        const u64 left = address_space.rlim_cur > in_use ? address_space.rlim_cur - in_use : 0;
        limit = std::min(limit, left / 2);
    }
    return limit / alignment * alignment;
}

} // namespace

DeviceMemory::~DeviceMemory() {
    if (arena_) munmap(arena_, capacity_);
}

u64 DeviceMemory::limit() {
    if (limit_ == 0) limit_ = std::max<u64>(default_limit(), 16 << 20);
    return limit_;
}

bool DeviceMemory::reserve() {
    if (arena_) return true;
    for (u64 want = round_up(limit()) + (1 << 20); want >= (16 << 20); want /= 2) {
        void* p = mmap(nullptr, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) continue;
        arena_ = static_cast<u8*>(p);
        capacity_ = want;
        limit_ = std::min(limit_, want);
        return true;
    }
    return false;
}

Result<u64> DeviceMemory::allocate(u64 bytes) {
    if (bytes == 0) return Error{"an allocation of 0 bytes"};
    const auto too_large = [&] {
        return Error{fmt::format("out of device memory: {} bytes needed, {} of {} free", bytes,
                                 limit() - std::min(limit(), allocated_), limit())};
    };
    if (bytes > limit() || allocated_ + bytes > limit()) return too_large();
    if (!reserve()) return Error{"the host gives the emulated device no memory: mmap failed"};
    const u64 size = round_up(bytes) + redzone;
    // freed ranges are used again only when there is nothing else, so that late uses of them are noticed
    u64 offset = used_;
    const auto hole = std::find_if(holes_.begin(), holes_.end(), [&](const auto& h) { return h.second >= size; });
    if (hole != holes_.end() && (!track_ || used_ + size > capacity_)) {
        offset = hole->first;
        if (hole->second > size) holes_.emplace(offset + size, hole->second - size);
        holes_.erase(hole);
    } else if (used_ + size > capacity_) {
        return too_large();
    } else {
        used_ += size;
    }
    auto block = std::make_unique<Block>();
    block->view = {device_base + offset, bytes, nullptr};
    allocated_ += bytes;
    blocks_.emplace(block->view.base, std::move(block));
    freed_.erase(freed_.lower_bound(device_base + offset), freed_.lower_bound(device_base + offset + size));
    return device_base + offset;
}

bool DeviceMemory::free(u64 address) {
    const auto it = blocks_.find(address);
    if (it == blocks_.end()) return false;
    const u64 bytes = it->second->view.size;
    allocated_ -= bytes;
    blocks_.erase(it);
    freed_[address] = bytes;
    u64 offset = address - device_base, size = round_up(bytes) + redzone;
    if (size >= (64 << 10)) {
        const u64 page = 4096, first = (offset + page - 1) / page * page, last = (offset + size) / page * page;
        if (last > first) madvise(arena_ + first, last - first, MADV_DONTNEED);
    }
    auto next = holes_.lower_bound(offset);
    if (next != holes_.end() && offset + size == next->first) {
        size += next->second;
        next = holes_.erase(next);
    }
    if (next != holes_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second == offset) {
            before->second += size;
            return true;
        }
    }
    holes_.emplace(offset, size);
    return true;
}

DeviceMemory::Block* DeviceMemory::block_of(u64 address) {
    auto it = blocks_.upper_bound(address);
    if (it == blocks_.begin()) return nullptr;
    Block* block = std::prev(it)->second.get();
    return address - block->view.base < block->view.size ? block : nullptr;
}

const Allocation* DeviceMemory::find(u64 address) const {
    const Block* block = block_of(address);
    return block ? &block->view : nullptr;
}

std::string DeviceMemory::describe(u64 address) const {
    auto freed = freed_.upper_bound(address);
    if (freed != freed_.begin()) {
        freed = std::prev(freed);
        if (address - freed->first < freed->second)
            return fmt::format("in a freed buffer of {} bytes at {:#x}", freed->second, freed->first);
    }
    const auto after = blocks_.upper_bound(address);
    if (after != blocks_.begin()) {
        const Allocation& a = std::prev(after)->second->view;
        if (address - a.base < a.size)
            return fmt::format("{} bytes into a buffer of {} bytes at {:#x}", address - a.base, a.size, a.base);
        if (address - (a.base + a.size) < (1 << 20))
            return fmt::format("{} bytes behind a buffer of {} bytes at {:#x}", address - (a.base + a.size), a.size,
                               a.base);
    }
    if (after != blocks_.end() && after->first - address < (1 << 20))
        return fmt::format("{} bytes before a buffer of {} bytes at {:#x}", after->first - address,
                           after->second->view.size, after->first);
    return address < (1 << 16) ? "a null pointer" : "in no buffer";
}

Status DeviceMemory::check_range(u64 address, u64 bytes) const {
    if (bytes == 0) return {};
    const Allocation* a = find(address);
    if (!a || bytes > a->size - (address - a->base))
        return Error{fmt::format("{} bytes at device address {:#x} are not within a buffer: {}", bytes, address,
                                 describe(address))};
    return {};
}

void DeviceMemory::make_shadow(Block& block) {
    if (block.view.shadow || block.initialised) return;
    block.shadow = {static_cast<u8*>(std::calloc(block.view.size, 1)), std::free};
    block.view.shadow = block.shadow.get();
    if (!block.shadow) block.initialised = true; // no memory to follow it: take it as written
}

void DeviceMemory::mark_initialised(u64 address, u64 bytes) {
    Block* block = track_ ? block_of(address) : nullptr;
    if (!block || block->initialised) return;
    if (bytes == block->view.size) {
        block->initialised = true;
        block->view.shadow = nullptr;
        block->shadow.reset();
        return;
    }
    make_shadow(*block);
    if (block->view.shadow) std::memset(block->view.shadow + (address - block->view.base), 1, bytes);
}

void DeviceMemory::copy_initialised(u64 target, u64 source, u64 bytes) {
    if (!track_ || bytes == 0) return;
    const Block* from = block_of(source);
    if (!from || from->initialised) return mark_initialised(target, bytes);
    Block* to = block_of(target);
    if (!to) return;
    if (to->initialised) {
        to->initialised = false;
        make_shadow(*to);
        if (to->view.shadow) std::memset(to->view.shadow, 1, to->view.size);
    } else {
        make_shadow(*to);
    }
    if (!to->view.shadow) return;
    u8* out = to->view.shadow + (target - to->view.base);
    if (from->view.shadow)
        std::memmove(out, from->view.shadow + (source - from->view.base), bytes);
    else
        std::memset(out, 0, bytes);
}

void DeviceMemory::prepare_shadows() {
    if (!track_) return;
    for (auto& [address, block] : blocks_) make_shadow(*block);
}

} // namespace ptxgen::runtime::emulator
