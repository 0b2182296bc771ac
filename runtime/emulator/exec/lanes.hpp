#pragma once

#include "runtime/emulator/semantics.hpp"

#include <cstring>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/// Lane loops. Every file of exec/ is compiled once for each instruction set, in a namespace of its own
/// (PTXGEN_EMULATOR_LEVEL), and uses no inline function of the standard library: the linker would keep one copy of it,
/// perhaps the one that this processor cannot run.

#ifdef __clang__
#define PTXGEN_LANES _Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < 32; ++l)
#else
#define PTXGEN_LANES _Pragma("GCC ivdep") for (int l = 0; l < 32; ++l)
#endif

#define PTXGEN_INLINE inline __attribute__((always_inline))

namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {

template <unsigned Bytes>
struct BitsOf;
template <>
struct BitsOf<1> {
    using type = u8;
};
template <>
struct BitsOf<2> {
    using type = u16;
};
template <>
struct BitsOf<4> {
    using type = u32;
};
template <>
struct BitsOf<8> {
    using type = u64;
};
template <class T>
using Bits = typename BitsOf<sizeof(T)>::type;

template <class To, class From>
PTXGEN_INLINE To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}

alignas(64) inline constexpr u32 lane_bit32[32] = {
    1u << 0,  1u << 1,  1u << 2,  1u << 3,  1u << 4,  1u << 5,  1u << 6,  1u << 7,  1u << 8,  1u << 9,  1u << 10,
    1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15, 1u << 16, 1u << 17, 1u << 18, 1u << 19, 1u << 20, 1u << 21,
    1u << 22, 1u << 23, 1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28, 1u << 29, 1u << 30, 1u << 31};

/// d[l] = r[l] for the lanes of m.
template <class T>
PTXGEN_INLINE void blend(T* d, const T* r, u32 m) {
    auto* to = reinterpret_cast<Bits<T>*>(d);
    auto* from = reinterpret_cast<const Bits<T>*>(r);
    PTXGEN_LANES {
        const Bits<T> keep = static_cast<Bits<T>>((m & lane_bit32[l]) ? 0 : ~Bits<T>{0});
        to[l] = static_cast<Bits<T>>((to[l] & keep) | (from[l] & static_cast<Bits<T>>(~keep)));
    }
}

/// A mask of the lanes whose word is not zero; words are 0 or -1.
PTXGEN_INLINE u32 lanes_of(const s32* t) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    return static_cast<u32>(_mm512_movepi32_mask(_mm512_load_si512(t))) |
           static_cast<u32>(_mm512_movepi32_mask(_mm512_load_si512(t + 16))) << 16;
#elif defined(__AVX2__)
    u32 m = 0;
    for (int k = 0; k < 4; ++k)
        m |= static_cast<u32>(_mm256_movemask_ps(_mm256_load_ps(reinterpret_cast<const float*>(t + 8 * k)))) << (8 * k);
    return m;
#elif defined(__SSE2__)
    u32 m = 0;
    for (int k = 0; k < 8; ++k)
        m |= static_cast<u32>(_mm_movemask_ps(_mm_load_ps(reinterpret_cast<const float*>(t + 4 * k)))) << (4 * k);
    return m;
#else
    u32 m = 0;
    for (int l = 0; l < 32; ++l) m |= static_cast<u32>(t[l] & 1) << l;
    return m;
#endif
}

// F::apply gives the value of one lane; the registers hold D, A, B, C.

template <class F, bool Masked, class D, class A>
const Inst* map1(Warp& w, const Inst* i) {
    D* d = reg<D>(w, i->d);
    const A* a = reg<A>(w, i->a);
    if constexpr (!Masked) {
        PTXGEN_LANES d[l] = F::apply(a[l]);
    } else {
        alignas(64) D r[32];
        PTXGEN_LANES r[l] = F::apply(a[l]);
        blend(d, r, w.mask);
    }
    return i + 1;
}

template <class F, bool Masked, class D, class A, class B>
const Inst* map2(Warp& w, const Inst* i) {
    D* d = reg<D>(w, i->d);
    const A* a = reg<A>(w, i->a);
    const B* b = reg<B>(w, i->b);
    if constexpr (!Masked) {
        PTXGEN_LANES d[l] = F::apply(a[l], b[l]);
    } else {
        alignas(64) D r[32];
        PTXGEN_LANES r[l] = F::apply(a[l], b[l]);
        blend(d, r, w.mask);
    }
    return i + 1;
}

template <class F, bool Masked, class D, class A, class B, class C>
const Inst* map3(Warp& w, const Inst* i) {
    D* d = reg<D>(w, i->d);
    const A* a = reg<A>(w, i->a);
    const B* b = reg<B>(w, i->b);
    const C* c = reg<C>(w, i->c);
    if constexpr (!Masked) {
        PTXGEN_LANES d[l] = F::apply(a[l], b[l], c[l]);
    } else {
        alignas(64) D r[32];
        PTXGEN_LANES r[l] = F::apply(a[l], b[l], c[l]);
        blend(d, r, w.mask);
    }
    return i + 1;
}

/// Four operands, the last one in Inst::e.
template <class F, bool Masked, class D, class A, class B, class C, class E>
const Inst* map4(Warp& w, const Inst* i) {
    D* d = reg<D>(w, i->d);
    const A* a = reg<A>(w, i->a);
    const B* b = reg<B>(w, i->b);
    const C* c = reg<C>(w, i->c);
    const E* e = reg<E>(w, i->e);
    alignas(64) D r[32];
    PTXGEN_LANES r[l] = F::apply(a[l], b[l], c[l], e[l]);
    if constexpr (Masked) {
        blend(d, r, w.mask);
    } else {
        PTXGEN_LANES d[l] = r[l];
    }
    return i + 1;
}

template <class F, class D, class A>
constexpr Handlers unary() {
    return {map1<F, false, D, A>, map1<F, true, D, A>};
}
template <class F, class D, class A, class B>
constexpr Handlers binary() {
    return {map2<F, false, D, A, B>, map2<F, true, D, A, B>};
}
template <class F, class D, class A, class B, class C>
constexpr Handlers ternary() {
    return {map3<F, false, D, A, B, C>, map3<F, true, D, A, B, C>};
}
template <class F, class D, class A, class B, class C, class E>
constexpr Handlers quaternary() {
    return {map4<F, false, D, A, B, C, E>, map4<F, true, D, A, B, C, E>};
}

Handlers resolve_integer(const Key& key);
Handlers resolve_fields(const Key& key);
Handlers resolve_bits(const Key& key);
Handlers resolve_compare(const Key& key);
Handlers resolve_float(const Key& key);
Handlers resolve_half(const Key& key);
Handlers resolve_convert(const Key& key);
Handlers resolve_memory(const Key& key);
Handlers resolve_matrix(const Key& key);

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
