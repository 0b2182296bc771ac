#include "kernels/ring/segment.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t all_lanes = 0xffffffff;

/// One warp's way through a segment, whatever its units come from.
class SegmentWalk {
public:
    SegmentWalk(KernelBuilder& k, const RingSegment& segment, const Val<u32>& warp, const RingBuffers& buffers)
        : k_(k), segment_(segment), product_(*segment.product), super_blocks_(segment.super_blocks),
          held_(ring_warps % segment.super_blocks == 0 && segment.tokens == 1),
          activations_(product_.activations(held_)), sums_{k.var<f32>(0.0F), k.var<f32>(0.0F)},
          column_(k.var<u32>(first_column(warp))),
          record_(k.var<u32>(k.mad_lo(column_, ring_record_bytes, buffers.records.as<u32>()))),
          to_(k.var<u32>(first_slot(warp, buffers.partials))), stores_(product_.lane().quad < 2U) {
        if (held_) product_.load(activations_, record(record_));
        if (several() && segment.gathers()) {
            const auto lane_at = k.mad_lo(product_.lane().lane, 8U, buffers.sums.as<u32>());
            kept_sums_.emplace(k.mad_lo(warp, 256 * segment.tokens, lane_at));
            for (std::uint32_t t = 0; t < segment.tokens; t++) keep_sums(*kept_sums_ + 256 * t);
        }
    }

    /// The products of the unit; its registers are free afterwards.
    void multiply(const RingUnit& unit) {
        if (several()) {
            multiply_several(unit);
            return;
        }
        if (!held_) product_.load(activations_, record(record_));
        product_.accumulate(unit, activations_, sums_);
    }

    /// Goes on to the warp's next unit; stores the sums where that belongs to another tile.
    void advance() {
        if (segment_.gathers()) {
            advance_column();
            return;
        }
        if (!several()) store_sums(to_);
        const std::uint32_t tiles = ring_warps / super_blocks_, columns = ring_warps % super_blocks_;
        to_ += tiles * segment_.tile_bytes() + 4 * columns;
        if (columns == 0) return;
        column_ += columns;
        record_ += columns * ring_record_bytes;
        k_.predicated(column_ >= super_blocks_, [&] {
            column_ -= super_blocks_;
            record_ -= super_blocks_ * ring_record_bytes;
            to_ += segment_.tile_bytes() - 4 * super_blocks_;
        });
    }

private:
    bool several() const { return segment_.tokens > 1; }
    Val<u32> first_column(const Val<u32>& warp) { return super_blocks_ >= ring_warps ? warp : warp % super_blocks_; }
    Val<u32> first_slot(const Val<u32>& warp, const Val<shared_ptr<f32>>& partials) {
        const RingLane& lane = product_.lane();
        // Of a group, lane 0 stores row g and lane 1 row g + 8.
        const auto upper = lane.quad & 1U;
        const auto row = k_.mad_lo(upper, 8U, lane.group);
        const auto row_at = k_.mad_lo(row, 4 * segment_.row_floats(), partials.as<u32>());
        const auto at = k_.mad_lo(column_, 4U, row_at);
        if (super_blocks_ >= ring_warps) {
            if (super_blocks_ % ring_warps != 0) tile_.emplace(k_.var<u32>(row_at));
            return at;
        }
        const auto tile = warp / super_blocks_;
        return k_.mad_lo(tile, segment_.tile_bytes(), at);
    }

    /// Where a warp has several units of a tile: 16 columns on, perhaps into the next tile.
    void advance_column() {
        column_ += ring_warps;
        record_ += ring_warps * ring_record_bytes;
        const LabelRef same_tile = k_.label("same_tile");
        k_.bra_if(column_ < super_blocks_, same_tile);
        if (several())
            store_kept_sums();
        else
            store_sums(to_);
        column_ -= super_blocks_;
        record_ -= super_blocks_ * ring_record_bytes;
        if (super_blocks_ % ring_warps == 0) {
            to_ += segment_.tile_bytes();
        } else {
            // The slot is the first column of the tile that this warp has.
            *tile_ += segment_.tile_bytes();
            to_ = k_.mad_lo(column_, 4U, *tile_);
        }
        k_.place(same_tile);
    }

    // Tokens are a loop in the kernel: unrolled, their sums would not fit the registers.
    void multiply_several(const RingUnit& unit) {
        const RingProduct::Unpacked unpacked = product_.unpack(unit);
        auto of_token = k_.var<u32>(Val<u32>(record_));
        each_token([&](const Val<u32>& kept, const Var<u32>& to) {
            if (segment_.gathers()) take_sums(kept);
            product_.load(activations_, record(of_token));
            product_.accumulate(unpacked, activations_, sums_);
            if (segment_.gathers())
                keep_sums(kept);
            else
                store_sums(to);
            of_token += segment_.token_record_bytes();
        });
    }
    void store_kept_sums() {
        each_token([&](const Val<u32>& kept, const Var<u32>& to) {
            take_sums(kept);
            store_sums(to);
            keep_sums(kept);
        });
    }
    template <class Body>
    void each_token(Body body) {
        auto to = k_.var<u32>(Val<u32>(to_));
        auto kept = k_.var<u32>(kept_sums_ ? *kept_sums_ : k_.imm<u32>(0));
        auto left = k_.var<u32>(segment_.tokens);
        const LabelRef next = k_.label("token");
        k_.place(next);
        body(read(kept), to);
        to += segment_.token_partial_bytes();
        if (kept_sums_) kept += 256U;
        left -= 1U;
        k_.bra_if(left != 0U, next);
    }
    void take_sums(const Val<u32>& kept) {
        auto pair = k_.ld(kept.as<shared_ptr<f32>>(), v2);
        for (std::size_t i = 0; i < 2; i++) sums_[i] = std::move(pair[i]);
    }
    /// Stores the lane's sums, which are 0 afterwards where they are kept in registers.
    void keep_sums(const Val<u32>& kept) {
        k_.st(kept.as<shared_ptr<f32>>(), std::array{read(sums_[0]), read(sums_[1])}, v2);
    }

    /// The four lanes' sums together to their rows' slot at `at`; the sums are 0 afterwards.
    void store_sums(const Var<u32>& at) {
        const Pred odd = (product_.lane().quad & 1U) != 0U;
        auto& [of_g, of_h] = sums_;
        const auto give = k_.selp(of_g, of_h, odd);
        const auto mine = k_.selp(of_h, of_g, odd);
        const auto got = k_.shfl_sync_bfly(give, 1U, 31U, all_lanes);
        const auto pair = mine + got;
        const auto other = k_.shfl_sync_bfly(pair, 2U, 31U, all_lanes);
        const auto row = pair + other;
        const auto to = read(at).as<shared_ptr<f32>>();
        k_.predicated(stores_, [&] { k_.st(to, row); });
        of_g = 0.0F;
        of_h = 0.0F;
    }

    template <class T>
    Val<T> read(const Var<T>& variable) {
        return {k_.state(), variable.operand()};
    }
    Val<shared_ptr<u8>> record(const Var<u32>& address) { return read(address).template as<shared_ptr<u8>>(); }

    KernelBuilder k_;
    const RingSegment& segment_;
    RingProduct& product_;
    std::uint32_t super_blocks_;
    bool held_; ///< all units of the warp are of one super-block, whose activations stay in registers
    RingActivations activations_;
    RingProduct::Sums sums_;
    std::optional<Var<u32>> tile_;
    std::optional<Val<u32>> kept_sums_; ///< this lane's, of token 0
    Var<u32> column_;                   ///< super-block of the next unit
    Var<u32> record_;                   ///< its activations
    Var<u32> to_;                       ///< this lane's partial sum
    Pred stores_;
};

struct Rounds {
    Val<u32> units, all, own; ///< rounds of the segment, and those in which this warp has a unit
};
Rounds rounds_of(const RingSegment& segment, const Val<u32>& tiles, const Val<u32>& warp) {
    const auto units = tiles * segment.super_blocks;
    const auto all = (units + (ring_warps - 1)) >> 4U;
    const auto behind = units + (ring_warps - 1);
    const auto own = (behind - warp) >> 4U;
    return {units, all, own};
}

} // namespace

std::uint32_t RingSegment::pass_granularity() const { return ring_warps / std::gcd(ring_warps, super_blocks); }

void emit_ring_segment(KernelBuilder& k, const RingSegment& segment, RingConsumer& consumer, const RingBuffers& buffers,
                       const Val<u32>& tiles) {
    const LabelRef next = k.label("segment_unit"), last = k.label("segment_last"), done = k.label("segment_done");
    RingProduct& product = *segment.product;
    const Rounds rounds = rounds_of(segment, tiles, consumer.warp());
    const auto base = consumer.base(product.format().unit_bytes);
    SegmentWalk walk(k, segment, consumer.warp(), buffers);
    RingUnit unit = product.unit();
    auto left = k.var<u32>(rounds.own);
    k.bra_if(left == 0U, last);
    k.place(next);
    consumer.wait();
    product.load(unit, consumer.address(base));
    walk.multiply(unit);
    consumer.release();
    walk.advance();
    left -= 1U;
    k.bra_if(left != 0U, next);
    k.place(last);
    // A last round in which this warp has no unit.
    k.bra_if(rounds.own == rounds.all, done);
    consumer.wait();
    consumer.release();
    k.place(done);
}

void emit_direct_segment(KernelBuilder& k, const RingSegment& segment, const Val<global_ptr<const u8>>& units,
                         const Val<u32>& warp, const RingBuffers& buffers, const Val<u32>& tiles) {
    const LabelRef next = k.label("segment_unit"), done = k.label("segment_done");
    RingProduct& product = *segment.product;
    const std::uint32_t unit_bytes = product.format().unit_bytes;
    const Rounds rounds = rounds_of(segment, tiles, warp);
    SegmentWalk walk(k, segment, warp, buffers);
    RingUnit unit = product.unit();
    auto from = k.var<global_ptr<const u8>>(k.mad_wide(warp, unit_bytes, units.as<u64>()).as<global_ptr<const u8>>());
    auto left = k.var<u32>(rounds.own);
    k.bra_if(left == 0U, done);
    product.load(unit, Val<global_ptr<const u8>>(k.state(), from.operand()));
    k.place(next);
    walk.multiply(unit);
    // The next unit is on its way while the sums of this one are finished; the last one is loaded again for nothing.
    left -= 1U;
    const Pred more = left != 0U;
    k.predicated(more, [&] { from += ring_warps * unit_bytes; });
    product.load(unit, Val<global_ptr<const u8>>(k.state(), from.operand()));
    walk.advance();
    k.bra_if(more, next);
    k.place(done);
}

Val<f32> emit_ring_row(KernelBuilder& k, const RingSegment& segment, const Val<shared_ptr<f32>>& partials,
                       const Val<u32>& row, std::uint32_t token) {
    const auto from = partials + row * segment.row_floats() + token * (segment.token_partial_bytes() / 4);
    // Four sums, so that additions need not wait for one another.
    std::vector<Val<f32>> sums;
    for (std::uint32_t slot = 0; slot < segment.slots(); slot++) {
        const auto part = k.ld(from + slot);
        if (slot < 4)
            sums.push_back(part);
        else
            sums.push_back(sums[slot - 4] + part);
    }
    std::vector<Val<f32>> last(sums.end() - std::min<std::ptrdiff_t>(4, static_cast<std::ptrdiff_t>(sums.size())),
                               sums.end());
    while (last.size() > 1) {
        std::vector<Val<f32>> half;
        for (std::size_t i = 0; i + 1 < last.size(); i += 2) half.push_back(last[i] + last[i + 1]);
        if (last.size() % 2 != 0) half.push_back(last.back());
        last.swap(half);
    }
    const float factor = segment.product->finish();
    return factor == 1 ? last[0] : last[0] * factor;
}

} // namespace ptxgen::kernels
