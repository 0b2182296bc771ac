#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

// mbarriers (PTX ISA 9.7.13.15). An mbarrier is one word of shared memory: expected
// arrivals, pending arrivals, pending bytes, the phase's parity, and a mark that tells it from other data.
namespace ptxgen::runtime::emulator {
namespace {

constexpr u64 mark = u64{2} << 62;
constexpr u64 mark_mask = u64{3} << 62;
constexpr u32 count_bits = 20, tx_bits = 21;
constexpr u64 count_mask = (u64{1} << count_bits) - 1;
constexpr s64 tx_limit = (s64{1} << 20) - 1;

MbarrierState unpack(u64 word) {
    const auto tx = static_cast<s64>(word >> (2 * count_bits) << (64 - tx_bits)) >> (64 - tx_bits);
    return {word & count_mask, (word >> count_bits) & count_mask, tx, ((word >> 61) & 1) != 0};
}
u64 pack(const MbarrierState& b) {
    const u64 tx = static_cast<u64>(b.tx) & ((u64{1} << tx_bits) - 1);
    return mark | u64{b.phase} << 61 | tx << (2 * count_bits) | b.pending << count_bits | b.expected;
}

u64 load_word(const u8* at) {
    u64 word;
    std::memcpy(&word, at, 8);
    return word;
}
void store_word(u8* at, u64 word) { std::memcpy(at, &word, 8); }

/// How many phases of the mbarrier have ended; nullptr if that is not followed.
u64* ended_phases(Cta& cta, const u8* at) {
    for (auto& [where, count] : cta.cluster->phases)
        if (where == at) return &count;
    return nullptr;
}

/// Starts the next phase if nothing is pending any more.
void settle(Cta& cta, const u8* at, MbarrierState& b) {
    if (b.pending || b.tx) return;
    b.phase = !b.phase;
    b.pending = b.expected;
    ++cta.events;
    if (u64* ended = ended_phases(cta, at)) ++*ended;
}

/// What the warp's last look at this mbarrier by this instruction saw, if it has done nothing but ask since.
Poll* last_look(WarpState& w, const Inst* i, const u8* at) {
    if (w.poll_writes != w.writes) return nullptr;
    for (u32 k = 0; k < w.poll_count; ++k)
        if (w.polls[k].inst == i && w.polls[k].words.size() == 1 && w.polls[k].words[0].at == at) return &w.polls[k];
    return nullptr;
}

/// Completes what is in flight and signals this mbarrier, unless the scheduler decides when.
void complete_signalling(Cta& cta, const u8* mbarrier) {
    Cluster& cluster = *cta.cluster;
    if (cta.launch->choices) return;
    for (std::size_t k = 0; k < cluster.operations.size();) {
        if (cluster.operations[k]->signals(mbarrier))
            complete_async(cluster, k);
        else
            ++k;
    }
}

/// Finishes the cp.async of a lane that are in flight.
void complete_lane_copies(WarpState& s, u32 lane) {
    std::size_t kept = 0;
    for (const AsyncCopy& copy : s.copies) {
        if (copy.lane != lane) {
            s.copies[kept++] = copy;
            continue;
        }
        if (copy.copied) std::memcpy(copy.target, copy.source, copy.copied);
        if (copy.copied < copy.bytes) std::memset(copy.target + copy.copied, 0, copy.bytes - copy.copied);
        if (copy.target_shadow) std::memset(copy.target_shadow, 1, copy.bytes);
    }
    s.copies.resize(kept);
}

} // namespace

std::optional<MbarrierState> read_mbarrier(const u8* at) {
    const u64 word = load_word(at);
    return (word & mark_mask) == mark ? std::optional(unpack(word)) : std::nullopt;
}

void deliver(const AsyncTarget& target, const u8* data, u64 bytes, const Origin& origin) {
    Cta& cta = *target.cta;
    u8* const mbarrier = cta.shared.get() + target.mbarrier;
    const u64 word = load_word(mbarrier);
    if ((word & mark_mask) != mark) {
        report(*origin.warp, origin.inst, origin.lane, "asynccheck",
               fmt::format("there is no mbarrier at shared address {:#x} any more when the operation completes: it was "
                           "invalidated or overwritten",
                           target.mbarrier),
               target.mbarrier);
        return;
    }
    std::memcpy(cta.shared.get() + target.offset, data, bytes);
    if (cta.launch->options->checks) std::memset(cta.shared_shadow.data() + target.offset, 1, bytes);
    MbarrierState b = unpack(word);
    b.tx -= static_cast<s64>(bytes);
    if (b.tx < -tx_limit) {
        report(*origin.warp, origin.inst, origin.lane, "asynccheck",
               fmt::format("the mbarrier's transaction count {} is out of range", b.tx), target.mbarrier);
        return;
    }
    settle(cta, mbarrier, b);
    store_word(mbarrier, pack(b));
    ++cta.events;
}

const Inst* run_mbarrier(Warp& w, const Inst* i) {
    const auto op = static_cast<MbarrierOp>(i->n);
    Cta& cta = *w.cta;
    Access access;
    if (!resolve_lanes(w, i, w.mask, access)) return nullptr;
    bool waits = false;
    std::vector<Poll::Word> unchanged;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        u8* at = access.lane[l];
        const u32 n = i->b == ~u32{0} ? 1 : reg<u32>(w, i->b)[l];
        if (op == MbarrierOp::init) {
            if (n == 0 || n > count_mask)
                return fault(w, i, l, "asynccheck",
                             fmt::format("an mbarrier counts 1 to {} arrivals, not {}", count_mask, n));
            store_word(at, pack({n, n, 0, false}));
            if (u64* ended = ended_phases(cta, at))
                *ended = 0;
            else if (cta.launch->options->checks)
                cta.cluster->phases.emplace_back(at, 0);
            if (access.lane_shadow[l]) std::memset(access.lane_shadow[l], 1, 8);
            ++w.writes;
            continue;
        }
        u64 word = load_word(at);
        const bool written = !access.lane_shadow[l] ||
                             std::all_of(access.lane_shadow[l], access.lane_shadow[l] + 8, [](u8 b) { return b != 0; });
        if (!written || (word & mark_mask) != mark)
            return fault(w, i, l, "asynccheck", "there is no mbarrier: it was not initialised, or was overwritten");
        if (op == MbarrierOp::inval) {
            store_word(at, 0);
            continue;
        }
        const bool is_wait = op == MbarrierOp::test_wait || op == MbarrierOp::test_parity ||
                             op == MbarrierOp::try_wait || op == MbarrierOp::try_parity;
        if (is_wait) {
            complete_signalling(cta, at);
            word = load_word(at);
            const bool parity = op == MbarrierOp::test_parity || op == MbarrierOp::try_parity;
            const bool asked = parity ? reg<u32>(w, i->c)[l] & 1 : unpack(reg<u64>(w, i->c)[l]).phase;
            const bool done = unpack(word).phase != asked;
            const u64* ended = ended_phases(cta, at);
            Poll* before = last_look(state(w), i, at);
            if (before && ended && before->parity == asked && *ended >= before->phase + 2)
                return fault(
                    w, i, l, "asynccheck",
                    fmt::format("waits for the wrong phase: phase {} of the mbarrier, which this thread waits "
                                "for by its parity {}, has ended since it looked last, and {} more: the parity "
                                "does not tell them apart. Nobody may end the next phase before all who wait "
                                "for this one have seen its end",
                                before->phase, u32{asked}, *ended - before->phase - 1),
                    static_cast<u64>(at - cta.shared.get()));
            if (before && done) { // nothing to wake up for any more
                before->inst = nullptr;
                before->words.clear();
            }
            u32& d = pred(w, i->d);
            d = (d & ~(1u << l)) | u32{done} << l;
            waits = waits || (!done && (op == MbarrierOp::try_wait || op == MbarrierOp::try_parity));
            if (!done && (unchanged.empty() || unchanged.back().at != at)) unchanged.push_back({at, 8, word});
            continue;
        }
        if (op == MbarrierOp::copies_arrive || op == MbarrierOp::copies_arrive_noinc)
            complete_lane_copies(state(w), static_cast<u32>(l));
        if (op == MbarrierOp::copies_arrive) continue; // it counts up before it counts down
        MbarrierState b = unpack(word);
        const bool expects =
            op == MbarrierOp::expect_tx || op == MbarrierOp::arrive_expect_tx || op == MbarrierOp::drop_expect_tx;
        const bool arrives = op != MbarrierOp::expect_tx && op != MbarrierOp::complete_tx;
        const bool drops = op == MbarrierOp::arrive_drop || op == MbarrierOp::drop_expect_tx;
        if (expects) b.tx += n;
        if (op == MbarrierOp::complete_tx) b.tx -= n;
        if (b.tx > tx_limit || b.tx < -tx_limit)
            return fault(w, i, l, "asynccheck",
                         fmt::format("the mbarrier's transaction count {} is out of range", b.tx));
        const u64 count = expects || op == MbarrierOp::copies_arrive_noinc ? 1 : n;
        if (arrives) {
            if (count > b.pending)
                return fault(w, i, l, "asynccheck",
                             fmt::format("{} arrivals, but the mbarrier's phase awaits only {}", count, b.pending));
            b.pending -= count;
            if (drops) b.expected -= count;
        }
        if (op != MbarrierOp::arrive_no_complete) settle(cta, at, b);
        store_word(at, pack(b));
        ++w.writes;
        if (i->d != ~u32{0}) reg<u64>(w, i->d)[l] = word;
    }
    if (!unchanged.empty()) {
        const bool stop = poll(w, i, unchanged);
        const u8* at = unchanged.front().at;
        if (Poll* look = last_look(state(w), i, at)) {
            const u64* ended = ended_phases(cta, at);
            look->phase = ended ? *ended : 0;
            look->parity = unpack(unchanged.front().value).phase; // a wait fails while its phase is the current one
        }
        if (stop) return stop_at(w, i + 1, Stop::yield);
    }
    return waits ? stop_at(w, i + 1, Stop::yield) : interrupt(w, i + 1);
}

std::string describe_mbarrier_wait(const WarpState& w, const Poll& poll) {
    if (!poll.inst || (poll.inst->run[0] != run_mbarrier && poll.inst->inner[0] != run_mbarrier)) return "";
    const u8* at = poll.words.front().at;
    const auto b = read_mbarrier(at);
    if (!b) return "";
    std::string out = fmt::format(" waits for the mbarrier at shared address {:#x} to end its phase of parity {}",
                                  static_cast<u64>(at - w.cta->shared.get()), u32{poll.parity});
    if (b->phase != poll.parity) return out + ", which has ended";
    return out + fmt::format(": {} of {} arrivals and {} bytes are missing", b->pending, b->expected, b->tx);
}

const Inst* run_pending_count(Warp& w, const Inst* i) {
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        reg<u32>(w, i->d)[l] = static_cast<u32>(unpack(reg<u64>(w, i->a)[l]).pending);
    }
    return i + 1;
}

} // namespace ptxgen::runtime::emulator
