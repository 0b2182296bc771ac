#pragma once

#include "kernels/common/memory.hpp"
#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// Rows of `width` f32 elements that a grid of (tokens, ceil(width / elements of a CTA)) handles element by element.
struct ElementwiseRows {
    static constexpr std::uint32_t threads = 256;
    std::uint32_t width;

    std::uint32_t vector() const { return vector_width(width); }
    std::uint32_t ctas() const { return ceil_div(width, threads * vector()); }
    Grid grid(std::uint32_t tokens) const { return {tokens, ctas(), 1}; }
    LaunchShape launch() const;
};

/// body(index): the thread's first element of the row, for the threads that have one; it handles rows.vector()
/// elements.
template <class F>
void emit_elements_of_thread(KernelBuilder& k, const ElementwiseRows& rows, F&& body) {
    const auto vector = k.mad_lo(k.ctaid.y, ElementwiseRows::threads, k.tid.x);
    const Val<u32> index = vector * rows.vector();
    if (rows.width % (ElementwiseRows::threads * rows.vector()) == 0)
        body(index);
    else
        k.if_(index < rows.width, [&] { body(index); });
}

} // namespace ptxgen::kernels
