#pragma once

#include "kernels/dequant/unit_decoder.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ptxgen::kernels {

/// Emits the inner part of a GEMV: products of one unit of several rows with the activations of several tokens, added
/// to one sum for each pair. Activations are f32 behind pointers of type X: into global or shared memory.
template <pointer_type X>
class UnitProduct {
public:
    /// `row_stride`: bytes from one row of weights to the next.
    UnitProduct(KernelBuilder& k, UnitDecoder& decoder, std::uint32_t rows, std::uint32_t tokens,
                std::uint64_t row_stride);

    /// Adds the unit at `weights` (of the first row) times the activations at x[t] (of the unit's first element).
    void accumulate(const Var<global_ptr<const u8>>& weights, std::span<const Var<X>> x);

    const Var<f32>& sum(std::uint32_t row, std::uint32_t token) const { return sums_[row * tokens_ + token]; }

private:
    using Units = std::vector<std::unique_ptr<LoadedUnit>>;
    /// Whether weights are scale · value + shift, and that shift.
    bool shifted() const;
    Val<f32> shift_of(const LoadedUnit& unit, std::uint32_t group);
    void whole_weights(Units& units, std::span<const Var<X>> x);
    void factored(Units& units, std::span<const Var<X>> x);
    std::vector<Val<f32>> load_x(const Var<X>& x, std::uint32_t offset);

    KernelBuilder k_;
    UnitDecoder& decoder_;
    std::uint32_t rows_, tokens_;
    std::uint64_t row_stride_;
    std::vector<Var<f32>> sums_;
};

} // namespace ptxgen::kernels
