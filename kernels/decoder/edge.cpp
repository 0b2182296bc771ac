#include "kernels/decoder/edge.hpp"

namespace ptxgen::kernels {
namespace {

// Rounds of polling between two looks at the time and at what others have found.
constexpr std::uint32_t patience = 64;

} // namespace

std::string_view name(WaitSite site) {
    switch (site) {
    case WaitSite::query: return "queries, keys and values";
    case WaitSite::attention_part: return "other parts of the attention";
    case WaitSite::attention_output: return "the attention's output";
    case WaitSite::attention_block: return "the attention block's result";
    case WaitSite::ffn_gated: return "the gated feed-forward vector";
    case WaitSite::ffn_block: return "the feed-forward block's result";
    case WaitSite::best_logit: return "the largest logits";
    }
    return "?";
}

void emit_publish(KernelBuilder& k, const Val<PacketPtr>& packet, const Val<f32>& value, const Val<u32>& epoch) {
    const auto both = k.mov(std::array{value.as<u32>(), epoch}).as<u64>();
    k.st(packet, both, relaxed, gpu);
}

void emit_wait(KernelBuilder& k, const std::function<void()>& ask, const std::vector<Var<u64>>& marked,
               const std::vector<std::uint32_t>& numbers, const Pred& wanted, const Val<u32>& epoch,
               const WaitGuard& guard, const WaitFor& wait, const std::function<void()>& unpack) {
    auto rounds = k.var<u32>(0);
    auto deadline = k.var<u64>(std::uint64_t{0});
    auto missing = k.var<u32>(k.selp(k.imm<u32>(1), k.imm<u32>(0), wanted));
    const LabelRef again = k.label("poll"), done = k.label("poll_done");
    k.place(again);
    // Only lanes that still miss something ask: what others publish meanwhile has shorter ways.
    k.predicated(missing != 0, ask);
    if (unpack) unpack();
    missing = 0U;
    for (const auto& packet : marked) {
        const auto epoch_found = k.cvt<u32>(packet >> 32);
        const auto difference = epoch_found ^ epoch;
        missing = missing | difference;
    }
    k.bra_if(!k.vote_sync_any(missing != 0, 0xffffffffu), done);
    rounds += 1;
    k.bra_if((rounds & (patience - 1)) != 0, again);

    k.comment("a long wait");
    const auto failed = k.ld(guard.failed, volatile_);
    const auto aborted = k.ld(guard.abort, relaxed, gpu);
    const auto now = k.var<u64>();
    k.state().append("mov.u64", {now.operand(), Operand::special(*find_special_register("%globaltimer"))});
    k.predicated(deadline == std::uint64_t{0}, [&] { deadline = now + guard.limit_ns; });
    const auto in_time = now < deadline;
    const auto others_go_on = aborted == 0;
    const auto all_go_on = (failed == 0) & others_go_on;
    const auto goes_on = all_go_on & in_time;
    // The warp decides as one.
    k.bra_if(k.vote_sync_all(goes_on, 0xffffffffu), again);

    k.if_(missing != 0, [&] {
        const auto earlier = k.atom_exch(guard.failed, k.imm<u32>(1));
        k.if_(earlier == 0, [&] {
            auto at = k.var<u32>(wait.packet);
            auto epoch_there = k.var<u32>(epoch);
            for (std::size_t i = marked.size(); i-- > 0;) {
                const auto there = k.cvt<u32>(marked[i] >> 32);
                k.predicated(there != epoch, [&] {
                    epoch_there = there;
                    at = wait.packet + numbers[i];
                });
            }
            k.st(guard.status, k.selp(k.imm<u32>(DecoderStatus::timed_out), k.imm<u32>(DecoderStatus::left_with_others),
                                      others_go_on));
            k.st(guard.status + 1, k.imm<u32>(static_cast<std::uint32_t>(wait.site)));
            k.st(guard.status + 2, wait.layer);
            k.st(guard.status + 3, at);
            k.st(guard.status + 4, epoch);
            k.st(guard.status + 5, epoch_there);
            k.st(guard.abort, k.imm<u32>(1), relaxed, gpu);
        });
    });
    k.place(done);
    k.bar_warp_sync(0xffffffffu);
}

Values emit_poll(KernelBuilder& k, const std::vector<Val<PacketPtr>>& packets, std::uint32_t each, const Pred& wanted,
                 const Val<u32>& epoch, const WaitGuard& guard, const WaitFor& wait) {
    // Lanes that want nothing hold packets that are there.
    const auto nothing = k.mov(std::array{k.imm<u32>(0), epoch}).as<u64>();
    std::vector<Var<u64>> found;
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t i = 0; i < packets.size() * each; i++) {
        found.push_back(k.var<u64>(nothing));
        numbers.push_back(i < each ? i : 0);
    }
    const auto ask = [&] {
        for (std::size_t p = 0; p < packets.size(); p++) {
            const std::size_t first = p * each;
            if (each == 1) {
                found[first] = k.ld(packets[p], relaxed, gpu);
                continue;
            }
            for (std::uint32_t i = 0; i < each; i += 2) {
                auto pair = k.ld(packets[p] + i, relaxed, gpu, v2);
                found[first + i] = std::move(pair[0]);
                found[first + i + 1] = std::move(pair[1]);
            }
        }
    };
    emit_wait(k, ask, found, numbers, wanted, epoch, guard, wait);
    Values values;
    for (const auto& packet : found) values.push_back(k.cvt<u32>(packet).as<f32>());
    return values;
}

} // namespace ptxgen::kernels
