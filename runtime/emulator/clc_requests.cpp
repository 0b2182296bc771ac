#include "runtime/emulator/choices.hpp"
#include "runtime/emulator/clc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

// The three instructions, and what the launch knows of requests.
namespace ptxgen::runtime::emulator {
namespace {

u64 mix(u64 x) { // splitmix64's finaliser, a bijection
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}
u64 unmix(u64 x) {
    x = (x ^ (x >> 31) ^ (x >> 62)) * 0x319642b2d24d8ec3ull;
    x = (x ^ (x >> 27) ^ (x >> 54)) * 0x96de1b173f119089ull;
    return x ^ (x >> 30) ^ (x >> 60);
}

/// A request in flight. It takes its cluster when it completes: until then, dispatch may launch it.
class CancelRequest final : public AsyncOperation {
public:
    CancelRequest(const Origin& where, u32 number, std::vector<AsyncTarget> targets)
        : AsyncOperation(where), number_(number), targets_(std::move(targets)) {}

    void complete() override {
        Launch& launch = launch_of(*origin.warp);
        ClcLedger& ledger = *launch.clc;
        ClcResponse& response = ledger.response(number_);
        response.state = ClcResponse::State::failure;
        if (launch.dispatcher.pending() && !ledger.fails_spuriously(launch)) {
            if (const auto cluster = launch.dispatcher.cancel()) {
                response.cluster = *cluster;
                response.first_cta = cta_position(launch, *cluster, 0);
                response.state = ClcResponse::State::success;
                launch.activity.fetch_add(1);
            }
        }
        u8 bytes[response_bytes];
        ledger.encode(number_, bytes);
        const bool watched = origin.warp->clc;
        if (watched) watch_delivery(targets_, number_, false);
        for (const AsyncTarget& target : targets_) deliver(target, bytes, response_bytes, origin);
        if (watched) watch_delivery(targets_, number_, true);
    }
    bool signals(const u8* mbarrier) const override {
        return std::any_of(targets_.begin(), targets_.end(),
                           [&](const AsyncTarget& t) { return mbarrier == t.cta->shared.get() + t.mbarrier; });
    }
    bool reaches(const Cta& cta) const override {
        return std::any_of(targets_.begin(), targets_.end(), [&](const AsyncTarget& t) { return t.cta == &cta; });
    }
    std::string describe() const override { return "a request to cancel a cluster's launch"; }

private:
    u32 number_;
    std::vector<AsyncTarget> targets_;
};

/// An offset in the CTA's own shared memory; nothing after a finding.
std::optional<u64> own_shared(Warp& w, const Inst* i, int lane, u64 address, u64 bytes, const char* what) {
    const u64 offset =
        address >= shared_window && address < shared_window + window_bytes ? address - shared_window : address;
    if (offset % bytes) {
        fault(w, i, lane, "memcheck",
              fmt::format("{} at shared address {:#x} is not aligned to {} bytes", what, offset, bytes), offset);
        return std::nullopt;
    }
    if (w.shared_size < bytes || offset > w.shared_size - bytes) {
        fault(w, i, lane, "memcheck",
              fmt::format("{} at shared address {:#x}: there are {} bytes of it", what, offset, w.shared_size), offset);
        return std::nullopt;
    }
    return offset;
}

/// The response that a lane's register holds, after its number; nullptr after a finding.
ClcResponse* queried(Warp& w, const Inst* i, int lane, u32& number) {
    ClcLedger& ledger = *launch_of(w).clc;
    const auto found = ledger.number_of(reg<u64>(w, i->a)[lane], reg<u64>(w, i->b)[lane]);
    if (!found) {
        fault(w, i, lane, "clccheck",
              "this is not a response: its 16 bytes were not loaded from a result slot in one piece");
        return nullptr;
    }
    number = *found;
    return &ledger.response(number);
}

} // namespace

ClcLedger::ClcLedger(const Program& program, u64 seed)
    : key_(mix(seed + 0x9e3779b97f4a7c15ull)), kinds_(classify(program)) {}

u32 ClcLedger::open() {
    const std::scoped_lock lock(tables_);
    responses_.emplace_back();
    return static_cast<u32>(responses_.size() - 1);
}

void ClcLedger::encode(u32 number, u8* bytes) const {
    const u64 low = mix(number ^ key_), high = mix(low + key_);
    std::memcpy(bytes, &low, 8);
    std::memcpy(bytes + 8, &high, 8);
}

std::optional<u32> ClcLedger::number_of(u64 low, u64 high) const {
    const u64 number = unmix(low) ^ key_;
    if (high != mix(low + key_) || number > 0xffffffffu) return std::nullopt;
    return static_cast<u32>(number);
}

ClcResponse& ClcLedger::response(u32 number) {
    const std::scoped_lock lock(tables_);
    return responses_[number];
}

u32 ClcLedger::add_tile(ClcTile tile) {
    const std::scoped_lock lock(tables_);
    tiles_.push_back(std::move(tile));
    return static_cast<u32>(tiles_.size());
}

ClcTile& ClcLedger::tile(Tag tag) {
    const std::scoped_lock lock(tables_);
    return tiles_[(tag & tag_tile) - 1];
}

bool ClcLedger::fails_spuriously(Launch& launch) {
    Choices* choices = launch.choices;
    if (!choices) return false;
    if (choices->at_every_step()) {
        // rare, but in streaks where the choices go to extremes
        constexpr u32 rarity = 12;
        return choices->pick(rarity, ChoiceKind::outcome) == rarity - 1;
    }
    if (spurious_) return false; // one is enough for an exhaustive search
    spurious_ = choices->pick(2, ChoiceKind::outcome) == 1;
    return spurious_;
}

const Inst* run_try_cancel(Warp& w, const Inst* i) {
    Launch& launch = launch_of(w);
    Cta& cta = *w.cta;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const auto address = [&](u32 base, u32 k) {
            return reg<u64>(w, base)[l] + static_cast<u64>(static_cast<s64>(static_cast<s32>(i->list[k])));
        };
        const auto slot = own_shared(w, i, l, address(i->a, 0), response_bytes, "the result slot");
        if (!slot) return nullptr;
        const auto bar = own_shared(w, i, l, address(i->b, 1), 8, "the mbarrier");
        if (!bar) return nullptr;
        std::vector<AsyncTarget> targets;
        if (i->mode)
            for (const auto& other : cta.cluster->ctas) targets.push_back({other.get(), *slot, *bar});
        else
            targets.push_back({&cta, *slot, *bar});
        const u32 number = launch.clc->open();
        const Origin origin{&w, i, l};
        if (w.clc && !watch_request(origin, number, targets, w.mask)) return stop_at(w, i, Stop::fault);
        for (const AsyncTarget& target : targets) {
            poison(*target.cta, *slot, response_bytes);
            if (target.cta->ended || !read_mbarrier(target.cta->shared.get() + *bar))
                return fault(w, i, l, "asynccheck",
                             fmt::format("there is no mbarrier at shared address {:#x} of CTA ({},{},{})", *bar,
                                         target.cta->id.x, target.cta->id.y, target.cta->id.z),
                             *bar);
        }
        issue_async(cta, std::make_unique<CancelRequest>(origin, number, std::move(targets)));
        ++w.writes;
    }
    return launch.choices ? stop_at(w, i + 1, Stop::preempt) : i + 1;
}

const Inst* run_is_canceled(Warp& w, const Inst* i) {
    u32& d = pred(w, i->d);
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        u32 number;
        const ClcResponse* response = queried(w, i, l, number);
        if (!response) return nullptr;
        const bool success = response->state == ClcResponse::State::success;
        d = (d & ~(1u << l)) | u32{success} << l;
        if (w.clc && !watch_query({&w, i, l}, number, false)) return stop_at(w, i, Stop::fault);
    }
    return i + 1;
}

const Inst* run_first_ctaid(Warp& w, const Inst* i) {
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        u32 number;
        ClcResponse* response = queried(w, i, l, number);
        if (!response) return nullptr;
        if (response->state != ClcResponse::State::success)
            return fault(w, i, l, "clccheck",
                         "decodes the id of a failed response, which is undefined: ask is_canceled first, and decode "
                         "only where it says yes");
        const u32 id[] = {response->first_cta.x, response->first_cta.y, response->first_cta.z};
        for (u32 k = 0; k < 3; ++k)
            if (i->list[k] != ~u32{0}) reg<u32>(w, i->list[k])[l] = id[k];
        if (w.clc && !watch_query({&w, i, l}, number, true)) return stop_at(w, i, Stop::fault);
    }
    return i + 1;
}

} // namespace ptxgen::runtime::emulator
