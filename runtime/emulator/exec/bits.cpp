#include "runtime/emulator/exec/lanes.hpp"

// Logic, shifts, moves and packing (PTX ISA 9.7.8 and 9.7.9).
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

struct And {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(a & b);
    }
};
struct Or {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(a | b);
    }
};
struct Xor {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(a ^ b);
    }
};
struct Not {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return static_cast<T>(~a);
    }
};
struct Cnot {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return a == 0 ? 1 : 0;
    }
};
struct Mov {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return a;
    }
};

/// Counts of the width or more shift everything out.
struct Shl {
    template <class T>
    static PTXGEN_INLINE T apply(T a, u32 b) {
        constexpr u32 width = 8 * sizeof(T);
        const T shifted = static_cast<T>(a << (b & (width - 1)));
        return b < width ? shifted : T{0};
    }
};
struct Shr {
    template <class T>
    static PTXGEN_INLINE T apply(T a, u32 b) {
        constexpr u32 width = 8 * sizeof(T);
        if constexpr (T(-1) < T(0)) {
            return static_cast<T>(a >> (b < width - 1 ? b : width - 1));
        } else {
            const T shifted = static_cast<T>(a >> (b & (width - 1)));
            return b < width ? shifted : T{0};
        }
    }
};
template <bool Left, bool Clamp>
struct Shf {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        const u32 n = Clamp ? (c < 32 ? c : 32) : c & 31;
        const u64 both = static_cast<u64>(b) << 32 | a;
        return Left ? static_cast<u32>((both << n) >> 32) : static_cast<u32>(both >> n);
    }
};

PTXGEN_INLINE u32 byte_of(u64 both, u32 selector) {
    const u32 value = static_cast<u32>(both >> (8 * (selector & 7))) & 0xff;
    return selector & 8 ? (value & 0x80 ? 0xffu : 0u) : value;
}
PTXGEN_INLINE u32 select_bytes(u32 a, u32 b, u32 s0, u32 s1, u32 s2, u32 s3) {
    const u64 both = static_cast<u64>(b) << 32 | a;
    return byte_of(both, s0) | byte_of(both, s1) << 8 | byte_of(both, s2) << 16 | byte_of(both, s3) << 24;
}
struct Prmt {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        return select_bytes(a, b, c & 15, (c >> 4) & 15, (c >> 8) & 15, (c >> 12) & 15);
    }
};
struct PrmtF4e {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 3;
        return select_bytes(a, b, c, c + 1, c + 2, c + 3);
    }
};
struct PrmtB4e {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 3;
        return select_bytes(a, b, c, (c + 7) & 7, (c + 6) & 7, (c + 5) & 7);
    }
};
struct PrmtRc8 {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 3;
        return select_bytes(a, b, c, c, c, c);
    }
};
struct PrmtEcl {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 3;
        return select_bytes(a, b, c > 0 ? c : 0, c > 1 ? c : 1, c > 2 ? c : 2, 3);
    }
};
struct PrmtEcr {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 3;
        return select_bytes(a, b, 0, c < 1 ? c : 1, c < 2 ? c : 2, c);
    }
};
struct PrmtRc16 {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        c &= 1;
        return select_bytes(a, b, 2 * c, 2 * c + 1, 2 * c, 2 * c + 1);
    }
};

/// prmt with one selector for all lanes, in Inst::imm, that repeats no sign.
template <bool Masked>
const Inst* prmt_uniform(Warp& w, const Inst* i) {
    const u32 *a = reg<u32>(w, i->a), *b = reg<u32>(w, i->b);
    alignas(64) u32 r[32];
#if defined(__AVX512BW__) || defined(__AVX2__)
    // bytes of one operand where the selector names it, zero elsewhere
    alignas(64) u8 from_a[64], from_b[64];
    for (int k = 0; k < 64; ++k) {
        const u32 selector = static_cast<u32>(i->imm >> (4 * (k & 3))) & 7;
        const u8 place = static_cast<u8>((static_cast<u32>(k) & 12u) | (selector & 3));
        from_a[k] = selector < 4 ? place : u8{0x80};
        from_b[k] = selector < 4 ? u8{0x80} : place;
    }
#ifdef __AVX512BW__
    const __m512i ma = _mm512_load_si512(from_a), mb = _mm512_load_si512(from_b);
    for (int k = 0; k < 32; k += 16)
        _mm512_store_si512(r + k, _mm512_or_si512(_mm512_shuffle_epi8(_mm512_load_si512(a + k), ma),
                                                  _mm512_shuffle_epi8(_mm512_load_si512(b + k), mb)));
#else
    const auto load = [](const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); };
    const __m256i ma = load(from_a), mb = load(from_b);
    for (int k = 0; k < 32; k += 8)
        _mm256_store_si256(reinterpret_cast<__m256i*>(r + k),
                           _mm256_or_si256(_mm256_shuffle_epi8(load(a + k), ma), _mm256_shuffle_epi8(load(b + k), mb)));
#endif
#else
    PTXGEN_LANES r[l] = 0;
    for (int k = 0; k < 4; ++k) {
        const u32 selector = static_cast<u32>(i->imm >> (4 * k)) & 7;
        const u32* from = selector < 4 ? a : b;
        const u32 shift = 8 * (selector & 3);
        PTXGEN_LANES r[l] |= ((from[l] >> shift) & 0xff) << (8 * k);
    }
#endif
    blend(reg<u32>(w, i->d), r, Masked ? w.mask : all_lanes);
    return i + 1;
}

/// The truth table is uniform, so its minterms become masks outside of the loop.
template <bool Masked>
const Inst* lop3(Warp& w, const Inst* i) {
    u32* d = reg<u32>(w, i->d);
    const u32 *a = reg<u32>(w, i->a), *b = reg<u32>(w, i->b), *c = reg<u32>(w, i->c);
    u32 term[8];
    for (int k = 0; k < 8; ++k) term[k] = (i->imm >> k) & 1 ? all_lanes : 0;
    alignas(64) u32 r[32];
    PTXGEN_LANES {
        const u32 x = a[l], y = b[l], z = c[l];
        r[l] = (~x & ((~y & ((~z & term[0]) | (z & term[1]))) | (y & ((~z & term[2]) | (z & term[3]))))) |
               (x & ((~y & ((~z & term[4]) | (z & term[5]))) | (y & ((~z & term[6]) | (z & term[7])))));
    }
    if constexpr (Masked) {
        blend(d, r, w.mask);
    } else {
        PTXGEN_LANES d[l] = r[l];
    }
    return i + 1;
}

template <Sem S, bool Masked>
const Inst* predicates(Warp& w, const Inst* i) {
    const u32 a = pred(w, i->a);
    u32 r = a;
    if constexpr (S == Sem::pred_and) r = a & pred(w, i->b);
    if constexpr (S == Sem::pred_or) r = a | pred(w, i->b);
    if constexpr (S == Sem::pred_xor) r = a ^ pred(w, i->b);
    if constexpr (S == Sem::pred_not) r = ~a;
    u32& d = pred(w, i->d);
    d = Masked ? (d & ~w.mask) | (r & w.mask) : r;
    return i + 1;
}
template <Sem S>
constexpr Handlers of_predicates() {
    return {predicates<S, false>, predicates<S, true>};
}

/// d = {list[0], list[1], …}, the first in the low bits; a 128-bit value is made of two halves.
template <class D, class A, bool Masked>
const Inst* pack(Warp& w, const Inst* i) {
    alignas(64) D r[32];
    PTXGEN_LANES r[l] = 0;
    for (int k = 0; k < i->n; ++k) {
        const A* a = reg<A>(w, i->list[k]);
        PTXGEN_LANES r[l] =
            static_cast<D>(r[l] | static_cast<D>(static_cast<D>(a[l]) << (8 * sizeof(A) * static_cast<unsigned>(k))));
    }
    D* d = reg<D>(w, i->d);
    if constexpr (Masked) {
        blend(d, r, w.mask);
    } else {
        PTXGEN_LANES d[l] = r[l];
    }
    return i + 1;
}
/// list[k] = element k of a; ~0 in the list skips one.
template <class A, class D, bool Masked>
const Inst* unpack(Warp& w, const Inst* i) {
    alignas(64) A x[32];
    const A* a = reg<A>(w, i->a);
    PTXGEN_LANES x[l] = a[l];
    for (int k = 0; k < i->n; ++k) {
        if (i->list[k] == ~u32{0}) continue;
        alignas(64) D r[32];
        PTXGEN_LANES r[l] = static_cast<D>(x[l] >> (8 * sizeof(D) * static_cast<unsigned>(k)));
        D* d = reg<D>(w, i->list[k]);
        if constexpr (Masked) {
            blend(d, r, w.mask);
        } else {
            PTXGEN_LANES d[l] = r[l];
        }
    }
    return i + 1;
}
template <class D, class A>
constexpr Handlers packs() {
    return {pack<D, A, false>, pack<D, A, true>};
}
template <class A, class D>
constexpr Handlers unpacks() {
    return {unpack<A, D, false>, unpack<A, D, true>};
}

/// 128 bits: two 64-bit registers in a row.
template <bool Masked>
const Inst* mov128(Warp& w, const Inst* i) {
    for (u32 half = 0; half < 512; half += 256) {
        u64* d = reg<u64>(w, i->d + half);
        const u64* a = reg<u64>(w, i->a + half);
        alignas(64) u64 r[32];
        PTXGEN_LANES r[l] = a[l];
        blend(d, r, Masked ? w.mask : all_lanes);
    }
    return i + 1;
}

template <class F>
Handlers by_width2(Type t) {
    switch (bit_width(t)) {
    case 16: return binary<F, u16, u16, u16>();
    case 32: return binary<F, u32, u32, u32>();
    case 64: return binary<F, u64, u64, u64>();
    default: return {};
    }
}
template <class F>
Handlers by_width1(Type t) {
    switch (bit_width(t)) {
    case 16: return unary<F, u16, u16>();
    case 32: return unary<F, u32, u32>();
    case 64: return unary<F, u64, u64>();
    default: return {};
    }
}

} // namespace

Handlers resolve_bits(const Key& key) {
    const Type t = key.type;
    switch (key.sem) {
    case Sem::and_: return by_width2<And>(t);
    case Sem::or_: return by_width2<Or>(t);
    case Sem::xor_: return by_width2<Xor>(t);
    case Sem::not_: return by_width1<Not>(t);
    case Sem::cnot: return by_width1<Cnot>(t);
    case Sem::mov: return bit_width(t) == 128 ? Handlers{mov128<false>, mov128<true>} : by_width1<Mov>(t);
    case Sem::lop3: return {lop3<false>, lop3<true>};
    case Sem::shl:
        switch (bit_width(t)) {
        case 16: return binary<Shl, u16, u16, u32>();
        case 32: return binary<Shl, u32, u32, u32>();
        case 64: return binary<Shl, u64, u64, u32>();
        default: return {};
        }
    case Sem::shr:
        switch (t) {
        case Type::s16: return binary<Shr, s16, s16, u32>();
        case Type::s32: return binary<Shr, s32, s32, u32>();
        case Type::s64: return binary<Shr, s64, s64, u32>();
        case Type::u16:
        case Type::b16: return binary<Shr, u16, u16, u32>();
        case Type::u32:
        case Type::b32: return binary<Shr, u32, u32, u32>();
        case Type::u64:
        case Type::b64: return binary<Shr, u64, u64, u32>();
        default: return {};
        }
    case Sem::shf_l_clamp: return ternary<Shf<true, true>, u32, u32, u32, u32>();
    case Sem::shf_l_wrap: return ternary<Shf<true, false>, u32, u32, u32, u32>();
    case Sem::shf_r_clamp: return ternary<Shf<false, true>, u32, u32, u32, u32>();
    case Sem::shf_r_wrap: return ternary<Shf<false, false>, u32, u32, u32, u32>();
    case Sem::prmt:
        if (key.variant) return {prmt_uniform<false>, prmt_uniform<true>};
        return ternary<Prmt, u32, u32, u32, u32>();
    case Sem::prmt_f4e: return ternary<PrmtF4e, u32, u32, u32, u32>();
    case Sem::prmt_b4e: return ternary<PrmtB4e, u32, u32, u32, u32>();
    case Sem::prmt_rc8: return ternary<PrmtRc8, u32, u32, u32, u32>();
    case Sem::prmt_ecl: return ternary<PrmtEcl, u32, u32, u32, u32>();
    case Sem::prmt_ecr: return ternary<PrmtEcr, u32, u32, u32, u32>();
    case Sem::prmt_rc16: return ternary<PrmtRc16, u32, u32, u32, u32>();
    case Sem::pred_and: return of_predicates<Sem::pred_and>();
    case Sem::pred_or: return of_predicates<Sem::pred_or>();
    case Sem::pred_xor: return of_predicates<Sem::pred_xor>();
    case Sem::pred_not: return of_predicates<Sem::pred_not>();
    case Sem::pred_mov: return of_predicates<Sem::pred_mov>();
    case Sem::pack: // type of the whole, type2 of an element
        if (bit_width(t) == 64)
            return bit_width(key.type2) == 32   ? packs<u64, u32>()
                   : bit_width(key.type2) == 16 ? packs<u64, u16>()
                                                : Handlers{};
        return bit_width(t) == 32 && bit_width(key.type2) == 16 ? packs<u32, u16>() : Handlers{};
    case Sem::unpack:
        if (bit_width(t) == 64)
            return bit_width(key.type2) == 32   ? unpacks<u64, u32>()
                   : bit_width(key.type2) == 16 ? unpacks<u64, u16>()
                                                : Handlers{};
        return bit_width(t) == 32 && bit_width(key.type2) == 16 ? unpacks<u32, u16>() : Handlers{};
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
