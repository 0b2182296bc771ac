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

/// What a lane knows of itself in all products of a kernel. The values are opaque to ptxas, which would compute them
/// again in every round of the loops otherwise.
struct RingLane {
    RingLane(KernelBuilder& k, RingDots dots);

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
    std::vector<Var<u32>> words; ///< 2 (mma), 16 masked ones (mma, held), 16 (dp4a)
    bool held = false;           ///< the B operands are masked once, not in every product
    std::vector<Var<f32>> scales;
};

/// Products of units of one type. Emits into the kernel; holds what stays the same from unit to unit.
class RingProduct {
public:
    RingProduct(KernelBuilder& k, const RingFormat& format, const RingLane& lane);
    virtual ~RingProduct() = default;

    const RingFormat& format() const { return format_; }

    /// Registers for a unit, unassigned.
    RingUnit unit() const;
    /// Loads a unit; `at` is its first byte.
    void load(RingUnit& unit, const Val<shared_ptr<const u8>>& at) const;
    void load(RingUnit& unit, const Val<global_ptr<const u8>>& at) const;

    /// Registers for a record. `held` where a record serves many units: 14 more registers, 16 fewer instructions a
    /// unit.
    RingActivations activations(bool held) const;
    void load(RingActivations& activations, const Val<shared_ptr<const u8>>& record) const;

    /// Adds this lane's share of the unit's products with each token's activations to sums[token]: of row g to [0] and
    /// of row g + 8 to [1]; the shares of the four lanes of a group make the row's. All lanes of the warp take part.
    /// finish() must be applied to the sum of the shares.
    using Sums = std::array<Var<f32>, 2>;
    void accumulate(const RingUnit& unit, const std::vector<RingActivations>& activations,
                    std::vector<Sums>& sums) const;
    /// A power of two that the shares lack.
    float finish() const { return finish_; }

protected:
    /// Scales (and minima) of a unit as floats or as the type wants them.
    struct Header {
        std::vector<Val<f32>> floats;
        std::vector<Val<s32>> integers;
    };
    /// A header's loads: byte offset in the unit, byte stride by lane or by group, words.
    struct HeaderLoad {
        std::uint32_t offset, lane_stride, group_stride, bytes;
    };
    virtual std::vector<HeaderLoad> header_loads() const = 0;
    virtual Header header(const RingUnit& unit) const = 0;
    /// dots: columns 2q and 2q + 1 of row g, then of row g + 8; a second such four where sub-blocks have 16 columns.
    virtual void combine(const RingUnit& unit, const Header& header, const std::vector<Val<s32>>& dots,
                         const RingActivations& activations, Sums& sums) const = 0;

    KernelBuilder k_;
    RingFormat format_;
    const RingLane& lane_;
    float finish_ = 1;
};

std::unique_ptr<RingProduct> ring_product(KernelBuilder& k, TensorType type, const RingLane& lane);

} // namespace ptxgen::kernels
