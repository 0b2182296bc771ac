#include "kernels/ring/pipeline.hpp"

#include <algorithm>
#include <bit>

namespace ptxgen::kernels {

std::optional<RingPlan> ring_plan(std::span<const TensorType> types, std::uint32_t shared_bytes,
                                  std::uint32_t stage_units, std::uint32_t max_stages) {
    RingPlan plan;
    plan.stage_units = stage_units;
    for (const TensorType type : types)
        plan.stage_bytes = std::max(plan.stage_bytes, stage_units * ring_format(type)->unit_bytes);
    const std::uint32_t fitting = std::min(shared_bytes / (plan.stage_bytes + 16), max_stages);
    plan.stages = fitting / plan.groups() * plan.groups();
    if (plan.stages == 0) return std::nullopt;
    return plan;
}

void emit_ring_init(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring) {
    for (std::uint32_t s = 0; s < plan.stages; s++) {
        k.mbarrier_init((ring + (plan.full_offset() + 8 * s)).as<shared_ptr<u64>>(), 1U);
        k.mbarrier_init((ring + (plan.empty_offset() + 8 * s)).as<shared_ptr<u64>>(), plan.stage_units);
    }
    k.fence_mbarrier_init();
}

RingCursor::RingCursor(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring, const Val<u32>& first,
                       std::uint32_t parity)
    : k_(k), plan_(plan), ring_(ring), end_(ring.as<u32>() + plan.empty_offset()),
      barrier_(k.var<u32>(k.mad_lo(first, 8U, (ring + plan.full_offset()).as<u32>()))), phase_(k.var<u32>(parity)) {}

Val<shared_ptr<u64>> RingCursor::full() const { return Val<u32>(k_.state(), barrier_.operand()).as<shared_ptr<u64>>(); }
Val<shared_ptr<u64>> RingCursor::empty() const { return full() + plan_.stages; }

void RingCursor::wait(const Val<shared_ptr<u64>>& barrier) {
    const LabelRef again = k_.label("ring_wait");
    k_.place(again);
    const auto done = k_.mbarrier_try_wait_parity(barrier, phase_);
    k_.bra_if(!done, again);
}

Val<u32> RingCursor::base(const Val<u32>& offset) {
    const std::uint32_t scale = plan_.stage_bytes / 8;
    const auto first = (ring_ + plan_.full_offset()).as<u32>() * scale;
    const auto start = ring_.as<u32>() + offset;
    return start - first;
}
Val<shared_ptr<u8>> RingCursor::address(const Val<u32>& base) {
    return k_.mad_lo(barrier_, plan_.stage_bytes / 8, base).as<shared_ptr<u8>>();
}

void RingCursor::advance(std::uint32_t stages) {
    barrier_ += 8 * stages;
    const auto wrapped = barrier_ >= end_;
    k_.predicated(wrapped, [&] {
        barrier_ -= 8 * plan_.stages;
        phase_ ^= 1U;
    });
}

RingProducer::RingProducer(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring,
                           RingThrottle throttle)
    : k_(k), plan_(plan), throttle_(std::move(throttle)), throttled_(throttle_.busy != 0 || throttle_.flag),
      cursor_(k, plan, ring, k.imm<u32>(0), 1), oldest_(k, plan, ring, k.imm<u32>(0), 0), in_flight_(k.var<u32>(0U)) {
    if (throttle_.busy == 0) throttle_.busy = plan.stages;
    throttle_.waiting = std::max(throttle_.waiting, 1U);
}

Pred RingProducer::has_room() {
    if (!throttle_.flag) return in_flight_ < throttle_.busy;
    const auto flag = k_.ld(*throttle_.flag, relaxed, cta);
    return in_flight_ < k_.selp(k_.imm<u32>(throttle_.waiting), k_.imm<u32>(throttle_.busy), flag != 0U);
}

void RingProducer::wait_for_room() {
    const LabelRef again = k_.label("ring_room"), landed = k_.label("ring_landed"), room = k_.label("ring_has_room");
    k_.bra_if(has_room(), room);
    k_.place(again);
    // With all stages in flight the oldest is the one that has just been found empty. Waiting for it would be a turn of
    // the ring too late: the parity is that of the phase to come.
    k_.bra_if(in_flight_ >= plan_.stages, landed);
    oldest_.wait(oldest_.full());
    k_.place(landed);
    oldest_.advance(1);
    in_flight_ -= 1U;
    k_.bra_if(!has_room(), again);
    k_.place(room);
    in_flight_ += 1U;
}

void RingProducer::produce(const Val<global_ptr<const u8>>& address, const Val<u32>& units, std::uint32_t unit_bytes) {
    const LabelRef next = k_.label("ring_produce"), done = k_.label("ring_produced");
    const auto base = cursor_.base(k_.imm<u32>(0));
    auto from = k_.var<global_ptr<const u8>>(address);
    auto left = k_.var<s32>(units.as<s32>());
    const auto rounds = (units + (ring_warps - 1)) >> static_cast<std::uint32_t>(std::countr_zero(ring_warps));
    auto stages = k_.var<u32>(rounds * plan_.groups());
    k_.bra_if(stages == 0U, done);
    k_.place(next);
    cursor_.wait(cursor_.empty());
    if (throttled_) wait_for_room();
    const auto at_most = k_.min(left, static_cast<std::int32_t>(plan_.stage_units));
    const auto count = k_.max(at_most, 0);
    const auto bytes = count.as<u32>() * unit_bytes;
    k_.mbarrier_arrive_expect_tx(cursor_.full(), bytes);
    const auto to = cursor_.address(base);
    k_.predicated(bytes != 0U, [&] { k_.cp_async_bulk(to, from, bytes, cursor_.full()); });
    from += plan_.stage_units * unit_bytes;
    left -= static_cast<std::int32_t>(plan_.stage_units);
    cursor_.advance(1);
    stages -= 1U;
    k_.bra_if(stages != 0U, next);
    k_.place(done);
}

RingConsumer::RingConsumer(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring,
                           const Val<u32>& warp, const RingLane& lane)
    : k_(k), plan_(plan), warp_(warp), warp_in_group_(warp & (plan.stage_units - 1)), first_lane_(lane.lane == 0U),
      cursor_(k, plan, ring, warp >> static_cast<std::uint32_t>(std::countr_zero(plan.stage_units)), 0) {}

Val<u32> RingConsumer::base(std::uint32_t unit_bytes) { return cursor_.base(warp_in_group_ * unit_bytes); }
void RingConsumer::wait() { cursor_.wait(cursor_.full()); }
Val<shared_ptr<const u8>> RingConsumer::address(const Val<u32>& base) {
    return cursor_.address(base).as<shared_ptr<const u8>>();
}

void RingConsumer::release() {
    k_.bar_warp_sync(0xffffffffU);
    k_.predicated(first_lane_, [&] { k_.mbarrier_arrive(cursor_.empty()); });
    cursor_.advance(plan_.groups());
}

} // namespace ptxgen::kernels
