#include "policies/schedulers/loop.hpp"

namespace ptxgen::policies {
namespace {

/// The leader's note to its CTA: no tile, and DELAY, which stays with the leader. Tickets are smaller.
constexpr std::uint32_t nothing = 0xffffffff, later = 0xfffffffe;

/// Tickets from one u64: the low half counts draws, the high half CTAs that left without drawing in vain. Every CTA
/// leaves exactly once, so with T tiles and T CTAs the halves come to 2 T when the last one has left; it resets the
/// word for the next launch.
class Ticket {
public:
    explicit Ticket(TileLoop& loop)
        : l_(loop), k_(loop.k), word_(k_.param<global_ptr<u64>>("tickets", "u64, zero before the first launch")),
          note_(k_.shared<u32>("ticket", 1)), tiles_(linear_size(k_, loop.dimensions())) {}

    void emit() {
        l_.declare_counters();
        const LabelRef round = k_.label("round"), done = k_.label("done");
        k_.if_(l_.first_thread(), [&] { first_draw(); });
        k_.barrier_sync(0U);
        auto tile = k_.var<u32>(k_.ld(note_));
        k_.bra_if(tile >= tiles_, done);
        k_.place(round);
        auto drawn = k_.var<u32>(nothing);
        if (l_.behaviour.may_steal) {
            k_.barrier_sync(0U); // all have read the note
            k_.comment("the next ticket is on its way while this tile runs");
            k_.if_(l_.first_thread(), [&] { request(drawn); });
        }
        std::vector<Val<u32>> sizes{k_.nctaid.x};
        if (l_.dimensions() > 1) sizes.push_back(k_.nctaid.y);
        if (l_.dimensions() > 2) sizes.push_back(k_.nctaid.z);
        l_.code.tile(tile_of(k_, Val<u32>(k_.state(), tile.operand()), sizes));
        if (!l_.behaviour.may_steal) {
            k_.if_(l_.first_thread(), [&] {
                l_.count(Counter::declined);
                leave_early();
            });
            k_.place(done);
            return;
        }
        k_.if_(l_.first_thread(), [&] { pass_on(drawn); });
        k_.barrier_sync(0U);
        tile = k_.ld(note_);
        k_.bra_if(tile < tiles_, round);
        k_.place(done);
    }

private:
    Val<u64> draw() { return k_.atom_add(word_, k_.imm<u64>(1), relaxed, gpu); }

    void first_draw() {
        const Val<u64> before = draw();
        const Val<u32> ticket = k_.cvt<u32>(before);
        k_.st(note_, ticket);
        k_.if_(
            ticket >= tiles_, [&] { reset_after(before); },
            [&] {
                l_.init();
                l_.count(Counter::launched);
            });
    }

    void request(Var<u32>& drawn) {
        const auto delayed = l_.ask([&] { drawn = k_.cvt<u32>(draw()); }, [&] { leave_early(); });
        if (delayed) k_.predicated(*delayed, [&] { drawn = later; });
    }

    /// The CTA learns its next tile.
    void pass_on(Var<u32>& drawn) {
        if (l_.behaviour.may_delay)
            l_.ask_again(
                drawn == later, [&] { drawn = k_.cvt<u32>(draw()); },
                [&] {
                    drawn = nothing;
                    leave_early();
                });
        k_.st(note_, drawn);
        const LabelRef known = k_.label("known");
        k_.if_(
            drawn < tiles_, [&] { l_.succeeded(1); },
            [&] {
                k_.bra_if(drawn == nothing, known);
                l_.count(Counter::failed);
                // The draw itself was counted when it was made; what has happened since decides who is last.
                const Val<u64> now = k_.ld(word_, relaxed, gpu);
                reset_if_last(now);
            });
        k_.place(known);
    }

    /// Leaves while there may be tickets left.
    void leave_early() {
        const Val<u64> before = k_.atom_add(word_, k_.imm<u64>(std::uint64_t{1} << 32), relaxed, gpu);
        reset_after(before);
    }
    /// One more draw or exit has been counted since the word was `before`.
    void reset_after(const Val<u64>& before) {
        const Val<u64> now = before + std::uint64_t{1}; // either half: only their sum matters
        reset_if_last(now);
    }
    void reset_if_last(const Val<u64>& word) {
        const Val<u32> draws = k_.cvt<u32>(word);
        const Val<u64> high = word >> 32U;
        const Val<u32> exits = k_.cvt<u32>(high);
        const Val<u32> sum = draws + exits;
        const Val<u32> all = tiles_ << 1U;
        const Pred last = sum == all;
        k_.predicated(last, [&] { k_.st(word_, k_.imm<u64>(0), relaxed, gpu); });
    }

    TileLoop& l_;
    KernelBuilder& k_;
    Val<global_ptr<u64>> word_;
    Val<shared_ptr<u32>> note_;
    Val<u32> tiles_;
};

} // namespace

void emit_ticket(TileLoop& loop) { Ticket(loop).emit(); }

} // namespace ptxgen::policies
