#include "runtime/emulator/exec/half.hpp"
#include "runtime/emulator/exec/approx.hpp"

// Arithmetic in f16 and bf16, single and packed (PTX ISA 9.7.4). add, sub and mul round the exact f32 result once more,
// which is harmless: f32 has more than twice the digits. fma rounds the exact sum through an odd f32.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

struct F16 {
    static constexpr bool is_bfloat = false;
    static PTXGEN_INLINE float wide(u16 h) { return float_of_f16(h); }
    static PTXGEN_INLINE u16 narrow(float x) { return f16_of_float(x); }
};
struct BF16 {
    static constexpr bool is_bfloat = true;
    static PTXGEN_INLINE float wide(u16 h) { return float_of_bf16(h); }
    static PTXGEN_INLINE u16 narrow(float x) { return bf16_of_float(x); }
};

struct HAdd {
    static PTXGEN_INLINE float apply(float a, float b) { return a + b; }
};
struct HSub {
    static PTXGEN_INLINE float apply(float a, float b) { return a - b; }
};
struct HMul {
    static PTXGEN_INLINE float apply(float a, float b) { return a * b; }
};
struct HFma {
    static PTXGEN_INLINE float apply(float a, float b, float c) {
        const double p = static_cast<double>(a) * b, s = p + c;
        // what the sum lost, exactly; a lost part makes an even sum odd
        const double v = s - p, lost = (p - (s - v)) + (c - v);
        u64 bits = bits_as<u64>(s);
        const bool adjust = lost != 0.0 && lost == lost && !(bits & 1);
        bits += adjust ? ((lost > 0) == (s > 0) ? u64{1} : ~u64{0}) : u64{0};
        return odd_float(bits_as<double>(bits));
    }
};
struct HEx2 {
    static PTXGEN_INLINE float apply(float a) { return approx_ex2(a); }
};
struct HTanh {
    static PTXGEN_INLINE float apply(float a) { return approx_tanh(a); }
};
template <bool Less>
struct HPick {
    static PTXGEN_INLINE float apply(float a, float b) {
        const u32 x = bits_as<u32>(a), y = bits_as<u32>(b);
        float r = Less ? (a < b ? a : b) : (a > b ? a : b);
        r = a == b ? bits_as<float>(Less ? (x | y) : (x & y)) : r;
        r = a != a ? b : r;
        return b != b ? a : r;
    }
};

template <class H>
PTXGEN_INLINE float input(u16 h, u8 mode) {
    const float x = H::wide(h);
    // subnormal f16 inputs flush to zero under .ftz
    return (mode & float_ftz) && !H::is_bfloat && (h & 0x7c00u) == 0 ? bits_as<float>(bits_as<u32>(x) & 0x80000000u)
                                                                     : x;
}
template <class H>
PTXGEN_INLINE u16 output(float x, u8 mode) {
    if (mode & float_sat) x = x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
    if (mode & float_relu) x = x < 0 ? 0.0f : x;
    u16 h = H::narrow(x);
    if ((mode & float_ftz) && !H::is_bfloat && (h & 0x7c00u) == 0) h &= 0x8000u;
    return h;
}
template <class F, class H, int Arity>
PTXGEN_INLINE u16 one(u16 a, u16 b, u16 c, u8 mode) {
    if constexpr (Arity == 1)
        return output<H>(F::apply(input<H>(a, mode)), mode);
    else if constexpr (Arity == 2) {
        return output<H>(F::apply(input<H>(a, mode), input<H>(b, mode)), mode);
    } else {
        return output<H>(F::apply(input<H>(a, mode), input<H>(b, mode), input<H>(c, mode)), mode);
    }
}
template <bool Less, class H>
PTXGEN_INLINE u16 pick_one(u16 a, u16 b, u8 mode) {
    const float x = input<H>(a, mode), y = input<H>(b, mode);
    const bool nan = (mode & float_nan) ? (x != x || y != y) : (x != x && y != y);
    if (nan) return 0x7fff;
    if (mode & float_xorsign) {
        const u16 sign = static_cast<u16>((a ^ b) & 0x8000u);
        return static_cast<u16>((H::narrow(HPick<Less>::apply(bits_as<float>(bits_as<u32>(x) & 0x7fffffffu),
                                                              bits_as<float>(bits_as<u32>(y) & 0x7fffffffu))) &
                                 0x7fffu) |
                                sign);
    }
    return H::narrow(HPick<Less>::apply(x, y));
}

/// `Step` halves in every lane's register.
template <class F, class H, int Arity, int Step, bool Masked>
const Inst* halves(Warp& w, const Inst* i) {
    const u16* a = reg<u16>(w, i->a);
    const u16* b = Arity > 1 ? reg<u16>(w, i->b) : a;
    const u16* c = Arity > 2 ? reg<u16>(w, i->c) : a;
    alignas(64) u16 r[32 * Step];
    const u8 mode = i->mode;
    if (mode == 0) {
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
        for (int l = 0; l < 32 * Step; ++l) r[l] = one<F, H, Arity>(a[l], b[l], c[l], 0);
    } else {
        for (int l = 0; l < 32 * Step; ++l) r[l] = one<F, H, Arity>(a[l], b[l], c[l], mode);
    }
    if constexpr (Step == 1)
        blend(reg<u16>(w, i->d), r, Masked ? w.mask : all_lanes);
    else
        blend(reg<u32>(w, i->d), reinterpret_cast<const u32*>(r), Masked ? w.mask : all_lanes);
    return i + 1;
}
template <bool Less, class H, int Step, bool Masked>
const Inst* pick_halves(Warp& w, const Inst* i) {
    const u16 *a = reg<u16>(w, i->a), *b = reg<u16>(w, i->b);
    alignas(64) u16 r[32 * Step];
    for (int l = 0; l < 32 * Step; ++l) r[l] = pick_one<Less, H>(a[l], b[l], i->mode);
    if constexpr (Step == 1)
        blend(reg<u16>(w, i->d), r, Masked ? w.mask : all_lanes);
    else
        blend(reg<u32>(w, i->d), reinterpret_cast<const u32*>(r), Masked ? w.mask : all_lanes);
    return i + 1;
}

template <class F, int Arity>
Handlers arithmetic(Type t) {
    switch (t) {
    case Type::f16: return {halves<F, F16, Arity, 1, false>, halves<F, F16, Arity, 1, true>};
    case Type::bf16: return {halves<F, BF16, Arity, 1, false>, halves<F, BF16, Arity, 1, true>};
    case Type::f16x2: return {halves<F, F16, Arity, 2, false>, halves<F, F16, Arity, 2, true>};
    case Type::bf16x2: return {halves<F, BF16, Arity, 2, false>, halves<F, BF16, Arity, 2, true>};
    default: return {};
    }
}
template <bool Less>
Handlers pick(Type t) {
    switch (t) {
    case Type::f16: return {pick_halves<Less, F16, 1, false>, pick_halves<Less, F16, 1, true>};
    case Type::bf16: return {pick_halves<Less, BF16, 1, false>, pick_halves<Less, BF16, 1, true>};
    case Type::f16x2: return {pick_halves<Less, F16, 2, false>, pick_halves<Less, F16, 2, true>};
    case Type::bf16x2: return {pick_halves<Less, BF16, 2, false>, pick_halves<Less, BF16, 2, true>};
    default: return {};
    }
}

struct SignClear {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return static_cast<T>(a & static_cast<T>(sizeof(T) == 2 ? 0x7fffu : 0x7fff7fffu));
    }
};
struct SignFlip {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return static_cast<T>(a ^ static_cast<T>(sizeof(T) == 2 ? 0x8000u : 0x80008000u));
    }
};

} // namespace

Handlers resolve_half(const Key& key) {
    const Type t = key.type;
    const unsigned width = bit_width(t);
    switch (key.sem) {
    case Sem::fadd: return arithmetic<HAdd, 2>(t);
    case Sem::fsub: return arithmetic<HSub, 2>(t);
    case Sem::fmul: return arithmetic<HMul, 2>(t);
    case Sem::ffma: return arithmetic<HFma, 3>(t);
    case Sem::fex2: return arithmetic<HEx2, 1>(t);
    case Sem::ftanh: return arithmetic<HTanh, 1>(t);
    case Sem::fmin: return pick<true>(t);
    case Sem::fmax: return pick<false>(t);
    case Sem::fabs: return width == 16 ? unary<SignClear, u16, u16>() : unary<SignClear, u32, u32>();
    case Sem::fneg: return width == 16 ? unary<SignFlip, u16, u16>() : unary<SignFlip, u32, u32>();
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
