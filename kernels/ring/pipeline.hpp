#pragma once

#include "kernels/ring/format.hpp"
#include "kernels/ring/unit_product.hpp"

#include <optional>
#include <span>

/// The ring in shared memory: a producer thread fills stages with bulk copies, 16 consumer warps empty them.
///
/// Units are taken in rounds of 16, one to a warp: unit u is warp u % 16's. A stage holds the units of `stage_units`
/// neighbouring warps (a group), and always those of the same group, so that no warp meets a barrier's phase parity
/// again before it has waited for what lies between. A segment's last round is completed by stages that carry fewer
/// bytes or none.
namespace ptxgen::kernels {

inline constexpr std::uint32_t ring_warps = 16; ///< consumer warps of a CTA; the producer is warp 16
inline constexpr std::uint32_t ring_threads = 32 * (ring_warps + 1);
/// The barrier that consumer warps meet at: bar.sync 1, 512.
inline constexpr std::uint32_t ring_consumer_barrier = 1;

struct RingPlan {
    std::uint32_t stage_units = 4; ///< units (and consumer warps) of a stage: 1, 2, 4, 8 or 16
    std::uint32_t stages = 0;      ///< a multiple of groups()
    std::uint32_t stage_bytes = 0; ///< stage_units units of the largest type

    std::uint32_t groups() const { return ring_warps / stage_units; }
    std::uint32_t full_offset() const { return stages * stage_bytes; }
    std::uint32_t empty_offset() const { return full_offset() + 8 * stages; }
    /// Shared memory that the ring takes, to be aligned to 128.
    std::uint32_t bytes() const { return full_offset() + 16 * stages; }
};

/// The plan with the most stages that fit `shared_bytes` (at most `max_stages`), for segments of these types. Nothing
/// if not even one stage for each group fits.
std::optional<RingPlan> ring_plan(std::span<const TensorType> types, std::uint32_t shared_bytes,
                                  std::uint32_t stage_units, std::uint32_t max_stages = 64);

/// Makes the barriers, by one thread; the CTA's barrier must follow before anybody uses them.
void emit_ring_init(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring);

/// A place in the ring: the next stage of a producer, or of a group of consumers.
class RingCursor {
public:
    /// Starts at stage `first`; the first wait is for `parity` to have completed.
    RingCursor(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring, const Val<u32>& first,
               std::uint32_t parity);
    /// The stage's barriers.
    Val<shared_ptr<u64>> full() const;
    Val<shared_ptr<u64>> empty() const;
    void wait(const Val<shared_ptr<u64>>& barrier);
    /// What to add the place to, so that it is the address `offset` bytes into the stage.
    Val<u32> base(const Val<u32>& offset);
    Val<shared_ptr<u8>> address(const Val<u32>& base);
    /// `stages` further on.
    void advance(std::uint32_t stages);

private:
    KernelBuilder k_;
    RingPlan plan_;
    Val<shared_ptr<u8>> ring_;
    Val<u32> end_;     ///< address behind the full barriers
    Var<u32> barrier_; ///< address of the stage's full barrier, from which everything else follows
    Var<u32> phase_;
};

/// Bounds the copies in flight, which others' packets queue behind: before a stage is filled, fewer than so many stages
/// may be on their way.
struct RingThrottle {
    std::uint32_t busy = 0;                   ///< while the consumers multiply; 0: as many as there are stages
    std::uint32_t waiting = 0;                ///< while the word at `flag` is not 0: the consumers wait for other CTAs
    std::optional<Val<shared_ptr<u32>>> flag; ///< written by st.relaxed.cta; nothing: `busy` always
};

/// The producer's place in the ring; goes on from segment to segment. One thread of the kernel runs it.
class RingProducer {
public:
    RingProducer(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring, RingThrottle throttle = {});
    /// Streams a segment: `units` units of unit_bytes bytes from `address` (16-byte aligned) on. Waits for free stages.
    void produce(const Val<global_ptr<const u8>>& address, const Val<u32>& units, std::uint32_t unit_bytes);

private:
    Pred has_room();
    void wait_for_room();

    KernelBuilder k_;
    RingPlan plan_;
    RingThrottle throttle_;
    bool throttled_;
    RingCursor cursor_;
    RingCursor oldest_; ///< stage in flight
    Var<u32> in_flight_;
};

/// A consumer warp's place in the ring. Every segment that the producer streams must be consumed by all 16 warps: one
/// wait(), release() pair for each round.
class RingConsumer {
public:
    /// `warp` < 16 is uniform in the warp.
    RingConsumer(KernelBuilder& k, const RingPlan& plan, const Val<shared_ptr<u8>>& ring, const Val<u32>& warp,
                 const RingLane& lane);
    /// For address(): where this warp's units of unit_bytes bytes are; to be kept over a segment.
    Val<u32> base(std::uint32_t unit_bytes);
    /// Waits for the next stage.
    void wait();
    /// The unit in it.
    Val<shared_ptr<const u8>> address(const Val<u32>& base);
    /// Gives the stage back and goes to the next. All lanes must have read what they need.
    void release();

    const RingPlan& plan() const { return plan_; }
    const Val<u32>& warp() const { return warp_; }

private:
    KernelBuilder k_;
    RingPlan plan_;
    Val<u32> warp_, warp_in_group_;
    Pred first_lane_;
    RingCursor cursor_;
};

} // namespace ptxgen::kernels
