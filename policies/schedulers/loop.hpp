#pragma once

#include "policies/schedule.hpp"

#include <optional>

namespace ptxgen::policies {

/// What a policy can do at all, learnt by building it for nobody.
struct Behaviour {
    bool may_steal = false, may_delay = false, may_exit = false;
    bool always_goes_on = true; ///< keep_going_after_success is true whatever happens
    bool minds_success = false; ///< keep_going_after_success emits something
};
Behaviour behaviour_of(Policy policy);

/// What the schedulers share while they emit one kernel. The leader is thread 0 of the CTA, or of the first CTA of a
/// cluster; the policy and the counters are its alone.
class TileLoop {
public:
    TileLoop(KernelBuilder& builder, TileCode tile_code, Policy tile_policy, const ScheduleOptions& schedule_options,
             bool flat_block);

    /// %tid is 0. Read anew at each use, so that it takes no register while tiles run.
    Pred first_thread();

    /// The parameter `counters`, behind what else the scheduler declares.
    void declare_counters();
    /// Start of the policy; leader.
    void init();
    /// One ask; leader. `submit` emits the request, `leave` what ends the CTA's requests. Where the policy answers
    /// DELAY neither runs, and the result holds; nothing if it never does.
    std::optional<Pred> ask(const std::function<void()>& submit, const std::function<void()>& leave);
    /// Naps and asks until the answer is not DELAY; leader, where `delayed` holds.
    void ask_again(const Pred& delayed, const std::function<void()>& submit, const std::function<void()>& leave);
    /// A request was successful; leader.
    void succeeded(std::uint32_t tiles);
    /// Whether `succeeded` emits anything.
    bool minds_success() const { return counts() || behaviour.minds_success; }

    bool counts() const { return counters_.has_value(); }
    /// Leader.
    void count(Counter counter, std::uint32_t n = 1);

    KernelBuilder& k;
    TileCode code;
    const ScheduleOptions& options;
    Behaviour behaviour;

    unsigned dimensions() const { return code.dimensions; }

private:
    Answer answer_of_policy();

    bool block_is_flat_;
    Policy policy_;
    PolicyContext context_;
    std::optional<Val<global_ptr<u32>>> counters_;
    State<u32> stopped_; ///< Decision::exit once keep_going_after_success was false, before that Decision::steal
};

void emit_clc(TileLoop& loop);
void emit_ticket(TileLoop& loop);
void emit_static(TileLoop& loop);

} // namespace ptxgen::policies
