#pragma once

#include <cstddef>
#include <cstdint>

/// State of a running warp, as the instruction handlers see it. Included by code that is compiled for several
/// instruction sets, so it holds plain data and declarations alone.
namespace ptxgen::runtime::emulator {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

inline constexpr u32 warp_size = 32;
inline constexpr u32 all_lanes = 0xffffffffu;

/// Generic addresses. Shared memory of a CTA and local memory of a thread are windows, all else is global.
inline constexpr u64 shared_window = 0x0100'0000'0000;
inline constexpr u64 local_window = 0x0200'0000'0000;
inline constexpr u64 window_bytes = u64{1} << 32;
/// Addresses of shared::cluster, in the window and as 32-bit addresses: a CTA's own shared memory begins at 0, that of
/// the CTA with rank r at (r + 1) << cluster_shift.
inline constexpr u32 cluster_shift = 24;

struct Warp;
struct Inst;
struct Cta;
struct Worker;
struct WatchedWarp;

/// Executes one instruction and returns the next one, or nullptr after setting Warp::stop.
using Handler = const Inst* (*)(Warp&, const Inst*);

/// Where the lanes of an access lie in host memory. With `affine`, lane l is at base + l * stride, and its
/// initialisation bytes at shadow + l * stride; else at lane[l] and lane_shadow[l]. Without shadow all is initialised.
struct Access {
    bool affine;
    u8* base;
    u8* shadow;
    s64 stride;
    bool any_shadow;
    u8* lane[warp_size];
    u8* lane_shadow[warp_size];
};
using DataHandler = void (*)(Warp&, const Inst*, const Access&);

/// A decoded instruction. Operands are byte offsets into the warp's registers, where every register has a multiple of
/// 64 bytes: 32 lanes of 2, 4 or 8 bytes (16 bytes: low halves, then high halves), or one mask for a predicate.
struct Inst {
    Handler run[2];      ///< [0]: all lanes are active; [1]: under Warp::mask
    Handler inner[2];    ///< what a guarded instruction does under its guard
    DataHandler data[2]; ///< the second half of a memory access
    u32 d, a, b, c, e;
    u32 guard;  ///< offset of the guard or condition
    u32 flip;   ///< all_lanes for `!p`
    u32 count;  ///< of a block's last instruction: PTX instructions in the block
    u32 source; ///< index in Function::body
    u16 bytes;  ///< of an access of one lane
    u8 n;       ///< elements of a vector
    u8 mode;    ///< variant within a handler
    s64 imm;
    const u32* list; ///< registers of a vector operand
    const Inst* target;
    const Inst* fall;
};

enum class Stop : u8 {
    none,
    reschedule, ///< another split is to run first
    sync,       ///< waits for other lanes of the warp
    barrier,    ///< waits for other warps
    yield,      ///< its quantum is over
    preempt,    ///< likewise, without a reason of its own
    exit,       ///< the split's lanes have ended
    fault,      ///< a finding ends the launch
    track,      ///< met an undefined value: go on with tracking
};

/// An allocation of device memory as an access sees it. `shadow` has a byte for every byte, 0 where nothing has been
/// written yet; nullptr if all is initialised.
struct Allocation {
    u64 base;
    u64 size;
    u8* shadow;
};

inline constexpr u32 cache_entries = 64;

struct Warp {
    u8* regs;
    u32 active; ///< lanes of the running split
    u32 mask;   ///< lanes that the instruction executes: `active` without those its guard turns off
    u32 active_count;
    u32 mode;          ///< 0: all lanes active
    const Inst* limit; ///< another split waits there: stop on reaching or passing it
    u32 fuel;          ///< back-edges until the scheduler is asked
    u32 live;          ///< lanes that have not ended
    u64 executed;      ///< thread instructions
    u64 writes;        ///< stores and atomics that may have changed memory
    u64 clock;         ///< virtual cycles
    Stop stop;
    bool released;  ///< the barrier at this instruction has completed
    bool tracking;  ///< undefined values are being followed
    const Inst* pc; ///< where to go on after a stop
    u32* undefined; ///< lanes whose value is undefined, for each 64 bytes of registers
    u32 index;      ///< in its CTA
    // memory, for one indirection less
    u64 global_delta; ///< host address = global_delta + device address
    u64 global_base;
    u64 global_size;
    u8* shared;
    u8* shared_shadow; ///< nullptr without checks
    u64 shared_size;
    u8* local; ///< of lane 0
    u8* local_shadow;
    u64 local_size; ///< of one lane
    const u8* params;
    u64 params_size;
    const Allocation** cache; ///< last allocation by instruction
    Cta* cta;
    Worker* worker;
    WatchedWarp* clc; ///< what clccheck watches; nullptr: nothing
};

template <class T>
inline T* reg(Warp& w, u32 offset) {
    return reinterpret_cast<T*>(w.regs + offset);
}
inline u32& pred(Warp& w, u32 offset) { return *reinterpret_cast<u32*>(w.regs + offset); }

/// Stops at `pc`.
inline const Inst* stop_at(Warp& w, const Inst* pc, Stop why) {
    w.pc = pc;
    w.stop = why;
    return nullptr;
}

/// The slow way through an access, one lane after the other: resolves every lane of `lanes` in the space of the
/// instruction's `mode` (SpaceMode), checks it, and fills `access`. False after a finding: return nullptr.
bool resolve_lanes(Warp& w, const Inst* i, u32 lanes, Access& access);
/// The allocation that holds this address, or nullptr.
const Allocation* find_allocation(Warp& w, u64 address);
/// Lanes of `lanes` read bytes that nothing has written: marks the destinations that got them, all without `access`.
void mark_undefined_load(Warp& w, const Inst* i, u32 lanes, const Access* access);

enum SpaceMode : u8 {
    mode_global,
    mode_shared,
    mode_local,
    mode_generic,
    mode_space_mask = 7,
    mode_store = 8,
    mode_wide_address = 16,
    mode_cluster = 32, ///< shared memory of other CTAs of the cluster too
};

} // namespace ptxgen::runtime::emulator
