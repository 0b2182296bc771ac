#include "runtime/emulator/exec/half.hpp"
#include "runtime/emulator/exec/lanes.hpp"

// Comparison and selection (PTX ISA 9.7.6 and 9.7.7).
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

template <Compare C, class T>
PTXGEN_INLINE bool compare(T a, T b) {
    const bool unordered = a != a || b != b;
    switch (C) {
    case Compare::eq: return a == b;
    case Compare::ne: return (a < b) || (a > b);
    case Compare::lt: return a < b;
    case Compare::le: return a <= b;
    case Compare::gt: return a > b;
    case Compare::ge: return a >= b;
    case Compare::equ: return a == b || unordered;
    case Compare::neu: return a != b;
    case Compare::ltu: return a < b || unordered;
    case Compare::leu: return a <= b || unordered;
    case Compare::gtu: return a > b || unordered;
    case Compare::geu: return a >= b || unordered;
    case Compare::num: return !unordered;
    case Compare::nan: return unordered;
    }
    return false;
}

template <class T>
PTXGEN_INLINE T flushed(T x) {
    return x;
}
PTXGEN_INLINE float flushed(float x) {
    const u32 bits = bits_as<u32>(x);
    return bits_as<float>((bits & 0x7f800000u) ? bits : bits & 0x80000000u);
}

template <Compare C, class T, bool Ftz>
PTXGEN_INLINE u32 compare_lanes(const T* a, const T* b) {
    alignas(64) s32 t[32];
    PTXGEN_LANES t[l] = -static_cast<s32>(Ftz ? compare<C>(flushed(a[l]), flushed(b[l])) : compare<C>(a[l], b[l]));
    return lanes_of(t);
}
/// Half-precision operands are compared as f32. Bfloat says which of the two formats.
template <Compare C, bool Bfloat, int Step>
PTXGEN_INLINE u32 compare_halves(const u16* a, const u16* b) {
    alignas(64) s32 t[32];
    PTXGEN_LANES {
        const float x = Bfloat ? float_of_bf16(a[l * Step]) : float_of_f16(a[l * Step]);
        const float y = Bfloat ? float_of_bf16(b[l * Step]) : float_of_f16(b[l * Step]);
        t[l] = -static_cast<s32>(compare<C>(x, y));
    }
    return lanes_of(t);
}

/// mode: bits 0-1 0 none, 1 and, 2 or, 3 xor with the predicate c (flipped by bit 2); e the second destination.
PTXGEN_INLINE void store_predicates(Warp& w, const Inst* i, u32 t, u32 mask) {
    u32 p = t, q = ~t;
    if (i->mode & 3) {
        const u32 c = pred(w, i->c) ^ (i->mode & 4 ? all_lanes : 0);
        switch (i->mode & 3) {
        case 1:
            p = t & c;
            q = ~t & c;
            break;
        case 2:
            p = t | c;
            q = ~t | c;
            break;
        default:
            p = t ^ c;
            q = ~t ^ c;
            break;
        }
    }
    u32& d = pred(w, i->d);
    u32& e = pred(w, i->e);
    d = (d & ~mask) | (p & mask);
    e = (e & ~mask) | (q & mask);
}

template <Compare C, class T, bool Ftz, bool Masked>
const Inst* setp(Warp& w, const Inst* i) {
    const u32 t = compare_lanes<C, T, Ftz>(reg<T>(w, i->a), reg<T>(w, i->b));
    store_predicates(w, i, t, Masked ? w.mask : all_lanes);
    return i + 1;
}
template <Compare C, bool Bfloat, bool Masked>
const Inst* setp_half(Warp& w, const Inst* i) {
    const u32 t = compare_halves<C, Bfloat, 1>(reg<u16>(w, i->a), reg<u16>(w, i->b));
    store_predicates(w, i, t, Masked ? w.mask : all_lanes);
    return i + 1;
}
/// Packed: p of the low halves, q of the high ones; with c each is combined by the Boolean operation.
template <Compare C, bool Bfloat, bool Masked>
const Inst* setp_half2(Warp& w, const Inst* i) {
    const u16 *a = reg<u16>(w, i->a), *b = reg<u16>(w, i->b);
    u32 p = compare_halves<C, Bfloat, 2>(a, b), q = compare_halves<C, Bfloat, 2>(a + 1, b + 1);
    if (i->mode & 3) {
        const u32 c = pred(w, i->c) ^ (i->mode & 4 ? all_lanes : 0);
        p = (i->mode & 3) == 1 ? p & c : (i->mode & 3) == 2 ? p | c : p ^ c;
        q = (i->mode & 3) == 1 ? q & c : (i->mode & 3) == 2 ? q | c : q ^ c;
    }
    const u32 mask = Masked ? w.mask : all_lanes;
    u32& d = pred(w, i->d);
    u32& e = pred(w, i->e);
    d = (d & ~mask) | (p & mask);
    e = (e & ~mask) | (q & mask);
    return i + 1;
}

template <class T, bool Ftz, Compare C>
constexpr Handlers setps() {
    return {setp<C, T, Ftz, false>, setp<C, T, Ftz, true>};
}

template <class T>
Handlers setp_integer(Compare c) {
    switch (c) {
    case Compare::eq: return setps<T, false, Compare::eq>();
    case Compare::ne: return setps<T, false, Compare::ne>();
    case Compare::lt: return setps<T, false, Compare::lt>();
    case Compare::le: return setps<T, false, Compare::le>();
    case Compare::gt: return setps<T, false, Compare::gt>();
    case Compare::ge: return setps<T, false, Compare::ge>();
    default: return {};
    }
}
template <class T, bool Ftz>
Handlers setp_floating(Compare c) {
    switch (c) {
    case Compare::eq: return setps<T, Ftz, Compare::eq>();
    case Compare::ne: return setps<T, Ftz, Compare::ne>();
    case Compare::lt: return setps<T, Ftz, Compare::lt>();
    case Compare::le: return setps<T, Ftz, Compare::le>();
    case Compare::gt: return setps<T, Ftz, Compare::gt>();
    case Compare::ge: return setps<T, Ftz, Compare::ge>();
    case Compare::equ: return setps<T, Ftz, Compare::equ>();
    case Compare::neu: return setps<T, Ftz, Compare::neu>();
    case Compare::ltu: return setps<T, Ftz, Compare::ltu>();
    case Compare::leu: return setps<T, Ftz, Compare::leu>();
    case Compare::gtu: return setps<T, Ftz, Compare::gtu>();
    case Compare::geu: return setps<T, Ftz, Compare::geu>();
    case Compare::num: return setps<T, Ftz, Compare::num>();
    case Compare::nan: return setps<T, Ftz, Compare::nan>();
    }
    return {};
}
template <bool Bfloat, bool Packed, Compare C>
constexpr Handlers setps_half() {
    if constexpr (Packed) return {setp_half2<C, Bfloat, false>, setp_half2<C, Bfloat, true>};
    return {setp_half<C, Bfloat, false>, setp_half<C, Bfloat, true>};
}
template <bool Bfloat, bool Packed>
Handlers setp_of_half(Compare c) {
    switch (c) {
    case Compare::eq: return setps_half<Bfloat, Packed, Compare::eq>();
    case Compare::ne: return setps_half<Bfloat, Packed, Compare::ne>();
    case Compare::lt: return setps_half<Bfloat, Packed, Compare::lt>();
    case Compare::le: return setps_half<Bfloat, Packed, Compare::le>();
    case Compare::gt: return setps_half<Bfloat, Packed, Compare::gt>();
    case Compare::ge: return setps_half<Bfloat, Packed, Compare::ge>();
    case Compare::equ: return setps_half<Bfloat, Packed, Compare::equ>();
    case Compare::neu: return setps_half<Bfloat, Packed, Compare::neu>();
    case Compare::ltu: return setps_half<Bfloat, Packed, Compare::ltu>();
    case Compare::leu: return setps_half<Bfloat, Packed, Compare::leu>();
    case Compare::gtu: return setps_half<Bfloat, Packed, Compare::gtu>();
    case Compare::geu: return setps_half<Bfloat, Packed, Compare::geu>();
    case Compare::num: return setps_half<Bfloat, Packed, Compare::num>();
    case Compare::nan: return setps_half<Bfloat, Packed, Compare::nan>();
    }
    return {};
}

/// d = c ? a : b by lane, c a predicate (flipped by mode bit 2).
template <class T, bool Masked>
const Inst* selp(Warp& w, const Inst* i) {
    const u32 c = pred(w, i->c) ^ (i->mode & 4 ? all_lanes : 0);
    T* d = reg<T>(w, i->d);
    const T *a = reg<T>(w, i->a), *b = reg<T>(w, i->b);
    alignas(64) T r[32];
    PTXGEN_LANES {
        const T keep = static_cast<T>((c & lane_bit32[l]) ? ~T{0} : 0);
        r[l] = static_cast<T>((a[l] & keep) | (b[l] & static_cast<T>(~keep)));
    }
    if constexpr (Masked) {
        blend(d, r, w.mask);
    } else {
        PTXGEN_LANES d[l] = r[l];
    }
    return i + 1;
}
template <bool Masked>
const Inst* selp_pred(Warp& w, const Inst* i) {
    const u32 c = pred(w, i->c) ^ (i->mode & 4 ? all_lanes : 0);
    const u32 r = (pred(w, i->a) & c) | (pred(w, i->b) & ~c);
    u32& d = pred(w, i->d);
    d = Masked ? (d & ~w.mask) | (r & w.mask) : r;
    return i + 1;
}

template <bool Ftz>
struct Slct {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, s32 c) {
        return c >= 0 ? a : b;
    }
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, float c) {
        return (Ftz ? flushed(c) : c) >= 0 ? a : b;
    }
};
template <class C, bool Ftz>
Handlers slct(Type t) {
    switch (bit_width(t)) {
    case 16: return ternary<Slct<Ftz>, u16, u16, u16, C>();
    case 32: return ternary<Slct<Ftz>, u32, u32, u32, C>();
    case 64: return ternary<Slct<Ftz>, u64, u64, u64, C>();
    default: return {};
    }
}

} // namespace

Handlers resolve_compare(const Key& key) {
    const auto c = static_cast<Compare>(key.variant & 15);
    const bool ftz = key.variant & 16;
    switch (key.sem) {
    case Sem::setp:
        switch (key.type) {
        case Type::u16:
        case Type::b16: return setp_integer<u16>(c);
        case Type::u32:
        case Type::b32: return setp_integer<u32>(c);
        case Type::u64:
        case Type::b64: return setp_integer<u64>(c);
        case Type::s16: return setp_integer<s16>(c);
        case Type::s32: return setp_integer<s32>(c);
        case Type::s64: return setp_integer<s64>(c);
        case Type::f32: return ftz ? setp_floating<float, true>(c) : setp_floating<float, false>(c);
        case Type::f64: return setp_floating<double, false>(c);
        case Type::f16: return setp_of_half<false, false>(c);
        case Type::bf16: return setp_of_half<true, false>(c);
        case Type::f16x2: return setp_of_half<false, true>(c);
        case Type::bf16x2: return setp_of_half<true, true>(c);
        default: return {};
        }
    case Sem::selp:
        switch (bit_width(key.type)) {
        case 16: return {selp<u16, false>, selp<u16, true>};
        case 32: return {selp<u32, false>, selp<u32, true>};
        case 64: return {selp<u64, false>, selp<u64, true>};
        default: return {};
        }
    case Sem::selp_pred: return {selp_pred<false>, selp_pred<true>};
    case Sem::slct: return slct<s32, false>(key.type);
    case Sem::slct_f32: return ftz ? slct<float, true>(key.type) : slct<float, false>(key.type);
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
