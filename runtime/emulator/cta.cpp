#include "runtime/emulator/cta.hpp"
#include "runtime/emulator/clc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace ptxgen::runtime::emulator {
namespace {

constexpr u32 chunk = 1024; ///< back-edges between looks at the other splits

u64 round_up(u64 x, u64 step) { return (x + step - 1) / step * step; }

Dim3 position(u64 linear, const Dim3& extent) {
    return {static_cast<u32>(linear % extent.x), static_cast<u32>(linear / extent.x % extent.y),
            static_cast<u32>(linear / extent.x / extent.y)};
}

void grow(std::unique_ptr<u8[], void (*)(void*)>& storage, u64& capacity, u64 bytes) {
    if (bytes <= capacity) return;
    storage = {static_cast<u8*>(std::aligned_alloc(64, round_up(bytes, 64))), std::free};
    capacity = bytes;
}

template <class T, class F>
void fill(u8* at, F value) {
    T* out = reinterpret_cast<T*>(at);
    for (u32 l = 0; l < warp_size; ++l) out[l] = static_cast<T>(value(l));
}

/// Value of a special register that is fixed for a warp's lanes.
u64 special_value(std::string_view name, const Cta& cta, u32 warp, u32 lane) {
    const Launch& launch = *cta.launch;
    const Dim3 &block = launch.config.block, &grid = launch.config.grid;
    const Dim3& cluster = launch.cluster;
    const Dim3 tid = position(warp * warp_size + lane, block);
    const auto component = [&](const Dim3& v) {
        return u64{name.back() == 'x' ? v.x : name.back() == 'y' ? v.y : name.back() == 'z' ? v.z : 0};
    };
    const std::string_view base = name.substr(0, name.find('.'));
    if (base == "%tid") return component(tid);
    if (base == "%ntid") return component(block);
    if (base == "%ctaid") return component(cta.id);
    if (base == "%nctaid") return component(grid);
    if (base == "%laneid") return lane;
    if (base == "%warpid") return warp;
    if (base == "%nwarpid") return 2048 / warp_size;
    if (base == "%smid") return cta.resident_slot % launch.options->multiprocessors;
    if (base == "%nsmid") return launch.options->multiprocessors;
    if (base == "%gridid") return launch.grid_id;
    if (base == "%clusterid") return component({cta.id.x / cluster.x, cta.id.y / cluster.y, cta.id.z / cluster.z});
    if (base == "%nclusterid") return component({grid.x / cluster.x, grid.y / cluster.y, grid.z / cluster.z});
    const Dim3 in_cluster{cta.id.x % cluster.x, cta.id.y % cluster.y, cta.id.z % cluster.z};
    if (base == "%cluster_ctaid") return component(in_cluster);
    if (base == "%cluster_nctaid") return component(cluster);
    if (base == "%cluster_ctarank")
        return in_cluster.x + u64{cluster.x} * (in_cluster.y + u64{cluster.y} * in_cluster.z);
    if (base == "%cluster_nctarank") return cluster.count();
    if (base == "%is_explicit_cluster") return launch.explicit_cluster;
    if (base == "%lanemask_eq") return u64{1} << lane;
    if (base == "%lanemask_lt") return (u64{1} << lane) - 1;
    if (base == "%lanemask_le") return (u64{2} << lane) - 1;
    if (base == "%lanemask_ge") return all_lanes & ~((u64{1} << lane) - 1);
    if (base == "%lanemask_gt") return all_lanes & ~((u64{2} << lane) - 1);
    if (base == "%dynamic_smem_size") return launch.config.shared_bytes;
    if (base == "%total_smem_size" || base == "%aggr_smem_size") return launch.shared_bytes;
    return 0; // environment registers and counters
}

/// Merges splits at the same place and picks the one to run. False if all wait.
bool pick_split(WarpState& w) {
    auto& splits = w.splits;
    for (std::size_t k = 0; k < splits.size();) {
        if (splits[k].mask == 0) {
            splits.erase(splits.begin() + static_cast<std::ptrdiff_t>(k));
            continue;
        }
        bool merged = false;
        for (std::size_t j = 0; j < k && !merged; ++j) {
            Split &a = splits[j], &b = splits[k];
            if (a.pc != b.pc || a.released != b.released || a.wait == Stop::barrier || b.wait == Stop::barrier)
                continue;
            a.mask |= b.mask;
            a.wait = Stop::none;
            a.priority = std::min(a.priority, b.priority);
            a.spins = std::min(a.spins, b.spins);
            merged = true;
        }
        if (merged)
            splits.erase(splits.begin() + static_cast<std::ptrdiff_t>(k));
        else
            ++k;
    }
    std::size_t best = splits.size();
    for (std::size_t k = 0; k < splits.size(); ++k) {
        if (splits[k].wait != Stop::none) continue;
        if (best == splits.size() || splits[k].priority < splits[best].priority ||
            (splits[k].priority == splits[best].priority && splits[k].pc < splits[best].pc))
            best = k;
    }
    if (best == splits.size()) return false;
    Split& s = splits[best];
    w.current = best;
    w.limit = reinterpret_cast<const Inst*>(~std::uintptr_t{0});
    bool behind = false;
    for (std::size_t k = 0; k < splits.size(); ++k) {
        if (k == best || splits[k].wait != Stop::none) continue;
        if (splits[k].pc > s.pc)
            w.limit = std::min(w.limit, splits[k].pc);
        else
            behind = true;
    }
    w.fuel = behind ? 1 : w.most_fuel;
    w.active = w.mask = s.mask;
    w.active_count = static_cast<u32>(std::popcount(s.mask));
    w.mode = s.mask == all_lanes ? 0 : 1;
    w.released = std::exchange(s.released, false);
    w.pc = s.pc;
    w.stop = Stop::none;
    return true;
}

/// All splits wait and no barrier will free them: a .sync instruction that lanes never reach.
void report_stuck(WarpState& w) {
    for (const Split& s : w.splits) {
        if (s.wait != Stop::sync) continue;
        std::string others;
        for (const Split& o : w.splits)
            if (&o != &s)
                others += fmt::format("{}lanes {:#010x} at line {}", others.empty() ? "" : ", ", o.mask,
                                      line_of(*w.cta->launch->program, o.pc));
        if (others.empty()) others = "the others have ended";
        w.active = s.mask;
        report(w, s.pc, std::countr_zero(s.mask), "synccheck",
               fmt::format("lanes {:#010x} wait for all lanes that take part, but not all come ({})", s.mask, others));
        return;
    }
}

} // namespace

Dim3 cta_position(const Launch& launch, u64 id, u32 rank) {
    const Dim3 &c = launch.cluster, &grid = launch.config.grid;
    const Dim3 at = position(id, {grid.x / c.x, grid.y / c.y, grid.z / c.z}), in = position(rank, c);
    return {at.x * c.x + in.x, at.y * c.y + in.y, at.z * c.z + in.z};
}

bool is_ready(WarpState& w) {
    if (w.splits.empty() || w.blocked) return false;
    if (!w.parked) return true;
    bool changed = w.cta->worker->insists;
    for (u32 k = 0; k < w.poll_count && !changed; ++k) changed = has_changed(w.polls[k]);
    if (changed) w.parked = false;
    return changed;
}

WarpResult run_warp(WarpState& w, s64 quantum) {
    w.quantum = quantum;
    w.most_fuel = static_cast<u32>(std::min<s64>(quantum, chunk));
    w.cta->started = true;
    Launch& launch = *w.cta->launch;
    for (;;) {
        if (!pick_split(w)) {
            if (w.splits.empty()) return WarpResult::ended;
            const bool at_barrier =
                std::any_of(w.splits.begin(), w.splits.end(), [](const Split& s) { return s.wait == Stop::barrier; });
            if (!at_barrier) {
                report_stuck(w);
                return WarpResult::stopped;
            }
            w.blocked = true;
            return WarpResult::waits;
        }
        const u32 fuel = w.fuel;
        if (w.tracking) {
            run_tracking(w);
        } else {
            const Inst* i = w.pc;
            const u32 mode = w.mode;
            while (i) i = i->run[mode](w, i);
        }
        const u32 used = fuel - w.fuel;
        w.quantum -= used;
        Split& s = w.splits[w.current];
        s.pc = w.pc;
        s.released = w.released;
        s.spins += used;
        switch (w.stop) {
        case Stop::sync:
        case Stop::barrier: s.wait = w.stop; break;
        case Stop::track: w.tracking = true; break;
        case Stop::fault: return WarpResult::stopped;
        case Stop::yield:
            if (w.splits.size() > 1) s.priority = ++w.priority_clock;
            [[fallthrough]];
        case Stop::preempt:
            if (launch.stop.load(std::memory_order_relaxed)) return WarpResult::stopped;
            return WarpResult::yielded;
        default: break;
        }
        if (w.quantum <= 0) {
            if (launch.stop.load(std::memory_order_relaxed)) return WarpResult::stopped;
            return WarpResult::yielded;
        }
    }
}

void start_cta(Cta& cta, Cluster& cluster, u32 rank) {
    Launch& launch = *cluster.launch;
    Worker& worker = *cluster.worker;
    const Program& program = *launch.program;
    const Dim3& grid = launch.config.grid;
    cta.launch = &launch;
    cta.worker = &worker;
    cta.cluster = &cluster;
    cta.rank = rank;
    cta.started = cta.ended = false;
    cta.id = cta_position(launch, cluster.id, rank);
    const u64 linear_id = cta.id.x + u64{grid.x} * (cta.id.y + u64{grid.y} * cta.id.z);
    cta.linear_id = linear_id;
    cta.threads = cta.live_threads = static_cast<u32>(launch.config.block.count());
    cta.resident_slot = static_cast<u32>(linear_id);
    cta.barriers = {};
    cta.events = 0;
    const u32 warps = (cta.threads + warp_size - 1) / warp_size;
    const bool checks = launch.options->checks;
    grow(cta.registers, cta.register_capacity, u64{program.register_bytes} * warps + 64);
    grow(cta.shared, cta.shared_capacity, launch.shared_bytes + 64);
    if (checks)
        cta.shared_shadow.assign(launch.shared_bytes + 64, 0);
    else
        std::memset(cta.shared.get(), 0, launch.shared_bytes);
    const u64 local_bytes = round_up(program.local_bytes, 16);
    const u64 local_total = local_bytes * warp_size * warps;
    if (local_total) {
        cta.local.resize(std::max<std::size_t>(cta.local.size(), local_total + 64));
        if (checks) cta.local_shadow.assign(local_total + 64, 0);
    }
    cta.warps.resize(warps);
    for (u32 k = 0; k < warps; ++k) {
        WarpState& w = cta.warps[k];
        const u32 lanes = std::min(warp_size, cta.threads - k * warp_size);
        static_cast<Warp&>(w) = Warp{};
        w.regs = cta.registers.get() + u64{program.register_bytes} * k;
        w.live = lanes == warp_size ? all_lanes : (1u << lanes) - 1;
        w.index = k;
        w.global_delta = launch.memory->delta();
        w.global_base = DeviceMemory::device_base;
        w.global_size = launch.memory->size();
        w.shared = cta.shared.get();
        w.shared_shadow = checks ? cta.shared_shadow.data() : nullptr;
        w.shared_size = launch.shared_bytes;
        w.local = cta.local.data() + local_bytes * warp_size * k;
        w.local_shadow = checks ? cta.local_shadow.data() + local_bytes * warp_size * k : nullptr;
        w.local_size = local_bytes;
        w.params = launch.params.data();
        w.params_size = launch.params.size();
        w.cache = worker.cache.data();
        w.cta = &cta;
        w.worker = &worker;
        w.splits.assign(1, Split{.pc = program.code.data(), .mask = w.live});
        w.current = 0;
        w.priority_clock = 0;
        w.copies.clear();
        w.committed = {};
        w.blocked = w.parked = false;
        w.poll_count = w.futile = 0;
        w.poll_writes = 0;
        w.cluster_arrived = w.cluster_odd = 0;
        if (!program.constants.empty()) std::memcpy(w.regs, program.constants.data(), program.constants.size());
        for (const auto& special : program.specials) {
            const std::string_view name = special_registers()[special.index].name;
            const bool by_lane = name.starts_with("%tid") || name.starts_with("%lane");
            const u64 common = by_lane ? 0 : special_value(name, cta, k, 0);
            const auto value = [&](u32 l) { return by_lane ? special_value(name, cta, k, l) : common; };
            if (special.bytes == 2)
                fill<u16>(w.regs + special.offset, value);
            else if (special.bytes == 4)
                fill<u32>(w.regs + special.offset, value);
            else
                fill<u64>(w.regs + special.offset, value);
        }
        for (const auto& [offset, bytes] : program.undefined) std::memset(w.regs + offset, 0, bytes);
        if (checks && !program.undefined.empty()) {
            w.undefined_storage.assign(program.register_bytes / 64, 0);
            for (const auto& [offset, bytes] : program.undefined)
                for (u32 at = offset; at < offset + bytes; at += 64) w.undefined_storage[at / 64] = all_lanes;
            w.undefined = w.undefined_storage.data();
            w.tracking = true;
        }
    }
}

CtaState run_cta(Cta& cta) {
    for (bool first = true;; first = false) {
        bool all_ended = true, any_ran = false, any_parked = false, any_event = false;
        const u64 events = cta.events;
        for (WarpState& w : cta.warps) {
            if (w.splits.empty()) continue;
            all_ended = false;
            if (!is_ready(w)) {
                any_parked = any_parked || w.parked;
                continue;
            }
            any_ran = true;
            switch (run_warp(w, long_quantum)) {
            case WarpResult::stopped: return CtaState::stopped;
            case WarpResult::ended:
            case WarpResult::waits: any_event = true; break;
            case WarpResult::yielded: break;
            }
        }
        if (all_ended) return CtaState::finished;
        if (!any_ran) return any_parked ? first ? CtaState::waits : CtaState::yielded : CtaState::stuck;
        if (!any_event && cta.events == events) return CtaState::yielded;
    }
}

void complete_barrier(Cta& cta, u32 id) {
    Barrier& b = cta.barriers[id];
    b.result_popc = b.popc;
    b.result_and = b.votes_and != 0;
    b.result_or = b.votes_or != 0;
    b.arrived = b.popc = b.expected = 0;
    b.votes_and = all_lanes;
    b.votes_or = 0;
    ++cta.events;
    for (WarpState& w : cta.warps)
        for (Split& s : w.splits)
            if (s.wait == Stop::barrier && s.barrier == id) {
                s.wait = Stop::none;
                s.released = true;
                w.blocked = w.parked = false;
            }
}

bool threads_ended(Warp& w, const Inst* i) {
    Cta& cta = *w.cta;
    ++cta.events;
    for (u32 id = 0; id < cta.barriers.size(); ++id) {
        const Barrier& b = cta.barriers[id];
        if (b.arrived == 0 || b.expected != 0 || b.arrived != cta.live_threads) continue;
        if (cta.launch->options->checks) {
            report(w, i, -1, "synccheck",
                   fmt::format("barrier {}: {} threads wait there, this one ends without arriving", id, b.arrived));
            return false;
        }
        complete_barrier(cta, id);
    }
    return true;
}

namespace {

/// "global address 0x…, which stays 0x0": the first word that a warp asks.
std::string describe_word(const Cta& cta, const Poll& poll) {
    const Poll::Word& word = poll.words.front();
    for (const auto& other : cta.cluster->ctas)
        if (const u64 offset = static_cast<u64>(word.at - other->shared.get()); offset < cta.launch->shared_bytes)
            return fmt::format("shared address {:#x}{}, which stays {:#x}", offset,
                               other.get() == &cta ? "" : fmt::format(" of the CTA with rank {}", other->rank),
                               word.value);
    return fmt::format("global address {:#x}, which stays {:#x}",
                       reinterpret_cast<u64>(word.at) - cta.launch->memory->delta(), word.value);
}

/// Whether the warp's last poll is close enough to be what it loops on.
bool polls_near(const WarpState& w, const Inst* pc) {
    if (w.poll_count == 0 || w.polls[w.poll_count - 1].words.empty()) return false;
    constexpr std::ptrdiff_t near = 32;
    const std::ptrdiff_t distance = pc - w.polls[w.poll_count - 1].inst;
    return distance >= -near && distance <= near;
}

} // namespace

std::string describe_waits(const std::vector<Cta*>& ctas) {
    std::string out;
    int shown = 0;
    for (const Cta* cta : ctas)
        for (const WarpState& w : cta->warps)
            for (const Split& s : w.splits) {
                if (++shown > 6) return out + ", …";
                if (!out.empty()) out += "; ";
                out += fmt::format("CTA ({},{},{}) warp {}", cta->id.x, cta->id.y, cta->id.z, w.index);
                if (s.mask != all_lanes) out += fmt::format(" lanes {:#010x}", s.mask);
                const u32 line = line_of(*cta->launch->program, s.pc);
                if (s.wait == Stop::barrier && s.barrier == cluster_barrier) {
                    out += fmt::format(" waits at the cluster's barrier with {} of {} threads (line {})",
                                       cta->cluster->arrived, cta->cluster->live_threads, line);
                } else if (s.wait == Stop::barrier) {
                    const Barrier& b = cta->barriers[s.barrier];
                    out += fmt::format(" waits at barrier {} with {} of {} threads (line {})", s.barrier, b.arrived,
                                       b.expected ? b.expected : cta->live_threads, line);
                } else if (s.wait == Stop::sync) {
                    out += fmt::format(" waits for other lanes (line {})", line);
                } else if (s.wait == Stop::none && polls_near(w, s.pc)) {
                    const Poll& asked = w.polls[w.poll_count - 1];
                    const u32 asked_line = line_of(*cta->launch->program, asked.inst);
                    const std::string wait = describe_mbarrier_wait(w, asked);
                    out += wait.empty() ? fmt::format(" loops at line {} on {}", asked_line, describe_word(*cta, asked))
                                        : fmt::format("{} (line {})", wait, asked_line);
                } else {
                    out += fmt::format(" loops at line {}", line);
                }
            }
    return out;
}

} // namespace ptxgen::runtime::emulator
