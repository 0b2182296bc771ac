#pragma once

#include "policies/policy.hpp"
#include "policies/tiles.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ptxgen::policies {

/// How the CTAs of a grid come by further tiles. With all of them every tile runs exactly once, and a tile that was
/// claimed runs: a policy can only decline to ask for another.
enum class Scheduler : std::uint8_t {
    automatic, ///< clc where the target has it, else ticket
    clc,       ///< cluster launch control: takes over CTAs that have not been launched yet; sm_100 and later
    ticket,    ///< an atomic counter; one CTA is launched for each tile, and leaves if there is no ticket left for it
    static_,   ///< a fixed number of CTAs with every so-manieth tile each; under Greedy alone
};

std::string_view to_string(Scheduler scheduler); ///< "auto", "clc", "ticket", "static"
/// The error lists the names.
Result<Scheduler> parse_scheduler(std::string_view name);

struct ScheduleOptions {
    Scheduler scheduler = Scheduler::automatic;
    /// CTAs of a cluster. More than one: clc on a target with the a or f of its family; the grid is a multiple of it.
    std::array<std::uint32_t, 3> cluster{1, 1, 1};
    /// Whether the kernel counts into a further parameter, `counters`.
    bool counters = false;
    /// How long a CTA naps after the answer DELAY.
    std::uint32_t nap_nanoseconds = 100;

    std::uint32_t cluster_ctas() const { return cluster[0] * cluster[1] * cluster[2]; }
};

/// What the parameter `counters` points to, u32 each, added to by every launch.
enum class Counter : std::uint8_t {
    launched, ///< tiles that CTAs got at their start; with `stolen`, all tiles
    stolen,   ///< tiles taken on top
    declined, ///< asks that the policy answered with DELAY or EXIT
    failed,   ///< requests, one for a whole cluster, that brought no tile
};
inline constexpr std::uint32_t counter_count = 4;

/// The scheduler that `options` and the target (nothing: not decided yet) come down to, with a one-line note where that
/// was a choice. Errors: a policy that the scheduler cannot honour, clc below sm_100, a cluster that it has no way to
/// schedule, a policy under which CTAs would never end.
struct ScheduleChoice {
    Scheduler scheduler;
    std::string note;
};
Result<ScheduleChoice> choose_scheduler(const Policy& policy, const ScheduleOptions& options,
                                        std::optional<Target> target);

/// Declares the kernel's parameters, computes what all tiles of a CTA share, and gives the code of one.
using TilePrologue = std::function<TileCode(KernelBuilder&)>;

/// Emits the whole of a kernel: its prologue, once a CTA, and its tiles under the policy. The further parameters stand
/// behind the kernel's own: `tickets` (ticket; u64 in global memory, zero before the first launch, and zero again after
/// each) and `counters`. `scheduler` is what choose_scheduler gave; `block_is_flat`: only tid.x is used.
///
/// The error: a cluster along a dimension that the kernel's grid does not use.
///
/// Launch: clc and ticket, a CTA for each tile, in at most 2^31 - 1 CTAs for ticket; static, any number of CTAs along
/// x.
Status emit_schedule(KernelBuilder& k, const TilePrologue& prologue, Policy policy, Scheduler scheduler,
                     const ScheduleOptions& options, bool block_is_flat = true);

} // namespace ptxgen::policies
