#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>

// Instructions in which the lanes of a warp meet. Inst::e holds the member mask.
namespace ptxgen::runtime::emulator {
namespace {

/// Calls f(members) once for every member mask that active lanes name, when all of those lanes have come. Otherwise
/// the split waits. Returns what the handler returns.
template <class F>
const Inst* with_members(Warp& w, const Inst* i, F f) {
    const u32* masks = reg<u32>(w, i->e);
    const bool checks = launch_of(w).options->checks;
    u32 left = w.active;
    while (left) {
        const int leader = std::countr_zero(left);
        const u32 mask = masks[leader];
        u32 group = 0;
        for (u32 m = left; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            if (masks[l] == mask) group |= 1u << l;
        }
        left &= ~group;
        if (checks) {
            if (const u32 outside = group & ~mask)
                return fault(w, i, std::countr_zero(outside), "synccheck",
                             fmt::format("the lane is not in its own member mask {:#010x}", mask));
            if (const u32 ended = mask & ~w.live)
                return fault(
                    w, i, leader, "synccheck",
                    fmt::format("the member mask {:#010x} names lanes {:#010x}, which have ended or do not exist", mask,
                                ended));
        }
        if (mask & w.live & ~w.active) return stop_at(w, i, Stop::sync);
    }
    left = w.active;
    while (left) {
        const u32 mask = masks[std::countr_zero(left)];
        u32 group = 0;
        for (u32 m = left; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            if (masks[l] == mask) group |= 1u << l;
        }
        left &= ~group;
        f(group & (mask | ~w.live));
    }
    return i + 1;
}

inline void set_predicate(Warp& w, u32 offset, u32 lanes, u32 value) {
    u32& p = pred(w, offset);
    p = (p & ~lanes) | (value & lanes);
}

} // namespace

const Inst* run_shfl(Warp& w, const Inst* i) {
    u32 a[warp_size];
    std::memcpy(a, reg<u32>(w, i->a), sizeof a);
    return with_members(w, i, [&](u32 group) {
        const u32 *b = reg<u32>(w, i->b), *c = reg<u32>(w, i->c);
        u32* d = reg<u32>(w, i->d);
        u32 valid = 0;
        if (group == all_lanes && i->mode == 2) {
            // the common reduction step
            bool uniform = true;
            for (u32 l = 1; l < warp_size; ++l) uniform = uniform && b[l] == b[0] && c[l] == c[0];
            if (uniform && (c[0] & 0x1f1f) == 0x1f) {
                const u32 x = b[0] & 31;
                for (u32 l = 0; l < warp_size; ++l) d[l] = a[l ^ x];
                set_predicate(w, i->list[0], group, group);
                return;
            }
        }
        u32 r[warp_size];
        for (u32 m = group; m; m &= m - 1) {
            const u32 l = static_cast<u32>(std::countr_zero(m));
            const u32 clamp = c[l] & 31, segment = (c[l] >> 8) & 31, offset = b[l] & 31;
            const u32 max_lane = (l & segment) | (clamp & ~segment), min_lane = l & segment;
            u32 from = 0;
            bool inside = false;
            switch (i->mode) {
            case 0:
                inside = static_cast<s32>(l) - static_cast<s32>(offset) >= static_cast<s32>(max_lane);
                from = l - offset;
                break;
            case 1:
                from = l + offset;
                inside = from <= max_lane;
                break;
            case 2:
                from = l ^ offset;
                inside = from <= max_lane;
                break;
            default:
                from = min_lane | (offset & ~segment);
                inside = from <= max_lane;
                break;
            }
            if (inside)
                valid |= 1u << l;
            else
                from = l;
            r[l] = a[from & 31];
        }
        for (u32 m = group; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            d[l] = r[l];
        }
        set_predicate(w, i->list[0], group, valid);
    });
}

const Inst* run_vote(Warp& w, const Inst* i) {
    const u32 value = pred(w, i->a);
    return with_members(w, i, [&](u32 group) {
        const u32 yes = value & group;
        switch (i->mode) {
        case 0: set_predicate(w, i->d, group, yes == group ? all_lanes : 0); break;
        case 1: set_predicate(w, i->d, group, yes ? all_lanes : 0); break;
        case 2: set_predicate(w, i->d, group, yes == group || yes == 0 ? all_lanes : 0); break;
        default:
            for (u32 m = group; m; m &= m - 1) reg<u32>(w, i->d)[std::countr_zero(m)] = yes;
            break;
        }
    });
}

const Inst* run_match(Warp& w, const Inst* i) {
    u64 a[warp_size];
    for (u32 l = 0; l < warp_size; ++l) a[l] = i->bytes == 8 ? reg<u64>(w, i->a)[l] : reg<u32>(w, i->a)[l];
    return with_members(w, i, [&](u32 group) {
        u32 same_all = all_lanes;
        for (u32 m = group; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            u32 same = 0;
            for (u32 o = group; o; o &= o - 1)
                if (a[std::countr_zero(o)] == a[l]) same |= o & -o;
            if (same != group) same_all = 0;
            if (i->mode == 0) reg<u32>(w, i->d)[l] = same;
        }
        if (i->mode == 1) {
            for (u32 m = group; m; m &= m - 1) reg<u32>(w, i->d)[std::countr_zero(m)] = same_all ? group : 0;
            set_predicate(w, i->c, group, same_all);
        }
    });
}

const Inst* run_redux(Warp& w, const Inst* i) {
    u32 a[warp_size];
    std::memcpy(a, reg<u32>(w, i->a), sizeof a);
    return with_members(w, i, [&](u32 group) {
        u32 r = a[std::countr_zero(group)];
        for (u32 m = group & (group - 1); m; m &= m - 1) {
            const u32 x = a[std::countr_zero(m)];
            const bool less = i->n ? static_cast<s32>(x) < static_cast<s32>(r) : x < r;
            switch (i->mode) {
            case 0: r += x; break;
            case 1: r = less ? x : r; break;
            case 2: r = less ? r : x; break;
            case 3: r &= x; break;
            case 4: r |= x; break;
            default: r ^= x; break;
            }
        }
        for (u32 m = group; m; m &= m - 1) reg<u32>(w, i->d)[std::countr_zero(m)] = r;
    });
}

const Inst* run_elect(Warp& w, const Inst* i) {
    return with_members(w, i, [&](u32 group) {
        const u32 leader = static_cast<u32>(std::countr_zero(group));
        for (u32 m = group; m; m &= m - 1) reg<u32>(w, i->d)[std::countr_zero(m)] = leader;
        set_predicate(w, i->c, group, 1u << leader);
    });
}

const Inst* run_activemask(Warp& w, const Inst* i) {
    for (u32 m = w.mask; m; m &= m - 1) reg<u32>(w, i->d)[std::countr_zero(m)] = w.mask;
    return i + 1;
}

const Inst* run_warp_sync(Warp& w, const Inst* i) {
    return with_members(w, i, [](u32) {});
}

const Inst* run_aligned(Warp& w, const Inst* i) {
    if (w.active != w.live) return stop_at(w, i, Stop::sync);
    if (w.live != all_lanes)
        return fault(w, i, -1, "synccheck",
                     fmt::format("all 32 lanes must execute this, lanes {:#010x} have ended or do not exist", ~w.live));
    return i->inner[0](w, i);
}

/// Lanes 0-7 give the rows' addresses of the first matrix, 8-15 of the second, …
const Inst* run_ldmatrix(Warp& w, const Inst* i) {
    if (w.active != w.live) return stop_at(w, i, Stop::sync);
    if (w.live != all_lanes) return fault(w, i, -1, "synccheck", "all 32 lanes must execute this");
    const u64* a = reg<u64>(w, i->a);
    u32 undefined = 0;
    u16 rows[4][8][8];
    for (u32 k = 0; k < i->n; ++k)
        for (u32 r = 0; r < 8; ++r) {
            const u32 lane = k * 8 + r;
            u64 at = a[lane] + static_cast<u64>(i->imm);
            if (at >= shared_window && at < shared_window + window_bytes) at -= shared_window;
            if (at % 16 || w.shared_size < 16 || at > w.shared_size - 16)
                return fault(w, i, static_cast<int>(lane), "memcheck",
                             fmt::format("a row of 16 bytes at shared address {:#x} is {} ({} bytes of shared memory)",
                                         at, at % 16 ? "misaligned" : "out of bounds", w.shared_size),
                             at);
            std::memcpy(rows[k][r], w.shared + at, 16);
            if (w.shared_shadow)
                for (u32 b = 0; b < 16; ++b)
                    if (!w.shared_shadow[at + b]) undefined = all_lanes;
        }
    for (u32 k = 0; k < i->n; ++k)
        for (u32 l = 0; l < warp_size; ++l) {
            const u32 row = l / 4, column = l % 4 * 2;
            const u32 low = i->mode ? rows[k][column][row] : rows[k][row][column];
            const u32 high = i->mode ? rows[k][column + 1][row] : rows[k][row][column + 1];
            reg<u32>(w, i->list[k])[l] = low | high << 16;
        }
    if (undefined) {
        mark_undefined_load(w, i, undefined, nullptr);
        if (!w.tracking) return stop_at(w, i + 1, Stop::track);
    }
    return i + 1;
}

const Inst* run_movmatrix(Warp& w, const Inst* i) {
    if (w.active != w.live) return stop_at(w, i, Stop::sync);
    if (w.live != all_lanes) return fault(w, i, -1, "synccheck", "all 32 lanes must execute this");
    u16 rows[8][8];
    std::memcpy(rows, reg<u32>(w, i->a), sizeof rows); // a lane has two neighbours of a row
    for (u32 l = 0; l < warp_size; ++l) {
        const u32 row = l / 4, column = l % 4 * 2;
        reg<u32>(w, i->d)[l] = static_cast<u32>(rows[column][row]) | static_cast<u32>(rows[column + 1][row]) << 16;
    }
    return i + 1;
}

const Inst* run_cp_async(Warp& w, const Inst* i) {
    WarpState& s = state(w);
    DeviceMemory& memory = *launch_of(w).memory;
    const u64 *to = reg<u64>(w, i->d), *from = reg<u64>(w, i->a);
    for (u32 m = w.mask; m; m &= m - 1) {
        const u32 l = static_cast<u32>(std::countr_zero(m));
        u64 target = to[l] + static_cast<s64>(static_cast<s32>(i->count));
        const u64 source = from[l] + static_cast<u64>(i->imm);
        if (target >= shared_window && target < shared_window + window_bytes) target -= shared_window;
        u32 copied = i->b == ~u32{0} ? i->bytes : reg<u32>(w, i->b)[l];
        if (i->c != ~u32{0} && ((pred(w, i->c) >> l) & 1)) copied = 0;
        if (copied > i->bytes)
            return fault(w, i, static_cast<int>(l), "memcheck",
                         fmt::format("cp.async reads {} bytes but writes {}", copied, i->bytes));
        if (target % i->bytes || w.shared_size < i->bytes || target > w.shared_size - i->bytes)
            return fault(w, i, static_cast<int>(l), "memcheck",
                         fmt::format("{} bytes at shared address {:#x} are {} ({} bytes of shared memory)", i->bytes,
                                     target, target % i->bytes ? "misaligned" : "out of bounds", w.shared_size),
                         target);
        if (source % i->bytes)
            return fault(w, i, static_cast<int>(l), "memcheck",
                         fmt::format("global address {:#x} is not aligned to {} bytes", source, i->bytes), source);
        const u8* at = nullptr;
        if (copied) {
            const Allocation* allocation = memory.find(source);
            if (!allocation || copied > allocation->size - (source - allocation->base))
                return fault(w, i, static_cast<int>(l), "memcheck",
                             fmt::format("reads {} bytes at {:#x}: {}", copied, source, memory.describe(source)),
                             source);
            at = memory.host(source);
        }
        s.copies.push_back({w.shared + target, at, w.shared_shadow ? w.shared_shadow + target : nullptr, i->bytes,
                            copied, l, s.committed[l]});
    }
    return i + 1;
}

const Inst* run_cp_async_commit(Warp& w, const Inst* i) {
    WarpState& s = state(w);
    for (u32 m = w.mask; m; m &= m - 1) ++s.committed[static_cast<std::size_t>(std::countr_zero(m))];
    return i + 1;
}

/// Completes all but the latest Inst::imm groups of every lane; with mode all copies, committed or not.
const Inst* run_cp_async_wait(Warp& w, const Inst* i) {
    WarpState& s = state(w);
    std::size_t kept = 0;
    for (const AsyncCopy& copy : s.copies) {
        const bool waits = (w.mask >> copy.lane) & 1;
        const bool done = waits && (i->mode || s64{copy.group} + i->imm < s64{s.committed[copy.lane]});
        if (!done) {
            s.copies[kept++] = copy;
            continue;
        }
        if (copy.copied) std::memcpy(copy.target, copy.source, copy.copied);
        if (copy.copied < copy.bytes) std::memset(copy.target + copy.copied, 0, copy.bytes - copy.copied);
        if (copy.target_shadow) std::memset(copy.target_shadow, 1, copy.bytes);
        ++w.writes;
    }
    s.copies.resize(kept);
    return i + 1;
}

} // namespace ptxgen::runtime::emulator
