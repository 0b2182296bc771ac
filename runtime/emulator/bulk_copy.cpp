#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// cp.async.bulk (PTX ISA 9.7.9.25.4). What signals an mbarrier is in flight; copies to global memory are done at once.
namespace ptxgen::runtime::emulator {
namespace {

class BulkCopy final : public AsyncOperation {
public:
    BulkCopy(const Origin& where, std::vector<AsyncTarget> targets, const u8* source, const Cta* reads, u32 bytes)
        : AsyncOperation(where), targets_(std::move(targets)), source_(source), reads_(reads), bytes_(bytes) {}
    void complete() override {
        for (const AsyncTarget& target : targets_) deliver(target, source_, bytes_, origin);
    }
    bool signals(const u8* mbarrier) const override {
        return std::any_of(targets_.begin(), targets_.end(),
                           [&](const AsyncTarget& t) { return mbarrier == t.cta->shared.get() + t.mbarrier; });
    }
    bool reaches(const Cta& cta) const override {
        return &cta == reads_ ||
               std::any_of(targets_.begin(), targets_.end(), [&](const AsyncTarget& t) { return t.cta == &cta; });
    }
    std::string describe() const override { return fmt::format("a bulk copy of {} bytes", bytes_); }

private:
    std::vector<AsyncTarget> targets_;
    const u8* source_;
    const Cta* reads_; ///< CTA whose shared memory is the source, or nullptr
    u32 bytes_;
};

struct Range {
    u8* at = nullptr;
    u8* shadow = nullptr;
    Cta* cta = nullptr; ///< of shared memory
    u64 offset = 0;     ///< in its shared memory
};

/// [address, address + bytes) of global memory; false after a finding.
bool global_range(Warp& w, const Inst* i, int lane, u64 address, u64 bytes, const char* what, Range& range) {
    DeviceMemory& memory = *launch_of(w).memory;
    const Allocation* a = memory.find(address);
    if (!a || bytes > a->size - (address - a->base)) {
        fault(w, i, lane, "memcheck",
              fmt::format("a bulk copy of {} bytes, {} {:#x}: {}", bytes, what, address, memory.describe(address)),
              address);
        return false;
    }
    range.at = memory.host(address);
    if (a->shadow) range.shadow = a->shadow + (address - a->base);
    return true;
}

/// The same of shared memory: of another CTA too if `cluster`.
bool shared_range(Warp& w, const Inst* i, int lane, u64 address, u64 bytes, const char* what, bool cluster,
                  Range& range) {
    if (address >= shared_window && address < shared_window + window_bytes) address -= shared_window;
    range.cta = w.cta;
    range.offset = address;
    if (cluster && address >> cluster_shift) {
        range.cta = peer_at(w, i, lane, range.offset);
        if (!range.cta) return false;
    }
    if (bytes > w.shared_size || range.offset > w.shared_size - bytes) {
        fault(w, i, lane, "memcheck",
              fmt::format("a bulk copy of {} bytes, {} shared address {:#x}: there are {} bytes of it", bytes, what,
                          address, w.shared_size),
              address);
        return false;
    }
    range.at = range.cta->shared.get() + range.offset;
    if (w.shared_shadow) range.shadow = range.cta->shared_shadow.data() + range.offset;
    return true;
}

/// Whether an mbarrier that a bulk copy is to signal is there; false after a finding.
bool check_mbarrier(Warp& w, const Inst* i, int lane, const Cta& cta, u64 offset, u64 address) {
    if (offset % 8 == 0 && w.shared_size >= 8 && offset <= w.shared_size - 8 &&
        read_mbarrier(cta.shared.get() + offset))
        return true;
    fault(w, i, lane, "asynccheck",
          cta.cluster->ctas.size() == 1
              ? fmt::format("there is no mbarrier at shared address {:#x}", address)
              : fmt::format("there is no mbarrier at shared address {:#x} in the CTA with rank {}", offset, cta.rank),
          address);
    return false;
}

u64 address_at(Warp& w, const Inst* i, u32 slot, u32 n, int lane) {
    return reg<u64>(w, slot)[lane] + static_cast<u64>(static_cast<s32>(i->list[n]));
}

} // namespace

const Inst* run_bulk_copy(Warp& w, const Inst* i) {
    const bool to_global = i->mode & 1, from_global = i->mode & 2;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        const u64 target = address_at(w, i, i->d, 0, l), source = address_at(w, i, i->a, 1, l);
        const u32 bytes = reg<u32>(w, i->b)[l];
        if (bytes % 16)
            return fault(w, i, l, "memcheck",
                         fmt::format("a bulk copy of {} bytes, which is no multiple of 16", bytes));
        for (const auto& [address, what] : {std::pair{source, "from"}, std::pair{target, "to"}})
            if (address % 16)
                return fault(w, i, l, "memcheck",
                             fmt::format("{} address {:#x} of a bulk copy is not aligned to 16 bytes", what, address),
                             address);
        Range from, to;
        if (!(from_global ? global_range(w, i, l, source, bytes, "from", from)
                          : shared_range(w, i, l, source, bytes, "from", false, from)))
            return nullptr;
        if (!(to_global ? global_range(w, i, l, target, bytes, "to", to)
                        : shared_range(w, i, l, target, bytes, "to", true, to)))
            return nullptr;
        if (from.shadow && !std::all_of(from.shadow, from.shadow + bytes, [](u8 b) { return b != 0; }))
            return fault(w, i, l, "initcheck", "a bulk copy reads memory that was never written", source);
        if (i->e == ~u32{0}) {
            std::memcpy(to.at, from.at, bytes);
            if (to.shadow) std::memset(to.shadow, 1, bytes);
            ++w.writes;
            continue;
        }
        u64 mbarrier = address_at(w, i, i->e, 2, l);
        if (mbarrier >= shared_window && mbarrier < shared_window + window_bytes) mbarrier -= shared_window;
        const u64 mbarrier_address = mbarrier;
        Cta* signalled = w.cta;
        if (mbarrier >> cluster_shift) {
            signalled = peer_at(w, i, l, mbarrier);
            if (!signalled) return nullptr;
        }
        std::vector<AsyncTarget> targets;
        if (i->c == ~u32{0}) {
            if (signalled != to.cta)
                return fault(w, i, l, "asynccheck",
                             fmt::format("a bulk copy into the CTA with rank {} signals an mbarrier of the one with "
                                         "rank {}: they must be in the same CTA",
                                         to.cta->rank, signalled->rank),
                             mbarrier_address);
            targets.push_back({to.cta, to.offset, mbarrier});
        } else { // at the same place in each CTA of the mask
            const Cluster& cluster = *w.cta->cluster;
            const u32 mask = reg<u16>(w, i->c)[l];
            if (mask >> cluster.ctas.size())
                return fault(
                    w, i, l, "asynccheck",
                    fmt::format("a bulk copy to the CTAs {:#x} of a cluster, which has {}", mask, cluster.ctas.size()));
            for (u32 rank = 0; rank < cluster.ctas.size(); ++rank) {
                if (!((mask >> rank) & 1)) continue;
                Cta& cta = *cluster.ctas[rank];
                u64 probe = u64{rank + 1} << cluster_shift;
                if (&cta != w.cta && !peer_at(w, i, l, probe)) return nullptr;
                targets.push_back({&cta, to.offset, mbarrier});
            }
        }
        for (const AsyncTarget& t : targets) {
            if (!check_mbarrier(w, i, l, *t.cta, t.mbarrier, mbarrier_address)) return nullptr;
            poison(*t.cta, t.offset, bytes);
        }
        issue_async(*w.cta, std::make_unique<BulkCopy>(Origin{&w, i, l}, std::move(targets), from.at, from.cta, bytes));
        ++w.writes;
    }
    return launch_of(w).choices ? stop_at(w, i + 1, Stop::preempt) : i + 1;
}

} // namespace ptxgen::runtime::emulator
