#pragma once

#include "kernels/tensor_type.hpp"
#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <memory>
#include <vector>

/// What all kernels that read stored weights share: how one lane turns a piece of a block into f32 registers.
namespace ptxgen::kernels {

/// Largest matrices that kernels take; so that offsets within a few rows stay 32-bit.
inline constexpr std::uint32_t max_rows = 1U << 30;
inline constexpr std::uint32_t max_cols = 1U << 24;

using WeightPtr = Val<global_ptr<const u8>>;

/// `UnitShape::width` consecutive weights of a unit.
struct UnitChunk {
    std::uint32_t offset; ///< of the first one from the unit's first element
    std::uint32_t group;  ///< whose scale and minimum hold for it
};

/// A unit is what one lane decodes at a time: the weights that share header fields and loads. A row is a sequence of
/// blocks, a block holds `units` units. Their elements interleave: unit u's offsets count from element_offset(u).
struct UnitShape {
    std::uint32_t block_elements = 0;
    std::uint32_t block_bytes = 0;
    std::uint32_t units = 1; ///< of a block; a power of two
    std::uint32_t width = 4; ///< weights of a chunk; less than 4 only where rows of plain types are no multiple of 4
    std::vector<UnitChunk> chunks; ///< in the order in which they decode best
    std::uint32_t groups = 0;      ///< scales of a unit; 0: the values are the weights
    bool has_minimum = false;
    float offset = 0; ///< weight = scale · (value − offset) + minimum

    std::uint32_t elements() const { return static_cast<std::uint32_t>(chunks.size()) * width; }
};

/// A unit whose loads have been emitted. Values are exact, scales and minima are rounded once.
class LoadedUnit {
public:
    virtual ~LoadedUnit() = default;
    /// Emits what turns header fields into scales and minima; before the calls below.
    virtual void prepare() {}
    const Val<f32>& scale(std::uint32_t group) const { return scales_[group]; }
    const Val<f32>& minimum(std::uint32_t group) const { return minima_[group]; }
    /// Emits the decoding of one chunk: `width` values. Once for each chunk.
    virtual std::vector<Val<f32>> values(std::size_t chunk) = 0;

protected:
    std::vector<Val<f32>> scales_, minima_;
};

/// Emits the decoding of one storage type.
class UnitDecoder {
public:
    virtual ~UnitDecoder() = default;
    const UnitShape& shape() const { return shape_; }

    /// Emits what depends on which unit of its blocks a lane decodes, `unit` < shape().units; once, before load(),
    /// where a block has more than one unit.
    virtual void select_unit(KernelBuilder&, const Val<u32>& /*unit*/) {}
    /// Elements before the selected unit in its block.
    virtual Val<u32> element_offset(KernelBuilder& k) { return k.imm<u32>(0); }
    /// Emits the loads of the selected unit of the block at `block`, whose first byte has the alignment that the
    /// type's block_bytes leave.
    virtual std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) = 0;

protected:
    UnitShape shape_;
};

/// The decoder of a type that kernels read (all of tensor_types() but Q8_1 and Q8_K, which hold activations), for rows
/// of `cols` elements; cols is a multiple of the type's block_elements.
std::unique_ptr<UnitDecoder> unit_decoder(TensorType type, std::uint32_t cols);

/// Types that unit_decoder() takes, by ascending id.
std::vector<TensorType> weight_types();

} // namespace ptxgen::kernels
