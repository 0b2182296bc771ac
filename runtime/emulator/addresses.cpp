#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

// Address windows, and the lane-by-lane way through a memory access.
namespace ptxgen::runtime::emulator {
namespace {

u64 address_of(Warp& w, const Inst* i, int lane) {
    const u64 a = (i->mode & mode_wide_address) ? reg<u64>(w, i->a)[lane] : reg<u32>(w, i->a)[lane];
    return a + static_cast<u64>(i->imm);
}

} // namespace

const Allocation* find_allocation(Warp& w, u64 address) { return launch_of(w).memory->find(address); }

bool resolve_lanes(Warp& w, const Inst* i, u32 lanes, Access& access) {
    const Launch& launch = launch_of(w);
    const DeviceMemory& memory = *launch.memory;
    const bool checks = launch.options->checks;
    const u64 bytes = i->bytes;
    const char* verb = (i->mode & mode_store) ? "write" : "read";
    const Allocation* last = nullptr;
    access.affine = false;
    access.any_shadow = false;
    for (u32 m = lanes; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        u64 at = address_of(w, i, l);
        u8 space = i->mode & mode_space_mask;
        if (space == mode_generic) {
            space = mode_global;
            if (at >= shared_window && at < shared_window + window_bytes) {
                space = mode_shared;
                at -= shared_window;
            } else if (at >= local_window && at < local_window + window_bytes) {
                space = mode_local;
                at -= local_window;
            }
        }
        Cta* peer = nullptr;
        if (space == mode_shared && (i->mode & mode_cluster) && at >> cluster_shift) {
            peer = peer_at(w, i, l, at);
            if (!peer) return false;
        }
        const char* name = space == mode_shared ? "shared" : space == mode_local ? "local" : "global";
        if (checks && at % bytes) {
            fault(w, i, l, "memcheck",
                  fmt::format("{} of {} bytes at {} address {:#x}, which is not aligned to {}", verb, bytes, name, at,
                              bytes),
                  at);
            return false;
        }
        u8* shadow = nullptr;
        if (space == mode_global) {
            if (checks) {
                if (!last || !(at - last->base < last->size && bytes <= last->size - (at - last->base)))
                    last = memory.find(at);
                if (!last || bytes > last->size - (at - last->base)) {
                    fault(
                        w, i, l, "memcheck",
                        fmt::format("{} of {} bytes at global address {:#x}: {}", verb, bytes, at, memory.describe(at)),
                        at);
                    return false;
                }
                if (last->shadow) shadow = last->shadow + (at - last->base);
            } else if (bytes > w.global_size || at - w.global_base > w.global_size - bytes) {
                fault(w, i, l, "memcheck",
                      fmt::format("{} of {} bytes at global address {:#x}: {}", verb, bytes, at, memory.describe(at)),
                      at);
                return false;
            }
            access.lane[l] = reinterpret_cast<u8*>(w.global_delta + at);
        } else {
            const u64 size = space == mode_shared ? w.shared_size : w.local_size; // the same for all CTAs
            if (bytes > size || at > size - bytes) {
                fault(w, i, l, "memcheck",
                      fmt::format("{} of {} bytes at {} address {:#x}: there are {} bytes of it", verb, bytes, name, at,
                                  size),
                      at);
                return false;
            }
            const u64 offset = space == mode_shared ? at : static_cast<u64>(l) * w.local_size + at;
            access.lane[l] = (peer ? peer->shared.get() : space == mode_shared ? w.shared : w.local) + offset;
            u8* shadows = peer                   ? checks ? peer->shared_shadow.data() : nullptr
                          : space == mode_shared ? w.shared_shadow
                                                 : w.local_shadow;
            if (shadows) shadow = shadows + offset;
        }
        access.lane_shadow[l] = shadow;
        access.any_shadow = access.any_shadow || shadow;
    }
    // a full access takes every lane's pointer
    if (lanes != all_lanes && lanes) {
        const int first = std::countr_zero(lanes);
        for (u32 m = ~lanes; m; m &= m - 1) {
            access.lane[std::countr_zero(m)] = access.lane[first];
            access.lane_shadow[std::countr_zero(m)] = nullptr;
        }
    }
    return true;
}

void mark_undefined_load(Warp& w, const Inst* i, u32 lanes, const Access* access) {
    WarpState& s = state(w);
    const Program& program = *launch_of(w).program;
    if (!w.undefined) {
        s.undefined_storage.assign(program.register_bytes / 64, 0);
        w.undefined = s.undefined_storage.data();
    }
    const auto& writes = program.traces[static_cast<std::size_t>(i - program.code.data())].writes;
    const u32 element = i->bytes / std::max<u32>(i->n, 1);
    for (u32 m = lanes; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        for (std::size_t k = 0; k < writes.size(); ++k) {
            bool unwritten = true;
            if (access && writes.size() == i->n) {
                const u8* shadow =
                    (access->affine ? access->shadow + l * access->stride : access->lane_shadow[l]) + k * element;
                unwritten = std::any_of(shadow, shadow + element, [](u8 b) { return b == 0; });
            }
            if (unwritten) w.undefined[writes[k] / 64] |= 1u << l;
        }
    }
}

const Inst* run_to_generic(Warp& w, const Inst* i) {
    const u64 window = i->mode == mode_shared ? shared_window : local_window;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        reg<u64>(w, i->d)[l] = reg<u64>(w, i->a)[l] + window;
    }
    return i + 1;
}

const Inst* run_from_generic(Warp& w, const Inst* i) {
    const u64 window = i->mode == mode_shared ? shared_window : local_window;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        reg<u64>(w, i->d)[l] = reg<u64>(w, i->a)[l] - window;
    }
    return i + 1;
}

const Inst* run_isspacep(Warp& w, const Inst* i) {
    u32 r = 0;
    for (u32 l = 0; l < warp_size; ++l) {
        const u64 a = reg<u64>(w, i->a)[l];
        const u64 reach = i->mode & mode_cluster ? window_bytes : u64{1} << cluster_shift;
        const bool shared = a >= shared_window && a < shared_window + reach,
                   in_cluster = a >= shared_window && a < shared_window + window_bytes,
                   local = a >= local_window && a < local_window + window_bytes;
        const u8 space = i->mode & mode_space_mask;
        const bool yes = space == mode_shared   ? shared
                         : space == mode_local  ? local
                         : space == mode_global ? !in_cluster && !local
                                                : false;
        r |= static_cast<u32>(yes) << l;
    }
    u32& d = pred(w, i->d);
    d = (d & ~w.mask) | (r & w.mask);
    return i + 1;
}

} // namespace ptxgen::runtime::emulator
