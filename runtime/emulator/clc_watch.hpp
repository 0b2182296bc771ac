#pragma once

#include "runtime/emulator/clc.hpp"

#include <array>
#include <vector>

// What clccheck remembers of a resident cluster. Times are numbers of events in the cluster.
namespace ptxgen::runtime::emulator {

struct WatchedWarp;

/// Lanes of a warp did something that others must learn of: a read that a request must not overtake, a failure.
struct Deed {
    WatchedWarp* who = nullptr;
    u32 lanes = 0;
    Origin origin{};
    u64 at = 0;
    u32 unreleased = 0;  ///< lanes without a release fence since
    u32 unpublished = 0; ///< lanes that no barrier or other synchronisation tells of
    u64 published = 0;   ///< since when it tells of all

    /// Whether a lane of `warp` knows of it.
    bool known_to(const WatchedWarp& warp, int lane) const;
};

/// A wait for an mbarrier that has been satisfied.
struct Waited : Deed {
    s64 phase = 0;
};

struct WatchedBarrier {
    Cta* cta = nullptr;
    u64 offset = 0;
    const u8* at = nullptr;
    s64 phase = 0; ///< that is current
    bool parity = false;
    u64 expected = 0;   ///< bytes, by expect_tx in this phase
    u32 completed = 0;  ///< responses in this phase
    u32 in_flight = 0;  ///< requests
    u64 requests = 0;   ///< ever
    bool mixed = false; ///< other copies signal it as well: their bytes are not known here
    Origin expects{};   ///< the last expect_tx
    u64 initialised = 0;
    WatchedWarp* initialiser = nullptr;
    int initialiser_lane = 0;
    u64 announced = 0; ///< when its initialiser next arrived at the cluster's barrier; 0: not yet
    std::vector<Waited> waits;
};

struct Slot {
    Cta* cta = nullptr;
    u64 offset = 0;
    u32 barrier = 0; ///< index in ClcCluster::barriers
    u32 response = 0;
    Origin submitted{};
    u64 at = 0;
    bool complete = false;
    s64 phase = 0; ///< in which it completed
    std::vector<Deed> reads;
};

/// Global stores at addresses made from an id: what each lane wrote first for its tile, and how many responses its CTA
/// had seen by then.
struct StoreRecord {
    const Inst* inst;
    std::array<Tag, warp_size> tile{};
    std::array<u64, warp_size> address{};
    std::array<u32, warp_size> observed{};
};

struct WatchedWarp {
    Warp* warp = nullptr;
    std::vector<Tag> tags;                     ///< of every register: 32 lanes for each 64 bytes
    std::vector<u8> tagged;                    ///< registers that may have any
    std::array<u64, warp_size> synced{};       ///< last time that a lane learned of what others did
    std::array<u64, warp_size> cluster_wait{}; ///< last time behind the cluster's barrier
    std::array<u64, warp_size> acquired{};     ///< last acquire fence of the async proxy
    std::array<Tag, warp_size> open{};         ///< the claimed tile that a lane has decoded and not used
    std::array<const Inst*, warp_size> opened{};
    u32 open_lanes = 0;
    u32 worked = 0; ///< lanes that have used an id
    u32 failed = 0; ///< lanes that have seen a failure
    Tag last_effect = 0;
    u32 last_effect_lanes = 0;
    std::vector<StoreRecord> stores;
    const Inst* last_wide_load = nullptr; ///< of 16 bytes
    // a wait that has not been satisfied
    const Inst* waiting = nullptr;
    const u8* waits_for = nullptr;
    bool waits_parity = false;
    int waiting_lane = 0;
};

struct WatchedCta {
    Cta* cta = nullptr;
    std::vector<WatchedWarp> warps;
    Tag own = 0;            ///< the tile that it was launched for
    Tag missing = 0;        ///< tag_lacks of the components in which it is not the cluster's first CTA
    u32 observed = 0;       ///< responses that its threads have seen
    u32 observed_up_to = 0; ///< the latest, + 1
    struct Left {
        Tag tile;
        Origin origin;
    };
    std::vector<Left> left; ///< threads that ended with a claimed tile open
    Origin last_leave{};
};

struct ClcCluster {
    Cluster* cluster = nullptr;
    std::vector<ClcKind> const* kinds = nullptr;
    std::vector<std::unique_ptr<WatchedCta>> ctas; ///< by rank
    std::vector<WatchedBarrier> barriers;
    std::vector<Slot> slots;
    std::vector<Deed> failures; ///< that have been seen
    MemoryTags memory;          ///< shared and local
    struct Request {
        u32 number;
        Origin submitted, queried;
    };
    std::vector<Request> undecoded;
    std::vector<Tag> open; ///< claimed tiles that not every CTA of the cluster has used
    u64 time = 0;

    WatchedBarrier* barrier_at(const u8* at);
    /// Notices that the mbarrier's phase has changed.
    static void follow(WatchedBarrier& b);
};

WatchedWarp& watched(Warp& w);
inline ClcCluster& watch_of(Warp& w) { return *w.cta->cluster->clc; }
WatchedCta& watched_cta(Warp& w);

/// A finding about another place than the one that runs; false.
bool finding(const Origin& origin, std::string message);

/// The finding about a thread that has left a tile which others take; false.
bool not_all(const WatchedCta::Left& left);

// clc_tags.cpp
/// Tags go with values, and ids have effects, before `lanes` execute `i`; false after a finding.
bool follow_tags_before(Warp& w, const Inst* i, u32 lanes, ClcKind kind);
void follow_tags_after(Warp& w, const Inst* i, u32 lanes, ClcKind kind);
/// Tags the registers of a decoded id.
void tag_decoded(const Origin& origin, Tag tile);
/// Whether any register or memory of the cluster has the id.
bool is_alive(const ClcCluster& cluster, Tag tile);

} // namespace ptxgen::runtime::emulator
