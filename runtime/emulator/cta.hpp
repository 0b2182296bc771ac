#pragma once

#include "runtime/emulator/emulator.hpp"
#include "runtime/emulator/memory.hpp"
#include "runtime/emulator/program.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
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

/// A bulk copy into shared memory that has been issued.
struct BulkCopy {
    u8* target;
    const u8* source;
    u8* target_shadow;
    u32 bytes;
    u8* mbarrier;
};

inline constexpr u32 named_barriers = 16;
inline constexpr u32 cluster_barrier = named_barriers; ///< the one of barrier.cluster
inline constexpr u8 barrier_of_cluster = 64;           ///< in Inst::mode

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

struct WarpState : Warp {
    std::vector<Split> splits;
    std::size_t current = 0;
    u32 priority_clock = 0;
    s64 quantum = 0;
    u32 local_stride = 0;
    std::vector<AsyncCopy> copies;          ///< cp.async in flight
    std::array<u32, warp_size> committed{}; ///< commit groups closed by each lane
    std::vector<u32> undefined_storage;
    bool blocked = false; ///< no split can go on until a barrier completes
};

struct Barrier {
    u32 arrived = 0;
    u32 expected = 0; ///< explicit count, 0: all threads of the CTA
    u32 popc = 0, votes_and = all_lanes, votes_or = 0;
    u32 result_popc = 0;
    bool result_and = false, result_or = false;
};

struct Launch;

struct Cta {
    Launch* launch = nullptr;
    Worker* worker = nullptr;
    Dim3 id;
    u64 linear_id = 0;
    u32 threads = 0;
    u32 live_threads = 0;
    u32 resident_slot = 0; ///< %smid
    std::vector<WarpState> warps;
    std::array<Barrier, named_barriers + 1> barriers{};
    std::vector<BulkCopy> bulk_copies;
    u64 events = 0; ///< barriers completed and warps ended
    // storage, kept from one CTA to the next
    std::unique_ptr<u8[], void (*)(void*)> registers{nullptr, nullptr};
    std::unique_ptr<u8[], void (*)(void*)> shared{nullptr, nullptr};
    std::vector<u8> shared_shadow;
    std::vector<u8> local, local_shadow;
    u64 register_capacity = 0, shared_capacity = 0;
};

/// One kernel launch in progress, shared by its workers.
struct Launch {
    const Program* program = nullptr;
    DeviceMemory* memory = nullptr;
    const EmulatorOptions* options = nullptr;
    LaunchConfig config;
    std::vector<u8> params;
    u32 shared_bytes = 0;
    u64 cta_count = 0;
    u64 time_base = 0; ///< %globaltimer at the start
    u32 grid_id = 0;
    u32 residents_per_worker = 1;
    unsigned workers = 1;
    std::atomic<u64> next_cta{0};
    std::atomic<bool> stop{false};
    std::atomic<u64> activity{0}; ///< changes whenever something happens that may end a wait
    std::atomic<unsigned> active_workers{0};
    std::atomic<unsigned> idle_workers{0};
    std::atomic<u64> executed{0};
    std::atomic<u64> virtual_time{0};
    std::mutex mutex; ///< of findings
    std::vector<Finding> findings;
};

struct Worker {
    unsigned index = 0;
    std::array<const Allocation*, cache_entries> cache{};
    std::vector<std::unique_ptr<Cta>> pool; ///< CTAs that are not in use
};

inline WarpState& state(Warp& w) { return static_cast<WarpState&>(w); }
inline Launch& launch_of(Warp& w) { return *w.cta->launch; }

/// Records a finding about a lane (or, < 0, the warp's first active one) and stops the launch.
void report(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address = 0);
const Inst* fault(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address = 0);
/// The line of PTX text of an instruction, 0 if unknown.
u32 line_of(const Program& program, const Inst* i);

/// Prepares `cta` to run as number `linear_id` of the grid.
void start_cta(Cta& cta, Launch& launch, Worker& worker, u64 linear_id);
enum class CtaState : u8 { finished, yielded, blocked, stopped };
/// Runs the CTA's warps until all have ended, all wait, or each has had its quantum.
CtaState run_cta(Cta& cta);
/// Lets splits that wait for barrier `id` go on.
void complete_barrier(Cta& cta, u32 id);
/// Threads have ended: barriers may complete without them. False after a finding.
bool threads_ended(Warp& w, const Inst* i);
/// Who waits for what, for a deadlock report.
std::string describe_waits(const std::vector<Cta*>& ctas);
/// Runs CTAs of the launch on this thread until none is left.
void run_worker(Worker& worker, Launch& launch);

// control.cpp: handlers that are the same on every instruction set
const Inst* run_guarded(Warp& w, const Inst* i);
const Inst* run_branch(Warp& w, const Inst* i);
const Inst* run_branch_if(Warp& w, const Inst* i);
const Inst* run_exit(Warp& w, const Inst* i);
const Inst* run_trap(Warp& w, const Inst* i);
const Inst* run_nop(Warp& w, const Inst* i);
const Inst* run_fence(Warp& w, const Inst* i);
const Inst* run_nanosleep(Warp& w, const Inst* i);
/// Inst::mode: bit 0 aligned, bit 1 arrive only, bits 2-3 reduction (1 popc, 2 and, 3 or); a id, b count (~0: none).
const Inst* run_barrier(Warp& w, const Inst* i);
const Inst* run_special(Warp& w, const Inst* i);
/// Follows undefined values from w.pc on, until a stop.
void run_tracking(Warp& w);

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
const Inst* run_cp_async(Warp& w, const Inst* i);
const Inst* run_cp_async_commit(Warp& w, const Inst* i);
const Inst* run_cp_async_wait(Warp& w, const Inst* i);

// async.cpp
/// Inst::n a MbarrierOp; a address, b count or bytes, c state or parity, d state or condition.
const Inst* run_mbarrier(Warp& w, const Inst* i);
const Inst* run_pending_count(Warp& w, const Inst* i);
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
