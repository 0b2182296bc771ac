#pragma once

#include "runtime/emulator/async_operation.hpp"
#include "runtime/emulator/dispatch.hpp"
#include "runtime/emulator/emulator.hpp"
#include "runtime/emulator/memory.hpp"
#include "runtime/emulator/program.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ptxgen::runtime::emulator {

/// Lanes of a warp that are at the same place. A warp has one split unless its lanes diverge.
struct Split {
    const Inst* pc = nullptr;
    u32 mask = 0;
    Stop wait = Stop::none; ///< sync or barrier while it waits
    bool released = false;  ///< its barrier has completed; it goes on behind it
    u32 priority = 0;       ///< lower runs first; raised when it loops without an end
    u32 spins = 0;          ///< back-edges since it was last preferred
    u32 barrier = 0;        ///< that it waits for
};

struct AsyncCopy {
    u8* target;
    const u8* source;
    u8* target_shadow;
    u32 bytes;  ///< written
    u32 copied; ///< of these, read from the source; the rest is zero
    u32 lane;
    u32 group; ///< the lane's commit group
};

inline constexpr u32 named_barriers = 16;
inline constexpr u32 cluster_barrier = named_barriers; ///< in Split::barrier: waits at barrier.cluster

enum class MbarrierOp : u8 {
    init,
    inval,
    expect_tx,
    complete_tx,
    arrive,
    arrive_expect_tx,
    arrive_no_complete,
    arrive_drop,
    drop_expect_tx,
    test_wait,
    test_parity,
    try_wait,
    try_parity,
    copies_arrive,
    copies_arrive_noinc,
};

/// Memory that an instruction of a warp asked, as it was then. A warp that only asks again is parked until it changes.
struct Poll {
    struct Word {
        const u8* at;
        u32 bytes; ///< 1 to 8
        u64 value;
    };
    const Inst* inst = nullptr;
    std::vector<Word> words;
    // of a wait for an mbarrier
    bool parity = false; ///< of the phase that it waits for
    u64 phase = 0;       ///< number of the current phase
};
inline constexpr u32 max_polls = 4;

struct WarpState : Warp {
    std::vector<Split> splits;
    std::size_t current = 0;
    u32 priority_clock = 0;
    s64 quantum = 0;   ///< back-edges until other warps have their turn
    u32 most_fuel = 0; ///< back-edges between looks at the other splits
    u32 local_stride = 0;
    std::vector<AsyncCopy> copies;          ///< cp.async in flight
    std::array<u32, warp_size> committed{}; ///< commit groups closed by each lane
    std::vector<u32> undefined_storage;
    bool blocked = false; ///< no split can go on until a barrier completes
    bool parked = false;  ///< does nothing but ask `polls`, which have not changed
    std::array<Poll, max_polls> polls;
    u32 poll_count = 0;
    u32 futile = 0;      ///< polls since one last found something new
    u64 poll_writes = 0; ///< Warp::writes at that time
    // barrier.cluster: lanes that have arrived and not waited, and of these, those that arrived in an odd phase
    u32 cluster_arrived = 0, cluster_odd = 0;
};

struct Barrier {
    u32 arrived = 0;
    u32 expected = 0; ///< explicit count, 0: all threads of the CTA
    u32 popc = 0, votes_and = all_lanes, votes_or = 0;
    u32 result_popc = 0;
    bool result_and = false, result_or = false;
};

struct Launch;
struct Cluster;
struct ClcCluster;
class ClcLedger;

struct Cta {
    Launch* launch = nullptr;
    Worker* worker = nullptr;
    Cluster* cluster = nullptr;
    u32 rank = 0; ///< in its cluster
    bool started = false, ended = false;
    Dim3 id;
    u64 linear_id = 0;
    u32 threads = 0;
    u32 live_threads = 0;
    u32 resident_slot = 0; ///< %smid
    std::vector<WarpState> warps;
    std::array<Barrier, named_barriers> barriers{};
    u64 events = 0; ///< barriers completed and warps ended
    // storage, kept from one CTA to the next
    std::unique_ptr<u8[], void (*)(void*)> registers{nullptr, nullptr};
    std::unique_ptr<u8[], void (*)(void*)> shared{nullptr, nullptr};
    std::vector<u8> shared_shadow;
    std::vector<u8> local, local_shadow;
    u64 register_capacity = 0, shared_capacity = 0;
};

/// A resident cluster: its CTAs run on one worker and end together as far as their memory goes.
struct Cluster {
    Launch* launch = nullptr;
    Worker* worker = nullptr;
    u64 id = 0;
    std::vector<std::unique_ptr<Cta>> ctas; ///< by rank
    u32 live_ctas = 0;
    u32 live_threads = 0;
    // barrier.cluster
    u32 arrived = 0;
    u64 phase = 0;
    std::vector<std::unique_ptr<AsyncOperation>> operations; ///< in flight, oldest first
    std::vector<std::pair<const u8*, u64>> phases;           ///< that its mbarriers have ended; with checks
    std::shared_ptr<ClcCluster> clc;                         ///< what clccheck watches; nullptr: nothing
};

/// One kernel launch in progress, shared by its workers.
struct Launch {
    const Program* program = nullptr;
    DeviceMemory* memory = nullptr;
    const EmulatorOptions* options = nullptr;
    LaunchConfig config;
    std::vector<u8> params;
    u32 shared_bytes = 0;
    Dim3 cluster;                  ///< CTAs of a cluster
    bool explicit_cluster = false; ///< the launch or the kernel says so
    u64 cluster_count = 0;         ///< of the grid
    Choices* choices = nullptr;    ///< nullptr: in order, on any number of workers
    u64 time_base = 0;             ///< %globaltimer at the start
    u32 grid_id = 0;
    u64 residents_per_worker = 1; ///< CTAs
    unsigned workers = 1;
    Dispatcher dispatcher;
    std::atomic<bool> stop{false};
    std::atomic<u64> activity{0}; ///< changes whenever something happens that may end a wait
    /// How far a worker has got: `activity` as it was when the worker last looked and had nothing to run until memory
    /// changes, and when it had come back to the state that it was in before.
    struct Progress {
        static constexpr u64 never = ~u64{0}, ended = never - 1;
        std::atomic<u64> waits_at{never}, idle_at{never};
    };
    std::unique_ptr<Progress[]> progress; ///< by worker
    std::atomic<u64> executed{0};
    std::atomic<u64> virtual_time{0};
    std::shared_ptr<ClcLedger> clc; ///< of kernels with cluster launch control
    std::mutex mutex;               ///< of findings
    std::vector<Finding> findings;
};

struct Worker {
    unsigned index = 0;
    std::array<const Allocation*, cache_entries> cache{};
    std::vector<std::unique_ptr<Cta>> pool; ///< CTAs that are not in use
    std::vector<std::unique_ptr<Cluster>> cluster_pool;
    u64 events = 0;       ///< operations issued and completed, CTAs started and ended
    bool insists = false; ///< all wait: polls are not parked, so that bounded ones come to their end
};

inline WarpState& state(Warp& w) { return static_cast<WarpState&>(w); }
inline Launch& launch_of(Warp& w) { return *w.cta->launch; }

/// Records a finding about a lane (or, < 0, the warp's first active one) and stops the launch.
void report(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address = 0);
const Inst* fault(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address = 0);
/// The line of PTX text of an instruction, 0 if unknown.
u32 line_of(const Program& program, const Inst* i);

/// Prepares `cta` to run as number `rank` of its cluster, whose id is set.
void start_cta(Cta& cta, Cluster& cluster, u32 rank);
/// CTA `rank` of cluster `id`, as %ctaid.
Dim3 cta_position(const Launch& launch, u64 id, u32 rank);
/// Makes cluster `id` of the grid resident, with CTAs from the worker's pool.
std::unique_ptr<Cluster> start_cluster(Launch& launch, Worker& worker, u64 id);
/// A CTA's warps have all ended: its operations in flight are a finding, its instructions are counted. False after a
/// finding.
bool end_cta(Cta& cta);
/// Takes back the storage of a cluster whose CTAs have ended, or whose launch has.
void release_cluster(std::unique_ptr<Cluster> cluster);
enum class CtaState : u8 {
    finished,
    yielded, ///< some of its warps ran
    waits,   ///< none could run: all wait at barriers or are parked
    stuck,   ///< likewise, and all at barriers
    stopped,
};
/// Runs the CTA's warps until all have ended, all wait, or each has had its quantum.
CtaState run_cta(Cta& cta);
enum class WarpResult : u8 { ended, waits, yielded, stopped };
/// Runs a warp that is_ready() for `quantum` back-edges at most.
WarpResult run_warp(WarpState& w, s64 quantum);
inline constexpr s64 long_quantum = 8192; ///< back-edges until other warps have their turn
/// Whether the warp can go on; a parked one can when what it asks has changed, or its worker insists.
bool is_ready(WarpState& w);

/// Whether memory differs from what the poll saw.
bool has_changed(const Poll& poll);
/// Notes that instruction `i` of the warp is about to ask these words and do nothing else that others see. True if the
/// warp should stop there: it has asked all that it asks and nothing has changed.
bool poll(Warp& w, const Inst* i, const std::vector<Poll::Word>& words);
/// The same with the `bytes` at each lane of an access.
bool poll(Warp& w, const Inst* i, u32 lanes, const Access& access, u32 bytes);
/// Behind something that other threads may see: stops with the preemption that Choices decide, else goes on.
const Inst* interrupt(Warp& w, const Inst* next);

/// Puts an operation in flight.
void issue_async(Cta& cta, std::unique_ptr<AsyncOperation> operation);
/// Completes operation `k` of a cluster.
void complete_async(Cluster& cluster, std::size_t k);

/// What an mbarrier's word says.
struct MbarrierState {
    u64 expected, pending; ///< arrivals
    s64 tx;                ///< bytes that are expected and have not come
    bool phase;            ///< parity of the current phase
};
/// " waits for …" for a poll that is a wait for an mbarrier; empty for others.
std::string describe_mbarrier_wait(const WarpState& w, const Poll& poll);
/// Nothing if there is no mbarrier at this place in host memory.
std::optional<MbarrierState> read_mbarrier(const u8* at);

/// Lets splits that wait for barrier `id` go on.
void complete_barrier(Cta& cta, u32 id);
/// Threads have ended: barriers may complete without them. False after a finding.
bool threads_ended(Warp& w, const Inst* i);
/// Who waits for what, for a deadlock report.
std::string describe_waits(const std::vector<Cta*>& ctas);
/// A number for all that decides what the CTAs do next, as long as memory stays the same.
u64 state_of(const std::vector<Cta*>& ctas);
/// What the CTAs have done to the outside: stores, barriers, ends.
u64 activity_of(const std::vector<Cta*>& ctas);
void report_deadlock(Launch& launch, const std::vector<Cta*>& ctas, std::string_view why);
/// Runs clusters of the launch on this thread until none is left.
void run_worker(Worker& worker, Launch& launch);
/// Runs the whole launch under its choices.
void run_scheduled(Worker& worker, Launch& launch);

// control.cpp: handlers that are the same on every instruction set
const Inst* run_guarded(Warp& w, const Inst* i);
const Inst* run_branch(Warp& w, const Inst* i);
const Inst* run_branch_if(Warp& w, const Inst* i);
const Inst* run_exit(Warp& w, const Inst* i);
const Inst* run_trap(Warp& w, const Inst* i);
const Inst* run_nop(Warp& w, const Inst* i);
const Inst* run_fence(Warp& w, const Inst* i);
const Inst* run_nanosleep(Warp& w, const Inst* i);
/// Before a load that others may be writing to at the same time: polls what it will read. Fields as the load's.
const Inst* run_poll(Warp& w, const Inst* i);
/// Inst::mode: bit 0 aligned, bit 1 arrive only, bits 2-3 reduction (1 popc, 2 and, 3 or); a id, b count (~0: none).
const Inst* run_barrier(Warp& w, const Inst* i);
const Inst* run_special(Warp& w, const Inst* i);
/// Follows undefined values from w.pc on, until a stop.
void run_tracking(Warp& w);

// cluster.cpp
/// The other CTA of the cluster that this shared address (no generic one) belongs to, and `address` becomes the offset
/// in its shared memory; nullptr after a finding: there is none, it has not started or has ended.
Cta* peer_at(Warp& w, const Inst* i, int lane, u64& address);
const Inst* run_mapa(Warp& w, const Inst* i); ///< Inst::mode a SpaceMode; d, a addresses, b rank; bytes of an address
const Inst* run_getctarank(Warp& w, const Inst* i);     ///< likewise
const Inst* run_cluster_arrive(Warp& w, const Inst* i); ///< Inst::mode: bit 0 aligned
const Inst* run_cluster_wait(Warp& w, const Inst* i);
/// Lanes of the warp end: the cluster's barrier counts without them.
void end_cluster_threads(Warp& w, u32 ending);

// warp_ops.cpp
const Inst* run_shfl(Warp& w, const Inst* i);
const Inst* run_vote(Warp& w, const Inst* i);
const Inst* run_match(Warp& w, const Inst* i);
const Inst* run_redux(Warp& w, const Inst* i);
const Inst* run_elect(Warp& w, const Inst* i);
const Inst* run_activemask(Warp& w, const Inst* i);
const Inst* run_warp_sync(Warp& w, const Inst* i);
/// For instructions that all lanes execute together: inner[0] once they are there.
const Inst* run_aligned(Warp& w, const Inst* i);
const Inst* run_ldmatrix(Warp& w, const Inst* i);
const Inst* run_movmatrix(Warp& w, const Inst* i);
const Inst* run_cp_async(Warp& w, const Inst* i);
const Inst* run_cp_async_commit(Warp& w, const Inst* i);
const Inst* run_cp_async_wait(Warp& w, const Inst* i);

// async.cpp
/// Inst::n a MbarrierOp; a address, b count or bytes, c state or parity, d state or condition.
const Inst* run_mbarrier(Warp& w, const Inst* i);
const Inst* run_pending_count(Warp& w, const Inst* i);

// bulk_copy.cpp
/// Inst::d target, a source, b bytes, e mbarrier (~0: none), c mask of CTAs (~0: no multicast); list: the addresses'
/// offsets; mode: bit 0 target, bit 1 source are global.
const Inst* run_bulk_copy(Warp& w, const Inst* i);

// atomics.cpp
enum class AtomicOp : u8 { exch, cas, add, inc, dec, min, max, and_, or_, xor_ };
/// nullptr if there is no such atomic. Inst: d result or ~0, b operand, c second operand of cas.
Handler find_atomic(AtomicOp op, Type type);

// addresses.cpp
const Inst* run_to_generic(Warp& w, const Inst* i);   ///< cvta; Inst::mode a SpaceMode
const Inst* run_from_generic(Warp& w, const Inst* i); ///< cvta.to
const Inst* run_isspacep(Warp& w, const Inst* i);

} // namespace ptxgen::runtime::emulator
