#include "runtime/emulator/clc.hpp"
#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// Resident clusters, and operations in flight.
namespace ptxgen::runtime::emulator {

std::unique_ptr<Cluster> start_cluster(Launch& launch, Worker& worker, u64 id) {
    std::unique_ptr<Cluster> cluster;
    if (worker.cluster_pool.empty()) {
        cluster = std::make_unique<Cluster>();
    } else {
        cluster = std::move(worker.cluster_pool.back());
        worker.cluster_pool.pop_back();
    }
    cluster->launch = &launch;
    cluster->worker = &worker;
    cluster->id = id;
    const u32 size = static_cast<u32>(launch.cluster.count());
    cluster->live_ctas = size;
    cluster->live_threads = size * static_cast<u32>(launch.config.block.count());
    cluster->arrived = 0;
    cluster->phase = 0;
    cluster->phases.clear();
    for (u32 rank = 0; rank < size; ++rank) {
        if (worker.pool.empty()) worker.pool.push_back(std::make_unique<Cta>());
        cluster->ctas.push_back(std::move(worker.pool.back()));
        worker.pool.pop_back();
        start_cta(*cluster->ctas.back(), *cluster, rank);
    }
    if (launch.clc && launch.options->checks) watch_cluster(*cluster);
    ++worker.events;
    launch.activity.fetch_add(1);
    return cluster;
}

bool end_cta(Cta& cta) {
    Cluster& cluster = *cta.cluster;
    Launch& launch = *cta.launch;
    u64 executed = 0, clock = 0;
    for (WarpState& w : cta.warps) {
        executed += w.executed;
        clock = std::max(clock, w.clock + w.executed / warp_size);
        w.executed = 0;
    }
    launch.executed.fetch_add(executed, std::memory_order_relaxed);
    u64 time = launch.virtual_time.load();
    while (time < clock && !launch.virtual_time.compare_exchange_weak(time, clock)) {
    }
    cta.ended = true;
    --cluster.live_ctas;
    ++cta.worker->events;
    launch.activity.fetch_add(1);
    if (cluster.clc && !unwatch_cta(cta)) return false;
    for (const auto& operation : cluster.operations) {
        if (!launch.options->checks || !operation->reaches(cta)) continue;
        report(*operation->origin.warp, operation->origin.inst, operation->origin.lane, "asynccheck",
               fmt::format("{} is still in flight when CTA ({},{},{}), whose shared memory it uses, ends",
                           operation->describe(), cta.id.x, cta.id.y, cta.id.z));
        return false;
    }
    if (cluster.live_ctas == 0) cluster.operations.clear();
    return true;
}

void release_cluster(std::unique_ptr<Cluster> cluster) {
    Worker& worker = *cluster->worker;
    cluster->operations.clear();
    for (auto& cta : cluster->ctas) {
        u64 executed = 0;
        for (const WarpState& w : cta->warps) executed += w.executed;
        cluster->launch->executed.fetch_add(executed, std::memory_order_relaxed);
        worker.pool.push_back(std::move(cta));
    }
    cluster->ctas.clear();
    cluster->clc.reset();
    worker.cluster_pool.push_back(std::move(cluster));
}

void issue_async(Cta& cta, std::unique_ptr<AsyncOperation> operation) {
    cta.cluster->operations.push_back(std::move(operation));
    ++cta.worker->events;
    ++cta.events;
}

void complete_async(Cluster& cluster, std::size_t k) {
    const auto at = cluster.operations.begin() + static_cast<std::ptrdiff_t>(k);
    const std::unique_ptr<AsyncOperation> operation = std::move(*at);
    cluster.operations.erase(at);
    operation->complete();
    ++cluster.worker->events;
    ++operation->origin.warp->cta->events;
}

void poison(Cta& cta, u64 offset, u64 bytes) {
    if (cta.launch->options->checks) std::memset(cta.shared_shadow.data() + offset, 0, bytes);
}

Cta* peer_at(Warp& w, const Inst* i, int lane, u64& address) {
    const Cluster& cluster = *w.cta->cluster;
    const u64 rank = (address >> cluster_shift) - 1, whole = address;
    if (rank >= cluster.ctas.size()) {
        fault(w, i, lane, "memcheck",
              fmt::format("shared address {:#x} belongs to no CTA of the cluster, which has {}", whole,
                          cluster.ctas.size()),
              whole);
        return nullptr;
    }
    Cta& peer = *cluster.ctas[rank];
    address &= (u64{1} << cluster_shift) - 1;
    if (peer.ended || (!peer.started && w.cta->launch->options->checks)) {
        fault(w, i, lane, "memcheck",
              fmt::format("shared address {:#x} belongs to the CTA with rank {}, which {}", whole, rank,
                          peer.ended ? "has ended" : "has not started: a barrier of the cluster must come before"),
              whole);
        return nullptr;
    }
    return &peer;
}

namespace {

template <class T>
const Inst* map_addresses(Warp& w, const Inst* i) {
    const Cta& cta = *w.cta;
    const bool generic = (i->mode & mode_space_mask) == mode_generic;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        u64 at = reg<T>(w, i->a)[l];
        const u32 rank = reg<u32>(w, i->b)[l];
        if (rank >= cta.cluster->ctas.size())
            return fault(
                w, i, l, "memcheck",
                fmt::format("there is no CTA with rank {}: the cluster has {}", rank, cta.cluster->ctas.size()));
        if (generic && (at < shared_window || at >= shared_window + window_bytes))
            return fault(w, i, l, "memcheck", fmt::format("{:#x} is no address of shared memory", at), at);
        const u64 window = generic ? shared_window : 0;
        at = (at - window) & ((u64{1} << cluster_shift) - 1);
        if (rank != cta.rank) at |= u64{rank + 1} << cluster_shift;
        reg<T>(w, i->d)[l] = static_cast<T>(at + window);
    }
    return i + 1;
}

template <class T>
const Inst* rank_of_addresses(Warp& w, const Inst* i) {
    const Cta& cta = *w.cta;
    const bool generic = (i->mode & mode_space_mask) == mode_generic;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const u64 at = reg<T>(w, i->a)[l] - (generic ? shared_window : 0);
        const u64 field = at >> cluster_shift;
        if (field > cta.cluster->ctas.size())
            return fault(w, i, l, "memcheck", fmt::format("{:#x} is no address of the cluster's shared memory", at),
                         at);
        reg<u32>(w, i->d)[l] = field ? static_cast<u32>(field - 1) : cta.rank;
    }
    return i + 1;
}

} // namespace

const Inst* run_mapa(Warp& w, const Inst* i) {
    return i->bytes == 8 ? map_addresses<u64>(w, i) : map_addresses<u32>(w, i);
}
const Inst* run_getctarank(Warp& w, const Inst* i) {
    return i->bytes == 8 ? rank_of_addresses<u64>(w, i) : rank_of_addresses<u32>(w, i);
}

// barrier.cluster: every thread arrives and then waits until all threads of the cluster that have not ended arrived.

bool complete_cluster_barrier(Cluster& cluster) {
    if (cluster.arrived == 0 || cluster.arrived != cluster.live_threads) return false;
    cluster.arrived = 0;
    ++cluster.phase;
    for (const auto& cta : cluster.ctas)
        for (WarpState& w : cta->warps)
            for (Split& s : w.splits)
                if (s.wait == Stop::barrier && s.barrier == cluster_barrier) {
                    s.wait = Stop::none;
                    w.blocked = w.parked = false;
                    ++cta->events;
                }
    return true;
}

const Inst* run_cluster_arrive(Warp& w, const Inst* i) {
    if ((i->mode & 1) && w.active != w.live) return stop_at(w, i, Stop::sync);
    WarpState& s = state(w);
    Cluster& cluster = *w.cta->cluster;
    if (const u32 twice = s.cluster_arrived & w.active)
        return fault(w, i, std::countr_zero(twice), "synccheck",
                     "barrier.cluster: this thread arrives again without having waited for its last arrival");
    s.cluster_arrived |= w.active;
    s.cluster_odd = (s.cluster_odd & ~w.active) | (cluster.phase % 2 ? w.active : 0);
    cluster.arrived += static_cast<u32>(std::popcount(w.active));
    complete_cluster_barrier(cluster);
    return interrupt(w, i + 1);
}

const Inst* run_cluster_wait(Warp& w, const Inst* i) {
    if ((i->mode & 1) && w.active != w.live) return stop_at(w, i, Stop::sync);
    WarpState& s = state(w);
    Cluster& cluster = *w.cta->cluster;
    if (const u32 never = w.active & ~s.cluster_arrived)
        return fault(w, i, std::countr_zero(never), "synccheck",
                     "barrier.cluster: this thread waits without having arrived");
    // a lane's phase is the current one, then it waits, or the one before
    const u32 done = cluster.phase % 2 ? ~s.cluster_odd : s.cluster_odd;
    if (w.active & ~done) {
        s.splits[s.current].barrier = cluster_barrier;
        return stop_at(w, i, Stop::barrier);
    }
    s.cluster_arrived &= ~w.active;
    return i + 1;
}

void end_cluster_threads(Warp& w, u32 ending) {
    WarpState& s = state(w);
    Cluster& cluster = *w.cta->cluster;
    const u32 odd = cluster.phase % 2 ? s.cluster_odd : ~s.cluster_odd;
    cluster.arrived -= static_cast<u32>(std::popcount(ending & s.cluster_arrived & odd));
    cluster.live_threads -= static_cast<u32>(std::popcount(ending));
    s.cluster_arrived &= ~ending;
    complete_cluster_barrier(cluster);
}

} // namespace ptxgen::runtime::emulator
