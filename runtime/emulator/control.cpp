#include "runtime/emulator/clc.hpp"
#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>

// Control flow, barriers and what else does not depend on the instruction set.
namespace ptxgen::runtime::emulator {
namespace {

constexpr u32 spins_before_demotion = 1024;

/// The fuel is used up at a back-edge to `next`.
const Inst* back_edge(Warp& w, const Inst* next) {
    WarpState& s = state(w);
    Split& split = s.splits[s.current];
    if (s.splits.size() > 1 && split.spins >= spins_before_demotion) {
        // another split may hold what this one waits for
        split.priority = ++s.priority_clock;
        split.spins = 0;
    }
    return stop_at(w, next, s.quantum <= 0 ? Stop::yield : Stop::reschedule);
}

inline const Inst* go(Warp& w, const Inst* i, const Inst* next) {
    if (next <= i && --w.fuel == 0) [[unlikely]]
        return back_edge(w, next);
    if (next >= w.limit) [[unlikely]]
        return stop_at(w, next, Stop::reschedule);
    return next;
}

} // namespace

const Inst* run_guarded(Warp& w, const Inst* i) {
    const u32 lanes = (pred(w, i->guard) ^ i->flip) & w.active;
    if (lanes == 0) return i + 1;
    if (lanes == all_lanes) return i->inner[0](w, i);
    w.mask = lanes;
    const Inst* next = i->inner[1](w, i);
    w.mask = w.active;
    return next;
}

const Inst* run_branch(Warp& w, const Inst* i) {
    w.executed += u64{i->count} * w.active_count;
    return go(w, i, i->target);
}

const Inst* run_branch_if(Warp& w, const Inst* i) {
    w.executed += u64{i->count} * w.active_count;
    const u32 taken = (pred(w, i->guard) ^ i->flip) & w.active;
    if (taken == w.active) return go(w, i, i->target);
    if (taken == 0) return go(w, i, i->fall);
    WarpState& s = state(w);
    Split other = s.splits[s.current];
    other.mask = taken;
    other.pc = i->target;
    other.spins = 0;
    s.splits[s.current].mask = w.active & ~taken;
    s.splits.push_back(other);
    if (i->target <= i) s.quantum -= 1;
    return stop_at(w, i->fall, Stop::reschedule);
}

/// Ends the lanes whose guard holds (all if Inst::guard is ~0).
const Inst* run_exit(Warp& w, const Inst* i) {
    w.executed += u64{i->count} * w.active_count;
    const u32 ending = i->guard == ~u32{0} ? w.active : (pred(w, i->guard) ^ i->flip) & w.active;
    if (ending == 0) return go(w, i, i->fall);
    WarpState& s = state(w);
    w.live &= ~ending;
    w.cta->live_threads -= static_cast<u32>(std::popcount(ending));
    end_cluster_threads(w, ending);
    s.splits[s.current].mask = w.active & ~ending;
    for (Split& split : s.splits)
        if (split.wait == Stop::sync) split.wait = Stop::none; // it may no longer have to wait for these lanes
    if (!threads_ended(w, i)) return stop_at(w, i, Stop::fault);
    return stop_at(w, i->fall, s.splits[s.current].mask ? Stop::reschedule : Stop::exit);
}

const Inst* run_trap(Warp& w, const Inst* i) {
    const u32 lanes = i->guard == ~u32{0} ? w.active : (pred(w, i->guard) ^ i->flip) & w.active;
    w.executed += u64{i->count} * w.active_count;
    if (lanes == 0) return go(w, i, i->fall);
    return fault(w, i, std::countr_zero(lanes), "trap", "the kernel executed trap");
}

const Inst* run_nop(Warp&, const Inst* i) { return i + 1; }

const Inst* run_fence(Warp& w, const Inst* i) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return interrupt(w, i + 1);
}

const Inst* run_nanosleep(Warp& w, const Inst* i) {
    w.clock += reg<u32>(w, i->a)[std::countr_zero(w.mask)] & 0xfffffu;
    return stop_at(w, i + 1, Stop::yield);
}

const Inst* run_barrier(Warp& w, const Inst* i) {
    WarpState& s = state(w);
    Cta& cta = *w.cta;
    const int first = std::countr_zero(w.active);
    const u32 id = reg<u32>(w, i->a)[first];
    if (id >= named_barriers)
        return fault(w, i, first, "synccheck", fmt::format("barrier {}: a CTA has barriers 0 to 15", id));
    Barrier& b = cta.barriers[id];
    const u32 reduction = (i->mode >> 2) & 3;
    const auto deliver = [&] {
        if (reduction == 1) {
            u32* d = reg<u32>(w, i->d);
            for (u32 l = 0; l < warp_size; ++l)
                if ((w.active >> l) & 1) d[l] = b.result_popc;
        } else if (reduction) {
            u32& d = pred(w, i->d);
            const bool value = reduction == 2 ? b.result_and : b.result_or;
            d = (d & ~w.active) | (value ? w.active : 0);
        }
    };
    if (w.released) {
        w.released = false;
        deliver();
        return i + 1;
    }
    if ((i->mode & 1) && w.active != w.live) return stop_at(w, i, Stop::sync);
    const u32 count = i->b == ~u32{0} ? 0 : reg<u32>(w, i->b)[first];
    if (w.cta->launch->options->checks) {
        if (count % warp_size)
            return fault(w, i, first, "synccheck",
                         fmt::format("barrier {}: the thread count {} is no multiple of 32", id, count));
        for (u32 l = 0; l < warp_size; ++l)
            if (((w.active >> l) & 1) && (reg<u32>(w, i->a)[l] != id || (count && reg<u32>(w, i->b)[l] != count)))
                return fault(w, i, static_cast<int>(l), "synccheck",
                             fmt::format("barrier {}: threads of one warp name different barriers or counts", id));
        if (b.arrived && b.expected != count)
            return fault(w, i, first, "synccheck",
                         fmt::format("barrier {}: this thread expects {} threads, those that wait there expect {}", id,
                                     count ? std::to_string(count) : "all",
                                     b.expected ? std::to_string(b.expected) : "all"));
    }
    b.expected = count;
    // with a count, a warp arrives as a whole: lanes that have ended or never were count too
    u32 arriving = static_cast<u32>(std::popcount(w.active));
    if (count && (w.active & w.live & (0u - w.live))) arriving += warp_size - static_cast<u32>(std::popcount(w.live));
    b.arrived += arriving;
    if (reduction) {
        const u32 value = (pred(w, i->c) ^ i->flip) & w.active;
        b.popc += static_cast<u32>(std::popcount(value));
        if (value != w.active) b.votes_and = 0;
        if (value) b.votes_or = all_lanes;
    }
    const u32 needed = count ? count : cta.live_threads;
    if (count && b.arrived > needed)
        return fault(w, i, first, "synccheck",
                     fmt::format("barrier {}: {} threads arrived, {} were expected", id, b.arrived, needed));
    if (b.arrived == needed) {
        if (!count && cta.live_threads != cta.threads && cta.launch->options->checks)
            return fault(w, i, first, "synccheck",
                         fmt::format("barrier {}: {} of {} threads have ended and will not arrive", id,
                                     cta.threads - cta.live_threads, cta.threads));
        complete_barrier(cta, id);
        deliver();
        return i + 1;
    }
    if (i->mode & 2) return i + 1;
    s.splits[s.current].barrier = id;
    return stop_at(w, i, Stop::barrier);
}

/// Special registers that vary: Inst::imm is the index; the value goes to d, of Inst::bytes.
const Inst* run_special(Warp& w, const Inst* i) {
    const std::string_view name = special_registers()[static_cast<std::size_t>(i->imm)].name;
    w.clock += 8;
    const u64 cycles = w.clock + w.executed / warp_size;
    u64 value = cycles;
    if (name == "%clock_hi") value = cycles >> 32;
    if (name.starts_with("%globaltimer")) {
        value = launch_of(w).time_base + cycles;
        if (name == "%globaltimer_hi") value >>= 32;
    }
    for (u32 l = 0; l < warp_size; ++l) {
        if (!((w.mask >> l) & 1)) continue;
        if (i->bytes == 8)
            reg<u64>(w, i->d)[l] = value;
        else
            reg<u32>(w, i->d)[l] = static_cast<u32>(value);
    }
    return i + 1;
}

namespace {

/// How undefined the lanes of an operand are.
inline u32 undefined_of(const Warp& w, u32 offset) { return w.undefined[offset / 64]; }

/// A store of undefined values: fine in the thread's own local memory, which becomes undefined there.
const Inst* store_undefined(Warp& w, const Inst* i, u32 lanes, u32 undefined) {
    Access access;
    const u32 saved = w.mask;
    w.mask = lanes;
    const bool resolved = resolve_lanes(w, i, lanes, access);
    w.mask = saved;
    if (!resolved) return nullptr;
    for (u32 m = undefined; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const u8* local = w.local + static_cast<u64>(l) * w.local_size;
        if (access.lane[l] < local || access.lane[l] >= local + w.local_size)
            return fault(w, i, l, "initcheck", "stores a value that was never written");
    }
    const Inst* next = i->run[w.mode](w, i);
    if (!next) return nullptr;
    for (u32 m = undefined; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        if (access.lane_shadow[l]) std::memset(access.lane_shadow[l], 0, i->bytes);
    }
    return next;
}

} // namespace

void run_tracking(Warp& w) {
    const Program& program = *launch_of(w).program;
    const Inst* const code = program.code.data();
    const Inst* i = w.pc;
    while (i) {
        const Trace& trace = program.traces[static_cast<std::size_t>(i - code)];
        u32 lanes = w.active;
        const bool guarded = i->run[0] == run_guarded;
        if (guarded || (i->guard != ~u32{0} && !i->inner[0])) {
            if (const u32 bad = undefined_of(w, i->guard) & w.active) {
                fault(w, i, std::countr_zero(bad), "initcheck",
                      "the condition depends on a value that was never written");
                return;
            }
            if (guarded) lanes &= pred(w, i->guard) ^ i->flip;
        }
        if (w.clc && !watch_before(w, i, lanes)) {
            stop_at(w, i, Stop::fault);
            return;
        }
        for (const u32 offset : trace.uses)
            if (const u32 bad = undefined_of(w, offset) & lanes) {
                fault(w, i, std::countr_zero(bad), "initcheck", "uses a value that was never written");
                return;
            }
        u32 undefined = 0;
        for (const u32 offset : trace.reads) undefined |= undefined_of(w, offset);
        if (trace.shuffles && (undefined & lanes)) undefined = all_lanes;
        if (trace.stores && (undefined & lanes)) {
            const Inst* next = store_undefined(w, i, lanes, undefined & lanes);
            if (!next) return;
            i = next;
            continue;
        }
        if (!trace.keeps) {
            for (const u32 offset : trace.writes) {
                u32& u = w.undefined[offset / 64];
                u = (u & ~lanes) | (undefined & lanes);
            }
        } else {
            for (const u32 offset : trace.writes) w.undefined[offset / 64] &= ~lanes;
        }
        const Inst* const executed = i;
        i = i->run[w.mode](w, i);
        const bool done = i || (w.stop != Stop::fault && w.pc != executed);
        if (w.clc && done && !watch_after(w, executed, lanes)) {
            stop_at(w, executed, Stop::fault);
            return;
        }
    }
}

} // namespace ptxgen::runtime::emulator
