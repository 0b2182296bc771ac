#pragma once

#include "kernels/ring/activations.hpp"
#include "kernels/ring/format.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace ptxgen::kernels {

/// How the integer dot products are computed; both give the same integers, and so the same sums bit for bit.
enum class RingDots {
    mma, ///< mma.sync.m16n8k32, sm_80 and newer
    dp4a ///< anywhere
};

/// A copy of `value` that ptxas cannot compute again, as it would in every round of a loop. All 32 lanes take part.
Val<u32> emit_opaque(KernelBuilder& k, const Val<u32>& value);

/// What a lane knows of itself in all products of a kernel.
struct RingLane {
    RingLane(KernelBuilder& k, RingDots how);

    RingDots dots;
    Val<u32> lane;  ///< 0 … 31
    Val<u32> group; ///< g = lane / 4: rows g and g + 8 of a tile
    Val<u32> quad;  ///< q = lane % 4
    /// mma: all ones in the lanes of group j, for the B operand of sub-block j; empty for dp4a.
    std::vector<Val<u32>> column_masks;
};

/// A unit's words in registers.
struct RingUnit {
    std::vector<Var<u32>> codes;  ///< 4 · format.loads(), load by load
    std::vector<Var<u32>> header; ///< as the type's product takes them
};

/// A record in registers, as one lane needs it.
struct RingActivations {
    bool held = false;           ///< the B operands are masked once, not in every product
    std::vector<Var<u32>> words; ///< 2 (mma), 16 masked ones (mma, held), 16 (dp4a)
    std::vector<Var<f32>> scales;
};

/// Products of units of one type. Emits into the kernel; holds what stays the same from unit to unit.
class RingProduct {
public:
    virtual ~RingProduct() = default;

    const RingFormat& format() const { return format_; }
    const RingLane& lane() const { return lane_; }

    /// Registers for a unit, unassigned.
    RingUnit unit();
    /// Loads a unit; `at` is its first byte.
    void load(RingUnit& unit, const Val<shared_ptr<const u8>>& at);
    void load(RingUnit& unit, const Val<global_ptr<const u8>>& at);
    /// The parts of load(), for those who reload some registers while others are still needed; `lane_at` is 16 · lane
    /// bytes into the unit.
    void load_codes(RingUnit& unit, std::uint32_t load, const Val<global_ptr<const u8>>& lane_at);
    void load_header(RingUnit& unit, const Val<global_ptr<const u8>>& at);

    /// Operand A of output j of a unit: four words, whose bytes are codes · 2^shift (RingCode).
    std::vector<Val<u32>> output(const RingUnit& unit, std::uint32_t j);
    /// A lane's scales and minima, rows g and g + 8: a weight is scale · code + minimum_scale · minimum.
    struct RowScales {
        /// Of sub-blocks 2q and 2q + 1 (and, where they have 16 columns, 8 + 2q and 9 + 2q); at most 19 bits long.
        std::array<std::vector<Val<f32>>, 2> scale;
        /// Of sub-blocks 2q and 2q + 1, at most 11 bits long; empty: there are none.
        std::array<std::vector<Val<f32>>, 2> minimum;
        std::array<std::optional<Val<f32>>, 2> minimum_scale; ///< nothing: 1
    };
    virtual RowScales row_scales(const RingUnit& unit) = 0;
    virtual bool has_minima() const { return false; }
    /// Whether scales are of 16 columns instead of 32.
    virtual bool sixteen_columns() const { return false; }

    /// Registers for a record. `held` where a record serves many units: 14 more registers, 16 fewer instructions a
    /// unit.
    RingActivations activations(bool held);
    void load(RingActivations& activations, const Val<shared_ptr<u8>>& record);

    /// Adds this lane's share of the unit's products to the sums: of row g to [0] and of row g + 8 to [1]; the shares
    /// of the four lanes of a group make the row's. All lanes of the warp take part.
    using Sums = std::array<Var<f32>, 2>;
    void accumulate(const RingUnit& unit, const RingActivations& activations, Sums& sums);

    /// Operand A of output j: four words.
    using Outputs = std::vector<std::vector<Val<u32>>>;
    /// A unit's scales and minima as the type's sums take them.
    struct Header {
        std::vector<Val<f32>> floats;
        std::vector<Val<s32>> integers;
    };
    struct Unpacked {
        Outputs outputs;
        Header header;
    };
    /// What the products with several tokens share: computed once, in more registers. The sums are the same.
    Unpacked unpack(const RingUnit& unit);
    void accumulate(const Unpacked& unpacked, const RingActivations& activations, Sums& sums);
    /// A power of two by which rows have to be multiplied in the end.
    float finish() const { return finish_; }

protected:
    /// Words that a lane loads: `words` of them at offset + lane · lane_stride + group · group_stride.
    struct HeaderLoad {
        std::uint32_t offset, lane_stride, group_stride, words;
        bool half = false; ///< 16 bits, widened
    };
    using Dots = std::vector<Val<s32>>;

    RingProduct(KernelBuilder& k, const RingFormat& format, const RingLane& lane)
        : k_(k), format_(format), lane_(lane) {}
    /// For types whose sub-blocks have 32 columns: dots are to come as floats, raised by raised_by(parity).
    void raise_dots();
    /// 1.5 · 2^(23 − shift), to which adding code-scaled integers gives the dots of unscaled codes as floats.
    float raised_by(std::uint32_t parity) const;

    virtual std::vector<HeaderLoad> header_loads() const = 0;
    virtual void load_scales(RingActivations& activations, const Val<shared_ptr<u8>>& record);
    virtual std::size_t scale_count() const { return 4; }
    /// `shared`: whether several tokens use it.
    virtual Header header(const RingUnit& unit, bool shared) = 0;
    /// dots: sub-blocks 2q and 2q + 1 of row g, then of row g + 8; with sub-blocks of 16 columns, 8 + 2q and 9 + 2q
    /// follow.
    virtual void combine(const Header& header, const Dots& dots, const RingActivations& activations, Sums& sums) = 0;

    KernelBuilder k_;
    RingFormat format_;
    const RingLane& lane_;
    float finish_ = 1;

private:
    template <class Pointer>
    void load_codes_from(RingUnit& unit, std::uint32_t load, const Val<Pointer>& at);
    template <class Pointer>
    void load_header_from(RingUnit& unit, const Val<Pointer>& at);
    Val<u32> operand_b(const RingActivations& activations, std::uint32_t j, std::uint32_t half);
    // `unpacked` or, if it is empty, the unit.
    Dots dots(const Outputs& unpacked, const RingUnit& unit, const RingActivations& activations);
    Dots dots_by_mma(const Outputs& unpacked, const RingUnit& unit, const RingActivations& activations);
    Dots dots_by_dp4a(const Outputs& unpacked, const RingUnit& unit, const RingActivations& activations);
    std::vector<Val<s32>> deal(const std::vector<Val<s32>>& shares);

    std::vector<Val<s32>> initial_; ///< of the accumulators
};

std::unique_ptr<RingProduct> ring_product(KernelBuilder& k, TensorType type, const RingLane& lane);

} // namespace ptxgen::kernels
