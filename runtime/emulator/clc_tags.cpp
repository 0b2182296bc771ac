#include "runtime/emulator/clc_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

// Follows CTA ids from where they come to where they take effect: through registers, lanes that read each other, shared
// and local memory. An id takes effect where it is part of a global address or decides a branch.
namespace ptxgen::runtime::emulator {
namespace {

Tag* tags_of(WatchedWarp& s, u32 offset) { return s.tags.data() + std::size_t{offset / 64} * warp_size; }

void set_tags(WatchedWarp& s, u32 offset, const Tag* tags, u32 lanes) {
    Tag* to = tags_of(s, offset);
    Tag any = 0;
    for (u32 l = 0; l < warp_size; ++l) {
        if ((lanes >> l) & 1) to[l] = tags[l];
        any |= to[l];
    }
    s.tagged[offset / 64] = any != 0;
}
void clear_tags(WatchedWarp& s, u32 offset, u32 lanes) {
    if (!s.tagged[offset / 64]) return;
    static constexpr Tag none[warp_size] = {};
    set_tags(s, offset, none, lanes);
}

/// Combines what registers hold; false if none has a tag.
bool gather(WatchedWarp& s, const std::vector<u32>& registers, Tag* tags) {
    bool any = false;
    for (const u32 offset : registers) {
        if (!s.tagged[offset / 64]) continue;
        const Tag* from = tags_of(s, offset);
        if (!any)
            std::copy(from, from + warp_size, tags);
        else
            for (u32 l = 0; l < warp_size; ++l) tags[l] = combine_tags(tags[l], from[l]);
        any = true;
    }
    return any;
}

std::string name_of(const Dim3& id) { return fmt::format("({},{},{})", id.x, id.y, id.z); }

/// A claimed tile that a thread has left is taken by others: their decision differs.
bool others_take(Warp& w, Tag tile) {
    for (const WatchedCta::Left& left : watched_cta(w).left)
        if (left.tile == tile) return not_all(left);
    return true;
}

/// A lane writes global memory at `address`, which is made from the tile's id.
bool store_effect(Warp& w, const Inst* i, int lane, Tag tile, u64 address) {
    WatchedWarp& s = watched(w);
    ClcLedger& ledger = *launch_of(w).clc;
    const u32 observed = watched_cta(w).observed;
    auto record = std::find_if(s.stores.begin(), s.stores.end(), [&](const StoreRecord& r) { return r.inst == i; });
    if (record == s.stores.end()) record = s.stores.insert(s.stores.end(), StoreRecord{i, {}, {}, {}});
    const auto l = static_cast<std::size_t>(lane);
    if (record->tile[l] == tile && record->address[l] == address && record->observed[l] != observed) {
        fault(
            w, i, lane, "clccheck",
            fmt::format("runs its tile a second time: this thread wrote here for the id {} before its CTA saw the next "
                        "response",
                        name_of(ledger.tile(tile).first_cta)));
        return false;
    }
    if (record->tile[l] == tile) return true;
    record->tile[l] = tile;
    record->address[l] = address;
    record->observed[l] = observed;
    const std::scoped_lock lock(ledger.mutex);
    ClcTile& t = ledger.tile(tile);
    const u64 cluster = w.cta->cluster->id;
    const u32 rank = w.cta->rank;
    bool known = false;
    for (const ClcTile::Store& other : t.stores) {
        if (other.inst != i) continue;
        if (other.cluster != cluster) {
            fault(
                w, i, lane, "clccheck",
                fmt::format("two CTAs run the claimed tile {}: its id was decoded in cluster {}, and both clusters {} "
                            "and {} write with it",
                            name_of(t.first_cta), t.holder, other.cluster, cluster));
            return false;
        }
        known = known || other.rank == rank;
    }
    if (!known) t.stores.push_back({i, cluster, rank});
    return true;
}

/// The ids that `tags` name take effect in `lanes`. `addresses` of a store to global memory, else nullptr.
bool effect(Warp& w, const Inst* i, u32 lanes, const Tag* tags, const u64* addresses) {
    WatchedWarp& s = watched(w);
    WatchedCta& c = watched_cta(w);
    ClcLedger& ledger = *launch_of(w).clc;
    for (u32 m = lanes; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const Tag tag = tags[l], tile = tag & tag_tile;
        if (!tile) continue;
        if (addresses && !store_effect(w, i, l, tile, addresses[l])) return false;
        if (tag & c.missing) {
            fault(
                w, i, l, "clccheck",
                fmt::format("uses the claimed id {} without its %cluster_ctaid: the response names the cluster's first "
                            "CTA, this is the one of rank {}",
                            name_of(ledger.tile(tile).first_cta), w.cta->rank));
            return false;
        }
        if (s.last_effect == tile && ((s.last_effect_lanes >> l) & 1)) continue;
        if (s.last_effect != tile) {
            s.last_effect = tile;
            s.last_effect_lanes = 0;
            if (!others_take(w, tile)) return false;
            const std::scoped_lock lock(ledger.mutex);
            ClcTile& t = ledger.tile(tile);
            if (t.holder == w.cta->cluster->id) {
                t.effects |= 1u << w.cta->rank;
                if (t.claimed && std::popcount(t.effects) == static_cast<int>(w.cta->cluster->ctas.size()))
                    std::erase(watch_of(w).open, tile);
            }
        }
        s.last_effect_lanes |= 1u << l;
        s.worked |= 1u << l;
        if (((s.open_lanes >> l) & 1) && s.open[static_cast<std::size_t>(l)] == tile) s.open_lanes &= ~(1u << l);
    }
    return true;
}

u64 address_of(Warp& w, const Inst* i, int lane) {
    const u64 a = (i->mode & mode_wide_address) ? reg<u64>(w, i->a)[lane] : reg<u32>(w, i->a)[lane];
    return a + static_cast<u64>(i->imm);
}

bool is_global(const Inst* i, u64 address) {
    const u8 space = i->mode & mode_space_mask;
    if (space == mode_generic) return address < shared_window || address >= local_window + window_bytes;
    return space == mode_global;
}

/// Registers that hold the elements of an access.
u32 element(const Inst* i, bool store, u32 k) { return i->n > 1 ? i->list[k] : store ? i->b : i->d; }

/// Tags that go from registers to memory or back.
bool move_tags(Warp& w, const Inst* i, u32 lanes, bool store) {
    WatchedWarp& s = watched(w);
    MemoryTags& own = watch_of(w).memory;
    ClcLedger& ledger = *launch_of(w).clc;
    MemoryTags* global = launch_of(w).workers == 1 ? &ledger.global : nullptr;
    bool any = false;
    for (u32 k = 0; k < i->n; ++k) {
        const u32 r = element(i, store, k);
        if (r != ~u32{0} && s.tagged[r / 64]) any = true;
        if (!store && r != ~u32{0}) clear_tags(s, r, lanes);
    }
    const bool to_global = (i->mode & mode_space_mask) == mode_global;
    if ((!store || !any) && (to_global ? !global || global->empty() : own.empty() && (!global || global->empty())))
        return true;
    Access access;
    if (!resolve_lanes(w, i, lanes, access)) return false;
    const u32 bytes = i->bytes / std::max<u32>(i->n, 1);
    for (u32 k = 0; k < i->n; ++k) {
        const u32 r = element(i, store, k);
        if (r == ~u32{0}) continue;
        Tag loaded[warp_size] = {};
        for (u32 m = lanes; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            MemoryTags* tags = is_global(i, address_of(w, i, l)) ? global : &own;
            if (!tags) continue;
            const u8* at = access.lane[l] + u64{k} * bytes;
            if (!store) {
                loaded[l] = tags->get(at, bytes);
                continue;
            }
            Tag tag = s.tagged[r / 64] ? tags_of(s, r)[l] : 0;
            // an own id in global memory is data like any other
            if (tags == global && (tag & tag_tile) && !ledger.tile(tag).claimed) tag = 0;
            tags->set(at, bytes, tag);
        }
        if (!store) set_tags(s, r, loaded, lanes);
    }
    return true;
}

} // namespace

void MemoryTags::set(const u8* at, u64 bytes, Tag tag) {
    if (!tag && !may_hold(at, bytes)) return;
    if (tag) {
        low_ = words_.empty() ? at : std::min(low_, at);
        high_ = words_.empty() ? at + bytes : std::max(high_, at + bytes);
    }
    for (u64 k = word(at); k <= word(at + bytes - 1); ++k) {
        if (tag)
            words_[k] = tag;
        else
            words_.erase(k);
    }
}

Tag MemoryTags::get(const u8* at, u64 bytes) const {
    if (!may_hold(at, bytes)) return 0;
    Tag tag = 0;
    for (u64 k = word(at); k <= word(at + bytes - 1); ++k)
        if (const auto found = words_.find(k); found != words_.end()) tag = combine_tags(tag, found->second);
    return tag;
}

bool MemoryTags::holds(Tag tile) const {
    return std::any_of(words_.begin(), words_.end(), [&](const auto& w) { return (w.second & tag_tile) == tile; });
}

bool follow_tags_before(Warp& w, const Inst* i, u32 lanes, ClcKind kind) {
    WatchedWarp& s = watched(w);
    const bool guarded = i->guard != ~u32{0};
    if (guarded && s.tagged[i->guard / 64] && !effect(w, i, w.active, tags_of(s, i->guard), nullptr)) return false;
    if (!lanes) return true;
    switch (kind) {
    case ClcKind::load:
    case ClcKind::store:
    case ClcKind::atomic: {
        if (s.tagged[i->a / 64]) {
            u64 addresses[warp_size];
            u32 global = 0;
            for (u32 m = lanes; m; m &= m - 1) {
                const int l = std::countr_zero(m);
                addresses[l] = address_of(w, i, l);
                if (is_global(i, addresses[l])) global |= 1u << l;
            }
            Tag tags[warp_size]; // a load may overwrite its address
            std::copy(tags_of(s, i->a), tags_of(s, i->a) + warp_size, tags);
            if (!effect(w, i, global, tags, kind == ClcKind::load ? nullptr : addresses)) return false;
        }
        if (kind == ClcKind::atomic) {
            if (i->d != ~u32{0}) clear_tags(s, i->d, lanes);
            return true;
        }
        return move_tags(w, i, lanes, kind == ClcKind::store);
    }
    case ClcKind::copy: {
        const Trace& trace =
            launch_of(w).program->traces[static_cast<std::size_t>(i - launch_of(w).program->code.data())];
        Tag tags[warp_size];
        return !gather(s, trace.uses, tags) || effect(w, i, lanes, tags, nullptr);
    }
    default: return true;
    }
}

void follow_tags_after(Warp& w, const Inst* i, u32 lanes, ClcKind kind) {
    if (kind == ClcKind::load || kind == ClcKind::store || kind == ClcKind::atomic || kind == ClcKind::first_ctaid)
        return;
    const Program& program = *launch_of(w).program;
    const Trace& trace = program.traces[static_cast<std::size_t>(i - program.code.data())];
    if (trace.writes.empty()) return;
    WatchedWarp& s = watched(w);
    Tag tags[warp_size];
    if (!gather(s, trace.reads, tags)) {
        for (const u32 offset : trace.writes) clear_tags(s, offset, lanes);
        return;
    }
    if (trace.shuffles) { // any lane may have got any other's
        Tag all = 0;
        for (u32 l = 0; l < warp_size; ++l) all = combine_tags(all, tags[l]);
        std::fill(tags, tags + warp_size, all);
    }
    for (const u32 offset : trace.writes) set_tags(s, offset, tags, lanes);
}

void tag_decoded(const Origin& origin, Tag tile) {
    WatchedWarp& s = watched(*origin.warp);
    const Dim3& extent = launch_of(*origin.warp).cluster;
    const u32 extents[] = {extent.x, extent.y, extent.z};
    for (u32 k = 0; k < 3; ++k) {
        if (origin.inst->list[k] == ~u32{0}) continue;
        const u32 offset = origin.inst->list[k];
        tags_of(s, offset)[origin.lane] = tile | (extents[k] > 1 ? tag_offset_x << (k + tag_lack_shift) : 0);
        s.tagged[offset / 64] = 1;
    }
}

bool is_alive(const ClcCluster& cluster, Tag tile) {
    if (cluster.memory.holds(tile)) return true;
    for (const auto& cta : cluster.ctas)
        for (const WatchedWarp& s : cta->warps) {
            if (s.warp->live == 0) continue;
            for (std::size_t k = 0; k < s.tagged.size(); ++k) {
                if (!s.tagged[k]) continue;
                const Tag* tags = s.tags.data() + k * warp_size;
                if (std::any_of(tags, tags + warp_size, [&](Tag t) { return (t & tag_tile) == tile; })) return true;
            }
        }
    return false;
}

} // namespace ptxgen::runtime::emulator
