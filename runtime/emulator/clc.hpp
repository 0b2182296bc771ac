#pragma once

#include "runtime/emulator/cta.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

// Cluster launch control (PTX ISA 9.7.13.17 and 9.7.13.18). A request is an operation in flight: when it completes it
// takes a pending cluster from the dispatcher, or fails, and a response of 16 opaque bytes comes to the result slots.
// The bytes say nothing but which response it is; what it answers is kept here. So nobody can decode an id that there
// is not, and bytes that are no response are known as such.
namespace ptxgen::runtime::emulator {

struct ClcCluster;

inline constexpr u32 response_bytes = 16;

/// What an instruction is to clccheck; parallel to Program::code.
enum class ClcKind : u8 {
    other,
    load,
    store,
    atomic,
    branch,
    leave,
    fence_acquire, ///< of the async proxy against the generic one
    fence_release,
    fence_both,
    barrier,
    cluster_arrive,
    cluster_wait,
    mbarrier,
    poll,
    lanes, ///< lanes meet
    copy,  ///< a bulk or asynchronous copy
    try_cancel,
    is_canceled,
    first_ctaid,
};
std::vector<ClcKind> classify(const Program& program);

/// What follows a CTA id through registers and memory: the tile that it names, which components of %cluster_ctaid have
/// been added to it, and which are missing still.
using Tag = u32;
inline constexpr Tag tag_tile = 0xffffff;     ///< number of a ClcTile + 1; 0: of none
inline constexpr Tag tag_offset_x = 1u << 24; ///< y and z follow
inline constexpr Tag tag_offsets = 7u << 24;
inline constexpr u32 tag_lack_shift = 3; ///< from a component that was added to the same that is missing
inline constexpr Tag tag_lacks = tag_offsets << tag_lack_shift;

/// The tag of a value that is computed from two others. The later of two tiles wins.
inline Tag combine_tags(Tag a, Tag b) {
    const Tag ta = a & tag_tile, tb = b & tag_tile, both = a | b, offsets = both & tag_offsets;
    return (ta > tb ? ta : tb) | offsets | (both & tag_lacks & ~(offsets << tag_lack_shift));
}

/// Tags of memory, by words of four bytes.
class MemoryTags {
public:
    bool empty() const { return words_.empty(); }
    bool may_hold(const u8* at, u64 bytes) const { return !words_.empty() && at < high_ && at + bytes > low_; }
    void set(const u8* at, u64 bytes, Tag tag);
    Tag get(const u8* at, u64 bytes) const;
    bool holds(Tag tile) const;

private:
    static u64 word(const u8* at) { return reinterpret_cast<u64>(at) / 4; }
    std::unordered_map<u64, Tag> words_;
    const u8 *low_ = nullptr, *high_ = nullptr;
};

/// A request and its response.
struct ClcResponse {
    enum class State : u8 { in_flight, success, failure } state = State::in_flight;
    u64 cluster = 0;      ///< that was claimed: its number in the grid
    Dim3 first_cta;       ///< %ctaid of its first CTA
    u32 tile = 0;         ///< number of the ClcTile + 1, of a success with checks
    bool decoded = false; ///< somebody has its id
};

/// A cluster's worth of work: a launched CTA's own, or one that was claimed. Effects are what tells that it ran.
struct ClcTile {
    Dim3 first_cta;
    u64 holder = 0; ///< number of the resident cluster that has to run it
    bool claimed = false;
    u32 effects = 0; ///< bit by rank: CTAs of the holder that used it in a global access or a branch
    Origin decoded{};
    struct Store {
        const Inst* inst;
        u64 cluster;
        u32 rank;
    };
    std::vector<Store> stores; ///< who wrote global memory at an address made from its id
};

/// Responses and tiles of a launch, shared by its workers.
class ClcLedger {
public:
    ClcLedger(const Program& program, u64 seed);
    const std::vector<ClcKind>& kinds() const { return kinds_; }

    /// The number of a new request.
    u32 open();
    /// The 16 bytes that stand for a response.
    void encode(u32 number, u8* bytes) const;
    /// The response that the bytes stand for; nothing if they stand for none.
    std::optional<u32> number_of(u64 low, u64 high) const;
    /// Stays where it is until the launch ends.
    ClcResponse& response(u32 number);
    /// The number of a new tile, + 1.
    u32 add_tile(ClcTile tile);
    ClcTile& tile(Tag tag);
    /// Whether this request, which could succeed, fails all the same.
    bool fails_spuriously(Launch& launch);

    std::mutex mutex;  ///< of what ClcTile holds
    MemoryTags global; ///< of global memory, where one worker runs all

private:
    u64 key_;
    std::vector<ClcKind> kinds_;
    std::mutex tables_;
    std::deque<ClcResponse> responses_;
    std::deque<ClcTile> tiles_;
    bool spurious_ = false;
};

/// Inst: a slot's address, b mbarrier's address, list: their offsets; mode 1: multicast.
const Inst* run_try_cancel(Warp& w, const Inst* i);
/// Inst: a, b halves of the response, d condition.
const Inst* run_is_canceled(Warp& w, const Inst* i);
/// Inst: a, b halves of the response, list: registers for x, y, z (~0: none).
const Inst* run_first_ctaid(Warp& w, const Inst* i);

// clccheck. What follows watches kernels that use cluster launch control when checks are on, and no others.

/// Begin of what is watched, once the CTAs are ready to start.
void watch_cluster(Cluster& cluster);
/// A CTA's threads have ended. False after a finding.
bool unwatch_cta(Cta& cta);

/// Before an instruction that `lanes` execute; false after a finding.
bool watch_before(Warp& w, const Inst* i, u32 lanes);
/// Behind it.
bool watch_after(Warp& w, const Inst* i, u32 lanes);
/// A request is submitted by a lane; false after a finding.
bool watch_request(const Origin& origin, u32 number, const std::vector<AsyncTarget>& targets, u32 lanes);
/// Around the delivery of a response.
void watch_delivery(const std::vector<AsyncTarget>& targets, u32 number, bool delivered);
/// What a query found.
bool watch_query(const Origin& origin, u32 number, bool decodes);
/// Whether a deadlock has a reason that clccheck knows; then it is reported.
bool explain_deadlock(const std::vector<Cta*>& ctas);

} // namespace ptxgen::runtime::emulator
