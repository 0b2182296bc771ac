#include "runtime/emulator/clc_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

// clccheck's rules about requests, responses and what orders them. docs/sanitizer.md says what each finding means.
namespace ptxgen::runtime::emulator {
namespace {

std::string name_of(const Dim3& id) { return fmt::format("({},{},{})", id.x, id.y, id.z); }

/// Lanes that synchronise with others: what they did is published, and they learn what others did.
void publish(ClcCluster& c, const WatchedWarp& s, u32 lanes) {
    const auto tell = [&](Deed& deed) {
        if (deed.who != &s || !(deed.unpublished & lanes)) return;
        deed.unpublished &= ~lanes;
        if (!deed.unpublished) deed.published = c.time;
    };
    for (Slot& slot : c.slots)
        for (Deed& deed : slot.reads) tell(deed);
    for (Deed& deed : c.failures) tell(deed);
    for (WatchedBarrier& b : c.barriers)
        for (Waited& deed : b.waits) tell(deed);
}
void learn(ClcCluster& c, WatchedWarp& s, u32 lanes) {
    for (u32 m = lanes; m; m &= m - 1) s.synced[static_cast<std::size_t>(std::countr_zero(m))] = c.time;
}
void release(ClcCluster& c, const WatchedWarp& s, u32 lanes) {
    for (Slot& slot : c.slots)
        for (Deed& deed : slot.reads)
            if (deed.who == &s) deed.unreleased &= ~lanes;
}

Deed deed_of(ClcCluster& c, WatchedWarp& s, const Origin& origin, u32 lanes) {
    Deed deed;
    deed.who = &s;
    deed.lanes = deed.unreleased = deed.unpublished = lanes;
    deed.origin = origin;
    deed.at = c.time;
    return deed;
}

Slot* slot_at(ClcCluster& c, const Cta* cta, u64 offset) {
    for (Slot& slot : c.slots)
        if (slot.cta == cta && slot.offset == offset) return &slot;
    return nullptr;
}

std::string expects_text(const WatchedBarrier& b, u64 expected) {
    return fmt::format("this phase expects {} bytes, its requests deliver {} ({} of {} bytes)", expected,
                       u64{b.completed + b.in_flight} * response_bytes, b.completed + b.in_flight, response_bytes);
}

/// A lane reads [at, at + bytes) of shared memory, which touches a slot.
bool read_slot(Warp& w, const Inst* i, int lane, Slot& slot, const u8* at, u64 bytes) {
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    if (bytes != response_bytes || at != slot.cta->shared.get() + slot.offset)
        return finding({&w, i, lane}, fmt::format("reads {} of the response's 16 bytes: it must be loaded in one piece",
                                                  std::min<u64>(bytes, response_bytes)));
    const WatchedBarrier& b = c.barriers[slot.barrier];
    const Waited* wrong = nullptr;
    for (const Waited& wait : b.waits) {
        if (!wait.known_to(s, lane)) continue;
        if (slot.complete && wait.phase >= slot.phase) {
            Deed* mine = nullptr;
            for (Deed& read : slot.reads)
                if (read.who == &s && read.origin.inst == i && read.at == c.time) mine = &read;
            if (!mine) {
                slot.reads.push_back(deed_of(c, s, {&w, i, lane}, 0));
                mine = &slot.reads.back();
            }
            for (u32* lanes : {&mine->lanes, &mine->unreleased, &mine->unpublished}) *lanes |= 1u << lane;
            return true;
        }
        if (wait.at > slot.at) wrong = &wait;
    }
    if (wrong)
        return finding(
            wrong->origin,
            fmt::format("waits for the wrong phase of the mbarrier (parity aliasing): it passes with phase {}, "
                        "the response comes with phase {} and is read at line {}; turn the parity after each "
                        "wait, and only then",
                        wrong->phase, slot.complete ? slot.phase : b.phase, line_of(*launch_of(w).program, i)));
    return finding(
        {&w, i, lane},
        fmt::format("reads a response without having waited for it{}: only the mbarrier says when it has come",
                    slot.complete ? "" : ", while its request is in flight"));
}

bool watch_load(Warp& w, const Inst* i, u32 lanes) {
    ClcCluster& c = watch_of(w);
    const u8 space = i->mode & mode_space_mask;
    if (i->bytes == response_bytes) watched(w).last_wide_load = i;
    if (c.slots.empty() || (space != mode_shared && space != mode_generic)) return true;
    Access access;
    if (!resolve_lanes(w, i, lanes, access)) return false;
    for (Slot& slot : c.slots) {
        const u8* begin = slot.cta->shared.get() + slot.offset;
        for (u32 m = lanes; m; m &= m - 1) {
            const int l = std::countr_zero(m);
            const u8* at = access.lane[l];
            if (at < begin + response_bytes && at + i->bytes > begin && !read_slot(w, i, l, slot, at, i->bytes))
                return false;
        }
    }
    return true;
}

bool is_wait(MbarrierOp op) {
    return op == MbarrierOp::test_wait || op == MbarrierOp::test_parity || op == MbarrierOp::try_wait ||
           op == MbarrierOp::try_parity;
}

bool mbarrier_before(Warp& w, const Inst* i, u32 lanes) {
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    const auto op = static_cast<MbarrierOp>(i->n);
    Access access;
    if (!resolve_lanes(w, i, lanes, access)) return false;
    const u8* counted = nullptr; // mbarrier whose arrivals by earlier lanes are in `pending`
    u64 pending = 0;
    for (u32 m = lanes; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const u8* at = access.lane[l];
        WatchedBarrier* b = c.barrier_at(at);
        if (op == MbarrierOp::init) {
            if (!b) b = &c.barriers.emplace_back();
            WatchedBarrier fresh;
            for (const auto& cta : c.cluster->ctas)
                if (at >= cta->shared.get() && at < cta->shared.get() + launch_of(w).shared_bytes)
                    fresh.cta = cta.get();
            if (!fresh.cta) fresh.cta = w.cta;
            fresh.offset = static_cast<u64>(at - fresh.cta->shared.get());
            fresh.at = at;
            fresh.initialised = c.time;
            fresh.initialiser = &s;
            fresh.initialiser_lane = l;
            *b = std::move(fresh);
            continue;
        }
        if (!b) continue;
        ClcCluster::follow(*b);
        if (is_wait(op)) continue;
        const auto state = read_mbarrier(at);
        if (!state) continue;
        const bool expects =
            op == MbarrierOp::expect_tx || op == MbarrierOp::arrive_expect_tx || op == MbarrierOp::drop_expect_tx;
        const bool arrives = op != MbarrierOp::expect_tx && op != MbarrierOp::complete_tx;
        const u32 n = i->b == ~u32{0} ? 1 : reg<u32>(w, i->b)[l];
        if (op == MbarrierOp::complete_tx || op == MbarrierOp::copies_arrive || op == MbarrierOp::copies_arrive_noinc)
            b->mixed = true;
        if (expects) {
            b->expected += n;
            b->expects = {&w, i, l};
        }
        if (!arrives) continue;
        if (counted != at) pending = state->pending;
        counted = at;
        pending -= std::min<u64>(pending, expects ? 1 : n);
        // with the last arrival, no more bytes can be expected in this phase
        if (pending == 0 && !b->mixed && u64{b->completed + b->in_flight} * response_bytes > b->expected)
            return finding({&w, i, l}, expects_text(*b, b->expected));
    }
    return true;
}

void mbarrier_after(Warp& w, const Inst* i, u32 lanes) {
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    const auto op = static_cast<MbarrierOp>(i->n);
    for (WatchedBarrier& b : c.barriers) ClcCluster::follow(b);
    if (!is_wait(op)) {
        publish(c, s, lanes);
        return;
    }
    const bool by_parity = op == MbarrierOp::test_parity || op == MbarrierOp::try_parity;
    Access access;
    if (!resolve_lanes(w, i, lanes, access)) return;
    for (u32 m = lanes; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const u8* at = access.lane[l];
        WatchedBarrier* b = c.barrier_at(at);
        if (!b) continue;
        if (!((pred(w, i->d) >> l) & 1)) {
            s.waiting = i;
            s.waits_for = at;
            s.waits_parity = by_parity ? reg<u32>(w, i->c)[l] & 1 : b->parity;
            s.waiting_lane = l;
            continue;
        }
        s.waiting = nullptr;
        s.synced[static_cast<std::size_t>(l)] = c.time;
        auto wait = std::find_if(b->waits.begin(), b->waits.end(), [&](const Waited& x) {
            return x.who == &s && x.origin.inst == i && x.at == c.time && x.phase == b->phase - 1;
        });
        if (wait == b->waits.end()) {
            // what is older than two phases decides nothing any more
            std::erase_if(b->waits, [&](const Waited& x) { return x.who == &s && x.phase < b->phase - 2; });
            Waited fresh;
            static_cast<Deed&>(fresh) = deed_of(c, s, {&w, i, l}, 0);
            fresh.phase = b->phase - 1;
            b->waits.push_back(fresh);
            wait = std::prev(b->waits.end());
        }
        wait->lanes |= 1u << l;
        wait->unpublished |= 1u << l;
    }
}

/// Lanes come to a barrier: threads of their CTA that have left a tile which these go on with will not come.
bool barrier_before(Warp& w, u32 lanes) {
    const WatchedCta& c = watched_cta(w);
    const WatchedWarp& s = watched(w);
    for (const WatchedCta::Left& left : c.left)
        for (u32 m = lanes & s.open_lanes; m; m &= m - 1)
            if (s.open[static_cast<std::size_t>(std::countr_zero(m))] == left.tile) return not_all(left);
    return true;
}

/// Whether threads that wait at a barrier have this tile open.
bool waits_with(const WatchedCta& c, Tag tile) {
    for (const WatchedWarp& s : c.warps)
        for (const Split& split : state(*s.warp).splits) {
            if (split.wait != Stop::barrier) continue;
            for (u32 m = split.mask & s.open_lanes; m; m &= m - 1)
                if (s.open[static_cast<std::size_t>(std::countr_zero(m))] == tile) return true;
        }
    return false;
}

/// Lanes end; false after a finding.
bool leave(Warp& w, const Inst* i) {
    WatchedCta& c = watched_cta(w);
    WatchedWarp& s = watched(w);
    const u32 ending = i->guard == ~u32{0} ? w.active : (pred(w, i->guard) ^ i->flip) & w.active;
    if (!ending) return true;
    c.last_leave = {&w, i, std::countr_zero(ending)};
    for (u32 m = ending & s.open_lanes & s.worked & ~s.failed; m; m &= m - 1) {
        const auto l = static_cast<std::size_t>(std::countr_zero(m));
        const WatchedCta::Left left{s.open[l], {&w, s.opened[l], static_cast<int>(l)}};
        const bool used = (launch_of(w).clc->tile(left.tile).effects >> w.cta->rank) & 1;
        if (used || waits_with(c, left.tile)) return not_all(left);
        c.left.push_back(left);
    }
    return true;
}

/// The next id is decoded: claimed tiles that nothing remembers any more will never run.
bool check_forgotten(Warp& w, const Inst* i) {
    ClcCluster& c = watch_of(w);
    ClcLedger& ledger = *launch_of(w).clc;
    for (const Tag open : c.open) {
        if (is_alive(c, open)) continue;
        const ClcTile& tile = ledger.tile(open);
        if (tile.effects & (1u << w.cta->rank)) continue;
        return finding(tile.decoded,
                       fmt::format("a claimed tile is lost: the id {} decoded here is overwritten at line {} before it "
                                   "has reached a global access or a branch",
                                   name_of(tile.first_cta), line_of(*launch_of(w).program, i)));
    }
    return true;
}

} // namespace

bool not_all(const WatchedCta::Left& left) {
    const ClcTile& tile = launch_of(*left.origin.warp).clc->tile(left.tile);
    return finding(
        left.origin,
        fmt::format("not all threads take the claimed tile: this one decoded the id {} and ended, others of its "
                    "CTA go on with it; the decision must be the same in all threads",
                    name_of(tile.first_cta)));
}

bool finding(const Origin& origin, std::string message) {
    report(*origin.warp, origin.inst, origin.lane, "clccheck", std::move(message));
    return false;
}

bool Deed::known_to(const WatchedWarp& warp, int lane) const {
    if (who == &warp && ((lanes >> lane) & 1)) return true;
    return !unpublished && published < warp.synced[static_cast<std::size_t>(lane)];
}

WatchedBarrier* ClcCluster::barrier_at(const u8* at) {
    for (WatchedBarrier& b : barriers)
        if (b.at == at) return &b;
    return nullptr;
}

void ClcCluster::follow(WatchedBarrier& b) {
    const auto state = read_mbarrier(b.at);
    if (!state || state->phase == b.parity) return;
    b.parity = state->phase;
    ++b.phase;
    b.expected = 0;
    b.completed = 0;
}

WatchedCta& watched_cta(Warp& w) { return *watch_of(w).ctas[w.cta->rank]; }
WatchedWarp& watched(Warp& w) { return *w.clc; }

std::vector<ClcKind> classify(const Program& program) {
    std::vector<ClcKind> kinds(program.code.size(), ClcKind::other);
    for (std::size_t k = 0; k < kinds.size(); ++k) {
        const Inst& i = program.code[k];
        const Handler run = i.run[0] == run_guarded ? i.inner[0] : i.run[0];
        const bool in_body = i.source < program.function->body.size();
        const Instruction* source = in_body ? &program.function->body[i.source] : nullptr;
        const std::string name = source && source->form != raw_form ? mnemonic(source->row(), source->choices) : "";
        const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
        ClcKind& kind = kinds[k];
        if (i.data[0])
            kind = (i.mode & mode_store) ? ClcKind::store : ClcKind::load;
        else if (run == run_branch_if || run == run_branch)
            kind = ClcKind::branch;
        else if (run == run_exit || run == run_trap)
            kind = ClcKind::leave;
        else if (run == run_fence && has("proxy.async"))
            kind = has(".acquire")   ? ClcKind::fence_acquire
                   : has(".release") ? ClcKind::fence_release
                                     : ClcKind::fence_both;
        else if (run == run_barrier)
            kind = ClcKind::barrier;
        else if (run == run_cluster_arrive)
            kind = ClcKind::cluster_arrive;
        else if (run == run_cluster_wait)
            kind = ClcKind::cluster_wait;
        else if (run == run_mbarrier)
            kind = ClcKind::mbarrier;
        else if (run == run_poll)
            kind = ClcKind::poll;
        else if (run == run_warp_sync || program.traces[k].shuffles)
            kind = ClcKind::lanes;
        else if (run == run_bulk_copy || run == run_cp_async)
            kind = ClcKind::copy;
        else if (run == run_try_cancel)
            kind = ClcKind::try_cancel;
        else if (run == run_is_canceled)
            kind = ClcKind::is_canceled;
        else if (run == run_first_ctaid)
            kind = ClcKind::first_ctaid;
        else if ((name.starts_with("atom.") || name.starts_with("red.")) && i.bytes)
            kind = ClcKind::atomic;
    }
    return kinds;
}

namespace {

void watch_cta(Cta& cta) {
    Launch& launch = *cta.launch;
    const Program& program = *launch.program;
    Cluster& cluster = *cta.cluster;
    ClcCluster& c = *cluster.clc;
    c.ctas.push_back(std::make_unique<WatchedCta>());
    WatchedCta& watch = *c.ctas.back();
    watch.cta = &cta;
    const Dim3& extent = launch.cluster;
    const u32 in[] = {cta.id.x % extent.x, cta.id.y % extent.y, cta.id.z % extent.z};
    for (u32 k = 0; k < 3; ++k)
        if (in[k]) watch.missing |= tag_offset_x << (k + tag_lack_shift);
    ClcTile own;
    own.first_cta = cta.id;
    own.holder = cluster.id;
    watch.own = launch.clc->add_tile(std::move(own));
    watch.warps.resize(cta.warps.size());
    for (std::size_t k = 0; k < cta.warps.size(); ++k) {
        WarpState& w = cta.warps[k];
        WatchedWarp& s = watch.warps[k];
        s.warp = &w;
        s.tags.assign(std::size_t{program.register_bytes / 64 + 1} * warp_size, 0);
        s.tagged.assign(program.register_bytes / 64 + 1, 0);
        w.clc = &s;
        if (!w.undefined) {
            w.undefined_storage.assign(program.register_bytes / 64, 0);
            w.undefined = w.undefined_storage.data();
        }
        w.tracking = true;
        for (const auto& special : program.specials) {
            const std::string_view name = special_registers()[special.index].name;
            const u32 component = name.ends_with(".y") ? 1 : name.ends_with(".z") ? 2 : 0;
            Tag tag = 0;
            if (name.starts_with("%ctaid") || name.starts_with("%clusterid")) tag = watch.own;
            if (name.starts_with("%ctaid") || name.starts_with("%cluster_ctaid")) tag |= tag_offset_x << component;
            if (name.starts_with("%cluster_ctarank")) tag |= tag_offsets;
            if (!tag) continue;
            std::fill_n(s.tags.begin() + std::ptrdiff_t{special.offset / 64} * warp_size, warp_size, tag);
            s.tagged[special.offset / 64] = 1;
        }
    }
}

} // namespace

void watch_cluster(Cluster& cluster) {
    cluster.clc = std::make_shared<ClcCluster>();
    cluster.clc->cluster = &cluster;
    cluster.clc->kinds = &cluster.launch->clc->kinds();
    for (const auto& cta : cluster.ctas) watch_cta(*cta);
}

bool unwatch_cta(Cta& cta) {
    Cluster& cluster = *cta.cluster;
    ClcCluster& c = *cluster.clc;
    Launch& launch = *cta.launch;
    WatchedCta& watch = *c.ctas[cta.rank];
    for (const Slot& slot : c.slots) {
        if (slot.cta != &cta || slot.complete) continue;
        if (slot.submitted.warp->cta != &cta)
            return finding(slot.submitted,
                           fmt::format("multicast to a CTA of the cluster that has ended: CTA {} ends while "
                                       "this request is in flight, which is undefined",
                                       name_of(cta.id)));
        return finding(slot.submitted,
                       "a claimed tile may be dropped: the CTA ends while this request is in flight; who "
                       "has requested must wait, and run what it gets");
    }
    const bool reads_id =
        std::any_of(launch.program->specials.begin(), launch.program->specials.end(), [](const auto& s) {
            const std::string_view name = special_registers()[s.index].name;
            return name.starts_with("%ctaid") || name.starts_with("%clusterid");
        });
    if (reads_id && launch.cluster_count > 1 && watch.last_leave.warp && !launch.clc->tile(watch.own).effects)
        return finding(watch.last_leave,
                       fmt::format("a tile is lost: CTA {} ends without having used its own %ctaid in a "
                                   "global access or a branch",
                                   name_of(cta.id)));
    if (cluster.live_ctas) return true;
    for (const ClcCluster::Request& request : c.undecoded) {
        const ClcResponse& response = launch.clc->response(request.number);
        if (response.state != ClcResponse::State::success) continue;
        const bool seen = request.queried.warp;
        return finding(seen ? request.queried : request.submitted,
                       fmt::format("a claimed tile is dropped: {}, and CTA {} will never be launched",
                                   seen ? "this success was never decoded"
                                        : "this request succeeded and its response was never asked",
                                   name_of(response.first_cta)));
    }
    for (const Tag open : c.open) {
        const ClcTile& tile = launch.clc->tile(open);
        if (!tile.effects)
            return finding(tile.decoded,
                           fmt::format("a claimed tile is lost: the id {} decoded here has reached no global "
                                       "access and no branch when the CTA ends; a claimed tile must run",
                                       name_of(tile.first_cta)));
        return finding(tile.decoded,
                       fmt::format("a claimed tile is lost in part: not every CTA of the cluster has used the "
                                   "id {} decoded here in a global access or a branch",
                                   name_of(tile.first_cta)));
    }
    return true;
}

bool watch_before(Warp& w, const Inst* i, u32 lanes) {
    ClcCluster& c = watch_of(w);
    const ClcKind kind = (*c.kinds)[static_cast<std::size_t>(i - launch_of(w).program->code.data())];
    if (kind != ClcKind::other) ++c.time;
    if (!follow_tags_before(w, i, lanes, kind)) return false;
    switch (kind) {
    case ClcKind::load: return !lanes || watch_load(w, i, lanes);
    case ClcKind::leave: return leave(w, i);
    case ClcKind::barrier:
    case ClcKind::cluster_arrive:
        if (!barrier_before(w, lanes)) return false;
        publish(c, watched(w), lanes);
        if (kind == ClcKind::cluster_arrive)
            for (WatchedBarrier& b : c.barriers)
                if (b.initialiser == w.clc && !b.announced && ((lanes >> b.initialiser_lane) & 1)) b.announced = c.time;
        return true;
    case ClcKind::lanes: publish(c, watched(w), lanes); return true;
    case ClcKind::mbarrier: return !lanes || mbarrier_before(w, i, lanes);
    case ClcKind::is_canceled:
    case ClcKind::first_ctaid:
        if (const u32 bad = (w.undefined[i->a / 64] | w.undefined[i->b / 64]) & lanes; bad && watched(w).last_wide_load)
            return finding({&w, watched(w).last_wide_load, std::countr_zero(bad)},
                           "reads a response without having waited for it: none has come");
        return true;
    case ClcKind::copy:
        for (WatchedBarrier& b : c.barriers) b.mixed = b.mixed || b.cta == w.cta;
        return true;
    default: return true;
    }
}

bool watch_after(Warp& w, const Inst* i, u32 lanes) {
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    const ClcKind kind = (*c.kinds)[static_cast<std::size_t>(i - launch_of(w).program->code.data())];
    if (!lanes) return true;
    if (kind != ClcKind::other) ++c.time;
    follow_tags_after(w, i, lanes, kind);
    switch (kind) {
    case ClcKind::fence_acquire:
    case ClcKind::fence_both:
        for (u32 m = lanes; m; m &= m - 1) s.acquired[static_cast<std::size_t>(std::countr_zero(m))] = c.time;
        if (kind == ClcKind::fence_both) release(c, s, lanes);
        return true;
    case ClcKind::fence_release: release(c, s, lanes); return true;
    case ClcKind::cluster_wait:
        for (u32 m = lanes; m; m &= m - 1) s.cluster_wait[static_cast<std::size_t>(std::countr_zero(m))] = c.time;
        learn(c, s, lanes);
        return true;
    case ClcKind::atomic: publish(c, s, lanes); [[fallthrough]];
    case ClcKind::barrier:
    case ClcKind::lanes:
    case ClcKind::poll: learn(c, s, lanes); return true;
    case ClcKind::mbarrier: mbarrier_after(w, i, lanes); return true;
    case ClcKind::first_ctaid: return check_forgotten(w, i);
    default: return true;
    }
}

bool watch_request(const Origin& origin, u32 number, const std::vector<AsyncTarget>& targets, u32 lanes) {
    Warp& w = *origin.warp;
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    const bool multicast = targets.size() > 1;
    const auto l = static_cast<std::size_t>(origin.lane);
    if (const int n = std::popcount(lanes); n > 1) {
        int same = 0;
        for (u32 m = lanes; m; m &= m - 1)
            same += reg<u64>(w, origin.inst->a)[std::countr_zero(m)] == reg<u64>(w, origin.inst->a)[l];
        if (same > 1)
            return finding(origin,
                           fmt::format("{} threads submit to one result slot at once: elect one thread of the {}", same,
                                       multicast ? "cluster" : "CTA"));
    }
    for (const Deed& failure : c.failures)
        if (failure.known_to(s, origin.lane))
            return finding(origin, fmt::format("submits a request after a failed one was observed (line {}), which is "
                                               "undefined: the first failure ends the requests",
                                               line_of(*launch_of(w).program, failure.origin.inst)));
    for (const AsyncTarget& target : targets) {
        Cta& cta = *target.cta;
        const std::string whom = multicast ? fmt::format(" of CTA {}", name_of(cta.id)) : "";
        if (cta.ended || cta.live_threads == 0)
            return finding(origin,
                           fmt::format("multicast to a CTA of the cluster that has ended, {}: this is undefined",
                                       name_of(cta.id)));
        WatchedBarrier* b = c.barrier_at(cta.shared.get() + target.mbarrier);
        if (multicast) {
            if (!b)
                return finding(origin,
                               fmt::format("multicast before every CTA of the cluster has initialised its mbarrier: "
                                           "that{} is not",
                                           whom));
            const bool own = b->initialiser == &s && b->initialiser_lane == origin.lane;
            if (!own && (!b->announced || s.cluster_wait[l] <= b->announced))
                return finding(origin,
                               fmt::format("multicast before a cluster barrier behind the initialisation of the "
                                           "mbarrier{}: that CTA may not have come so far",
                                           whom));
        }
        if (!b) continue; // the request itself says that there is no mbarrier
        if (Slot* slot = slot_at(c, &cta, target.offset)) {
            if (!slot->complete)
                return finding(origin, fmt::format("the slot{} is taken: another request to it is in flight (line {})",
                                                   whom, line_of(*launch_of(w).program, slot->submitted.inst)));
            if (slot->reads.empty())
                return finding(origin,
                               fmt::format("overwrites the response in the slot{}, which nobody has read: the tile "
                                           "that it may claim is lost",
                                           whom));
            for (const Deed& read : slot->reads) {
                const std::string at = fmt::format("line {}", line_of(*launch_of(w).program, read.origin.inst));
                if (read.unreleased)
                    return finding(origin,
                                   fmt::format("no release fence between the read of the previous response ({}) and "
                                               "this request: fence.proxy.async::generic.release.sync_restrict",
                                               at));
                const u32 others = read.who == &s ? read.lanes & ~(1u << l) : read.lanes;
                if (others && !(read.unpublished == 0 && read.published < s.synced[l]))
                    return finding(origin, fmt::format("no barrier between the read of the previous response by other "
                                                       "threads ({}) and this request",
                                                       at));
                if (s.acquired[l] <= (others ? read.published : read.at))
                    return finding(origin,
                                   fmt::format("no acquire fence between the read of the previous response ({}) and "
                                               "this request: fence.proxy.async::generic.acquire.sync_restrict",
                                               at));
            }
        }
    }
    for (const AsyncTarget& target : targets) {
        WatchedBarrier* b = c.barrier_at(target.cta->shared.get() + target.mbarrier);
        if (!b) continue;
        ClcCluster::follow(*b);
        ++b->in_flight;
        ++b->requests;
        const auto state = read_mbarrier(b->at);
        const bool all_arrived = state && state->pending == 0;
        if (all_arrived && !b->mixed && u64{b->completed + b->in_flight} * response_bytes > b->expected)
            return finding(b->expects.warp ? b->expects : origin, expects_text(*b, b->expected));
        Slot* slot = slot_at(c, target.cta, target.offset);
        if (!slot) slot = &c.slots.emplace_back();
        *slot = {};
        slot->cta = target.cta;
        slot->offset = target.offset;
        slot->barrier = static_cast<u32>(b - c.barriers.data());
        slot->response = number;
        slot->submitted = origin;
        slot->at = c.time;
    }
    c.undecoded.push_back({number, origin, {}});
    return true;
}

void watch_delivery(const std::vector<AsyncTarget>& targets, u32 number, bool delivered) {
    Launch& launch = *targets.front().cta->launch;
    ClcCluster& c = *targets.front().cta->cluster->clc;
    ++c.time;
    if (!delivered) {
        ClcResponse& response = launch.clc->response(number);
        if (response.state == ClcResponse::State::success) {
            ClcTile tile;
            tile.first_cta = response.first_cta;
            tile.holder = c.cluster->id;
            tile.claimed = true;
            response.tile = launch.clc->add_tile(std::move(tile));
        } else {
            std::erase_if(c.undecoded, [&](const ClcCluster::Request& r) { return r.number == number; });
        }
    }
    for (const AsyncTarget& target : targets) {
        Slot* slot = slot_at(c, target.cta, target.offset);
        WatchedBarrier* b = c.barrier_at(target.cta->shared.get() + target.mbarrier);
        if (!slot || !b) continue;
        ClcCluster::follow(*b);
        if (delivered) {
            slot->complete = true;
            continue;
        }
        slot->phase = b->phase;
        --b->in_flight;
        ++b->completed;
    }
}

bool watch_query(const Origin& origin, u32 number, bool decodes) {
    Warp& w = *origin.warp;
    ClcCluster& c = watch_of(w);
    WatchedWarp& s = watched(w);
    WatchedCta& cta = watched_cta(w);
    ClcLedger& ledger = *launch_of(w).clc;
    ClcResponse& response = ledger.response(number);
    const auto l = static_cast<std::size_t>(origin.lane);
    if (!decodes) {
        if (number + 1 > cta.observed_up_to) {
            cta.observed_up_to = number + 1;
            ++cta.observed;
        }
        if (response.state != ClcResponse::State::success) {
            s.failed |= 1u << l;
            const auto mine = std::find_if(c.failures.begin(), c.failures.end(),
                                           [&](const Deed& d) { return d.who == &s && d.at == c.time; });
            Deed& deed = mine != c.failures.end() ? *mine : c.failures.emplace_back(deed_of(c, s, origin, 0));
            deed.lanes |= 1u << l;
            deed.unpublished |= 1u << l;
            return true;
        }
        for (ClcCluster::Request& request : c.undecoded)
            if (request.number == number && !request.queried.warp) request.queried = origin;
        return true;
    }
    if (!response.decoded) {
        response.decoded = true;
        std::erase_if(c.undecoded, [&](const ClcCluster::Request& r) { return r.number == number; });
        ledger.tile(response.tile).decoded = origin;
        c.open.push_back(response.tile);
    }
    tag_decoded(origin, response.tile);
    if (!(s.last_effect == response.tile && ((s.last_effect_lanes >> l) & 1))) {
        s.open[l] = response.tile;
        s.opened[l] = origin.inst;
        s.open_lanes |= 1u << l;
    }
    return true;
}

bool explain_deadlock(const std::vector<Cta*>& ctas) {
    for (Cta* cta : ctas) {
        if (!cta->cluster->clc) continue;
        ClcCluster& c = *cta->cluster->clc;
        const std::string waits = " (deadlock: " + describe_waits(ctas) + ")";
        for (WatchedBarrier& b : c.barriers) {
            const auto state = read_mbarrier(b.at);
            if (!state || !b.requests || b.mixed || b.in_flight) continue;
            ClcCluster::follow(b);
            const WatchedWarp* waiting = nullptr;
            for (const auto& other : c.ctas)
                for (const WatchedWarp& s : other->warps)
                    if (s.warp->live && s.waiting && s.waits_for == b.at) waiting = &s;
            if (!waiting) continue;
            const Origin at{waiting->warp, waiting->waiting, waiting->waiting_lane};
            if (state->tx > 0 && state->pending == 0)
                return !finding(b.expects.warp ? b.expects : at, expects_text(b, b.expected) + waits);
            if (state->tx < 0)
                return !finding(at,
                                fmt::format("the mbarrier got {} bytes that its phase does not expect: each CTA that a "
                                            "response comes to must expect its 16 bytes{}",
                                            -state->tx, waits));
            if (waiting->waits_parity != b.parity) continue;
            for (const Slot& slot : c.slots) {
                if (&c.barriers[slot.barrier] != &b || !slot.complete || slot.phase != b.phase - 1) continue;
                const bool seen = std::any_of(b.waits.begin(), b.waits.end(), [&](const Waited& x) {
                    return x.phase >= slot.phase && x.known_to(*waiting, waiting->waiting_lane);
                });
                if (!seen)
                    return !finding(at,
                                    fmt::format("waits for the wrong phase of the mbarrier: for the end of phase {}, "
                                                "but the response has come with phase {}, whose parity is {}{}",
                                                b.phase, slot.phase, slot.phase & 1, waits));
            }
        }
    }
    return false;
}

} // namespace ptxgen::runtime::emulator
