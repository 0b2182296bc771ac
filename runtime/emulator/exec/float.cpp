#include "runtime/emulator/exec/approx.hpp"
#include "runtime/emulator/exec/half.hpp"

// Floating point in f32 and f64 (PTX ISA 9.7.3). Results are IEEE's; this file is compiled without contraction.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

PTXGEN_INLINE float flush(float x) {
    const u32 bits = bits_as<u32>(x);
    return bits_as<float>((bits & 0x7f800000u) ? bits : bits & 0x80000000u);
}
PTXGEN_INLINE double flush(double x) { return x; }
/// [0, 1]; NaN becomes +0.
template <class T>
PTXGEN_INLINE T saturate(T x) {
    return x > 0 ? (x < 1 ? x : T(1)) : T(0);
}
PTXGEN_INLINE float canonical(float x) { return x == x ? x : bits_as<float>(0x7fffffffu); }
PTXGEN_INLINE double canonical(double x) { return x == x ? x : bits_as<double>(u64{0x7fffffffffffffff}); }

struct FAdd {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a + b;
    }
};
struct FSub {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a - b;
    }
};
struct FMul {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a * b;
    }
};
struct FDiv {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a / b;
    }
};
struct FFma {
    static PTXGEN_INLINE float apply(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static PTXGEN_INLINE double apply(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
struct FSqrt {
    static PTXGEN_INLINE float apply(float a) { return __builtin_sqrtf(a); }
    static PTXGEN_INLINE double apply(double a) { return __builtin_sqrt(a); }
};
struct FRcp {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return T(1) / a;
    }
};
struct FRsqrt {
    static PTXGEN_INLINE float apply(float a) {
        return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(a)));
    }
    static PTXGEN_INLINE double apply(double a) { return 1.0 / __builtin_sqrt(a); }
};
struct FSin {
    static PTXGEN_INLINE float apply(float a) { return approx_sin(a); }
};
struct FCos {
    static PTXGEN_INLINE float apply(float a) { return approx_cos(a); }
};
struct FLg2 {
    static PTXGEN_INLINE float apply(float a) { return approx_lg2(a); }
};
struct FEx2 {
    static PTXGEN_INLINE float apply(float a) { return approx_ex2(a); }
};
struct FTanh {
    static PTXGEN_INLINE float apply(float a) { return approx_tanh(a); }
};
struct FAbs {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return bits_as<T>(static_cast<Bits<T>>(bits_as<Bits<T>>(a) & ~(Bits<T>{1} << (8 * sizeof(T) - 1))));
    }
};
struct FNeg {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return bits_as<T>(static_cast<Bits<T>>(bits_as<Bits<T>>(a) ^ (Bits<T>{1} << (8 * sizeof(T) - 1))));
    }
};
struct CopySign {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        const Bits<T> top = Bits<T>{1} << (8 * sizeof(T) - 1);
        return bits_as<T>(static_cast<Bits<T>>((bits_as<Bits<T>>(a) & top) | (bits_as<Bits<T>>(b) & ~top)));
    }
};
/// A NaN operand loses unless Nan; -0 is less than +0.
template <bool Less, bool Nan>
struct FPick {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        using U = Bits<T>;
        const U x = bits_as<U>(a), y = bits_as<U>(b);
        const T equal = bits_as<T>(static_cast<U>(Less ? (x | y) : (x & y)));
        T r = Less ? (a < b ? a : b) : (a > b ? a : b);
        r = a == b ? equal : r;
        const bool an = a != a, bn = b != b;
        r = an ? b : r;
        r = bn ? a : r;
        const T nan = sizeof(T) == 4 ? T(bits_as<float>(0x7fffffffu)) : T(bits_as<double>(u64{0x7fffffffffffffff}));
        return (Nan ? (an || bn) : (an && bn)) ? nan : r;
    }
};
template <class F>
struct XorSign {
    static PTXGEN_INLINE float apply(float a, float b) {
        const u32 sign = (bits_as<u32>(a) ^ bits_as<u32>(b)) & 0x80000000u;
        return bits_as<float>((bits_as<u32>(F::apply(FAbs::apply(a), FAbs::apply(b))) & 0x7fffffffu) | sign);
    }
};
template <bool Less, bool Nan>
struct FPick3 {
    static PTXGEN_INLINE float apply(float a, float b, float c) {
        return FPick<Less, Nan>::apply(FPick<Less, Nan>::apply(a, b), c);
    }
};

/// F with flushing of subnormal inputs and results, and clamping.
template <class F, bool Ftz, bool Sat>
struct Shaped {
    template <class T>
    static PTXGEN_INLINE T in(T x) {
        return Ftz ? flush(x) : x;
    }
    template <class T>
    static PTXGEN_INLINE T out(T x) {
        if constexpr (Ftz) x = flush(x);
        if constexpr (Sat) return saturate(x);
        return canonical(x);
    }
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return out(F::apply(in(a)));
    }
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return out(F::apply(in(a), in(b)));
    }
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return out(F::apply(in(a), in(b), in(c)));
    }
};
template <class F>
struct FlushedPlain { // bit operations: inputs flushed, NaN kept
    static PTXGEN_INLINE float apply(float a) { return F::apply(flush(a)); }
};

#ifdef __x86_64__
/// Runs lanes under another rounding direction. The lanes go through memory, so that no operation moves across.
struct RoundingScope {
    u32 saved;
    explicit RoundingScope(u16 variant) : saved(_mm_getcsr()) {
        static constexpr u32 modes[4] = {0, 3, 1, 2}; // rn, rz, rm, rp in MXCSR's order
        _mm_setcsr((saved & ~0x6000u) | modes[variant & round_mask] << 13);
        asm volatile("" ::: "memory");
    }
    ~RoundingScope() {
        asm volatile("" ::: "memory");
        _mm_setcsr(saved);
    }
};
#endif

template <class T>
PTXGEN_INLINE T shape_dynamic(T x, u8 mode) {
    if (mode & float_ftz) x = flush(x);
    return mode & float_sat ? saturate(x) : canonical(x);
}
/// Any rounding direction, taken from Inst::mode.
template <class F, class T, int Arity, bool Masked>
const Inst* directed(Warp& w, const Inst* i) {
    alignas(64) T x[3][32];
    alignas(64) T r[32];
    const u32 sources[3] = {i->a, i->b, i->c};
    for (int k = 0; k < Arity; ++k) {
        const T* a = reg<T>(w, sources[k]);
        for (int l = 0; l < 32; ++l) x[k][l] = i->mode & float_ftz ? flush(a[l]) : a[l];
    }
    {
        const RoundingScope scope(i->mode);
        for (int l = 0; l < 32; ++l) {
            volatile T v;
            if constexpr (Arity == 1)
                v = F::apply(x[0][l]);
            else if constexpr (Arity == 2)
                v = F::apply(x[0][l], x[1][l]);
            else
                v = F::apply(x[0][l], x[1][l], x[2][l]);
            r[l] = v;
        }
    }
    for (int l = 0; l < 32; ++l) r[l] = shape_dynamic(r[l], i->mode);
    blend(reg<T>(w, i->d), r, Masked ? w.mask : all_lanes);
    return i + 1;
}

template <class F, class T, int Arity, bool Ftz, bool Sat>
constexpr Handlers shaped() {
    using S = Shaped<F, Ftz, Sat>;
    if constexpr (Arity == 1)
        return unary<S, T, T>();
    else if constexpr (Arity == 2)
        return binary<S, T, T, T>();
    else
        return ternary<S, T, T, T, T>();
}
template <class F, int Arity, bool Directed = true>
Handlers arithmetic(const Key& key) {
    const bool ftz = key.variant & float_ftz, sat = key.variant & float_sat;
    if constexpr (Directed) {
        if (key.variant & round_mask) {
            if (key.type == Type::f32) return {directed<F, float, Arity, false>, directed<F, float, Arity, true>};
            return {directed<F, double, Arity, false>, directed<F, double, Arity, true>};
        }
    }
    if (key.type == Type::f64) return shaped<F, double, Arity, false, false>();
    if (ftz) return sat ? shaped<F, float, Arity, true, true>() : shaped<F, float, Arity, true, false>();
    return sat ? shaped<F, float, Arity, false, true>() : shaped<F, float, Arity, false, false>();
}
template <class F>
Handlers single(const Key& key) {
    if (key.type != Type::f32) return {};
    return key.variant & float_ftz ? shaped<F, float, 1, true, false>() : shaped<F, float, 1, false, false>();
}
template <bool Less>
Handlers pick(const Key& key) {
    const bool nan = key.variant & float_nan, ftz = key.variant & float_ftz;
    if (key.type == Type::f64) return binary<FPick<Less, false>, double, double, double>();
    if (key.variant & float_xorsign) {
        if (nan)
            return ftz ? shaped<XorSign<FPick<Less, true>>, float, 2, true, false>()
                       : shaped<XorSign<FPick<Less, true>>, float, 2, false, false>();
        return ftz ? shaped<XorSign<FPick<Less, false>>, float, 2, true, false>()
                   : shaped<XorSign<FPick<Less, false>>, float, 2, false, false>();
    }
    if (nan)
        return ftz ? shaped<FPick<Less, true>, float, 2, true, false>()
                   : shaped<FPick<Less, true>, float, 2, false, false>();
    return ftz ? shaped<FPick<Less, false>, float, 2, true, false>()
               : shaped<FPick<Less, false>, float, 2, false, false>();
}
template <bool Less>
Handlers pick3(const Key& key) {
    const bool nan = key.variant & float_nan, ftz = key.variant & float_ftz;
    if (nan)
        return ftz ? shaped<FPick3<Less, true>, float, 3, true, false>()
                   : shaped<FPick3<Less, true>, float, 3, false, false>();
    return ftz ? shaped<FPick3<Less, false>, float, 3, true, false>()
               : shaped<FPick3<Less, false>, float, 3, false, false>();
}

/// testp; ±0 counts as normal, as seen on hardware.
template <Sem S, class T>
PTXGEN_INLINE bool test(T a) {
    using U = Bits<T>;
    constexpr U infinity = sizeof(T) == 4 ? static_cast<U>(0x7f800000u) : static_cast<U>(0x7ff0000000000000u);
    const U m = static_cast<U>(bits_as<U>(a) << 1 >> 1);
    switch (S) {
    case Sem::testp_finite: return m < infinity;
    case Sem::testp_infinite: return m == infinity;
    case Sem::testp_number: return m <= infinity;
    case Sem::testp_notanumber: return m > infinity;
    case Sem::testp_normal: return m < infinity && ((m & infinity) != 0 || m == 0);
    default: return (m & infinity) == 0 && m != 0;
    }
}
template <Sem S, class T, bool Masked>
const Inst* testp(Warp& w, const Inst* i) {
    const T* a = reg<T>(w, i->a);
    alignas(64) s32 t[32];
    PTXGEN_LANES t[l] = -static_cast<s32>(test<S>(a[l]));
    const u32 r = lanes_of(t);
    u32& d = pred(w, i->d);
    d = Masked ? (d & ~w.mask) | (r & w.mask) : r;
    return i + 1;
}
template <Sem S>
Handlers tests(Type t) {
    if (t == Type::f32) return {testp<S, float, false>, testp<S, float, true>};
    return {testp<S, double, false>, testp<S, double, true>};
}

} // namespace

Handlers resolve_float(const Key& key) {
    if (key.type != Type::f32 && key.type != Type::f64) return {};
    const bool ftz = key.variant & float_ftz;
    switch (key.sem) {
    case Sem::fadd: return arithmetic<FAdd, 2>(key);
    case Sem::fsub: return arithmetic<FSub, 2>(key);
    case Sem::fmul: return arithmetic<FMul, 2>(key);
    case Sem::ffma: return arithmetic<FFma, 3>(key);
    case Sem::fdiv: return arithmetic<FDiv, 2>(key);
    case Sem::fsqrt: return arithmetic<FSqrt, 1>(key);
    case Sem::frcp: return arithmetic<FRcp, 1>(key);
    case Sem::frsqrt: return arithmetic<FRsqrt, 1, false>(key);
    case Sem::fsin: return single<FSin>(key);
    case Sem::fcos: return single<FCos>(key);
    case Sem::flg2: return single<FLg2>(key);
    case Sem::fex2: return single<FEx2>(key);
    case Sem::ftanh: return single<FTanh>(key);
    case Sem::fabs:
        if (key.type == Type::f64) return unary<FAbs, double, double>();
        return ftz ? unary<FlushedPlain<FAbs>, float, float>() : unary<FAbs, float, float>();
    case Sem::fneg:
        if (key.type == Type::f64) return unary<FNeg, double, double>();
        return ftz ? unary<FlushedPlain<FNeg>, float, float>() : unary<FNeg, float, float>();
    case Sem::fmin: return pick<true>(key);
    case Sem::fmax: return pick<false>(key);
    case Sem::fmin3: return pick3<true>(key);
    case Sem::fmax3: return pick3<false>(key);
    case Sem::copysign:
        return key.type == Type::f64 ? binary<CopySign, double, double, double>()
                                     : binary<CopySign, float, float, float>();
    case Sem::testp_finite: return tests<Sem::testp_finite>(key.type);
    case Sem::testp_infinite: return tests<Sem::testp_infinite>(key.type);
    case Sem::testp_number: return tests<Sem::testp_number>(key.type);
    case Sem::testp_notanumber: return tests<Sem::testp_notanumber>(key.type);
    case Sem::testp_normal: return tests<Sem::testp_normal>(key.type);
    case Sem::testp_subnormal: return tests<Sem::testp_subnormal>(key.type);
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
