#pragma once

#include "kernels/common/memory.hpp"
#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <functional>
#include <vector>

/// How CTAs of a cooperative launch hand vectors to each other. An element travels as a packet of 64 bits, its f32
/// value below the u32 epoch in which it was written, in one store; readers poll the packets themselves until all of
/// them have the epoch they wait for. No barrier, no reset: epochs grow from use to use and start from 1 in zeroed
/// memory.
namespace ptxgen::kernels {

using PacketPtr = global_ptr<u64>;

/// Where a wait can happen, for reports: DecoderStatus::site.
enum class WaitSite : std::uint32_t {
    query = 1,        ///< q, k and v of the attention's heads
    attention_part,   ///< other CTAs' parts of the attention
    attention_output, ///< for the output projection
    attention_block,  ///< the output projection's result
    ffn_gated,        ///< act(gate) · up, for the down projection
    ffn_block,        ///< the down projection's result
    best_logit,       ///< the CTAs' largest logits
};
/// "the attention output", …
std::string_view name(WaitSite site);

/// What a CTA that gave up leaves behind, eight words each; `code` is 0 in those that did not.
struct DecoderStatus {
    enum Code : std::uint32_t { running = 0, timed_out = 1, left_with_others = 2 };
    std::uint32_t code = 0;
    std::uint32_t site = 0;   ///< a WaitSite
    std::uint32_t layer = 0;  ///< where the site has one
    std::uint32_t packet = 0; ///< the first packet that a thread missed, counted in the edge
    std::uint32_t wanted = 0; ///< epoch
    std::uint32_t found = 0;  ///< epoch in that packet
    std::uint32_t reserved[2] = {};
};
inline constexpr std::uint32_t status_words = 8;
static_assert(sizeof(DecoderStatus) == status_words * 4);

/// Bounds all waits of a CTA. The first thread that waits for longer than the limit writes its CTA's status, and sets
/// the abort word that all CTAs look at while they wait. From then on nobody waits in vain: waits return at once, with
/// whatever is there, and the kernel leaves where it looks at `failed`.
struct WaitGuard {
    Val<shared_ptr<u32>> failed; ///< of the CTA; not 0: waits return at once
    Val<global_ptr<u32>> abort;  ///< of the grid
    Val<global_ptr<u32>> status; ///< of the CTA, status_words
    Val<u64> limit_ns;           ///< by %globaltimer
};

/// What a wait is for, in reports.
struct WaitFor {
    WaitSite site;
    Val<u32> layer;
    Val<u32> packet; ///< number of the lane's first packet in the edge
};

/// Writes one packet. `packet` is 8-byte aligned.
void emit_publish(KernelBuilder& k, const Val<PacketPtr>& packet, const Val<f32>& value, const Val<u32>& epoch);

/// Emits `ask`, which loads packets, again and again until the upper halves of all `marked` are `epoch`, in lanes where
/// `wanted` holds; in the others they must be that from the start. All lanes of the warp take part; `ask` is emitted
/// once, predicated on the lane. `numbers`: of the packets behind wait.packet, for the report.
void emit_wait(KernelBuilder& k, const std::function<void()>& ask, const std::vector<Var<u64>>& marked,
               const std::vector<std::uint32_t>& numbers, const Pred& wanted, const Val<u32>& epoch,
               const WaitGuard& guard, const WaitFor& wait, const std::function<void()>& unpack = {});

/// Waits for `each` (1, 2 or 4) packets at each of `packets`, which are aligned to as many, in lanes where `wanted`
/// holds; the others get zeros. All lanes of the warp take part. Gives values packet by packet.
Values emit_poll(KernelBuilder& k, const std::vector<Val<PacketPtr>>& packets, std::uint32_t each, const Pred& wanted,
                 const Val<u32>& epoch, const WaitGuard& guard, const WaitFor& wait);

} // namespace ptxgen::kernels
