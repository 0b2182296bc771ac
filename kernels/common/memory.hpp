#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <vector>

namespace ptxgen::kernels {

/// Values of consecutive elements, in registers as f32.
using Values = std::vector<Val<f32>>;
/// Registers that are assigned, one for each of consecutive elements.
using Accumulators = std::vector<Var<f32>>;

inline Accumulators accumulators(KernelBuilder& k, std::size_t count, float initial) {
    Accumulators vars;
    for (std::size_t i = 0; i < count; i++) vars.push_back(k.var<f32>(initial));
    return vars;
}

/// Elements that one load or store moves in rows of `width` elements: the largest of 4, 2, 1 that divides it, so that
/// every row starts aligned if the first one does.
constexpr std::uint32_t vector_width(std::uint32_t width) { return width % 4 == 0 ? 4 : width % 2 == 0 ? 2 : 1; }

/// Alignment that rows of `width` elements of so many bytes need for such loads and stores.
constexpr Alignment row_alignment(std::uint32_t width, std::uint32_t element_bytes = 4) {
    return align(vector_width(width) * element_bytes);
}

/// Row `index` of a matrix of `width` columns; the offset is computed in 64 bits.
template <typed_value P, typed_value I>
Val<value_t<P>> row(KernelBuilder& k, const P& matrix, const I& index, std::uint32_t width) {
    constexpr auto bytes = byte_size(value_t<P>::element::type);
    return k.mad_wide(index, width * bytes, Val<value_t<P>>(matrix).template as<u64>()).template as<value_t<P>>();
}

/// Loads `count` (1, 2 or 4) consecutive f32 or f16 elements.
template <pointer_type P>
Values load(KernelBuilder& k, const Val<P>& pointer, std::uint32_t count) {
    Values values;
    const auto take = [&](auto&& element) {
        if constexpr (P::element::type == Type::f32)
            values.push_back(element);
        else
            values.push_back(k.cvt<f32>(element));
    };
    if (count == 4)
        for (auto& element : k.ld(pointer, v4)) take(element);
    else if (count == 2)
        for (auto& element : k.ld(pointer, v2)) take(element);
    else
        take(k.ld(pointer));
    return values;
}

/// Loads as many f32 elements into variables.
template <pointer_type P>
void load_into(KernelBuilder& k, Accumulators& variables, const Val<P>& pointer) {
    const auto take = [&](auto&& elements) {
        for (std::size_t i = 0; i < variables.size(); i++) variables[i] = std::move(elements[i]);
    };
    if (variables.size() == 4)
        take(k.ld(pointer, v4));
    else if (variables.size() == 2)
        take(k.ld(pointer, v2));
    else
        variables[0] = k.ld(pointer);
}

/// Stores 1, 2 or 4 consecutive elements as f32, or rounded to the nearest f16.
template <pointer_type P>
void store(KernelBuilder& k, const Val<P>& pointer, const Values& values) {
    const auto element = [&](std::size_t i) {
        if constexpr (P::element::type == Type::f32)
            return values[i];
        else
            return k.cvt<f16>(values[i], rn);
    };
    using Element = decltype(element(0));
    if (values.size() == 4)
        k.st(pointer, std::array<Element, 4>{element(0), element(1), element(2), element(3)}, v4);
    else if (values.size() == 2)
        k.st(pointer, std::array<Element, 2>{element(0), element(1)}, v2);
    else
        k.st(pointer, element(0));
}

} // namespace ptxgen::kernels
