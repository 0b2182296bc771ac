#include "runtime/emulator/exec/lanes.hpp"

// Integer arithmetic (PTX ISA 9.7.1 and 9.7.2).
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

template <class T>
inline constexpr bool is_signed_v = T(-1) < T(0);
template <class T>
struct WideOf;
template <>
struct WideOf<u16> {
    using type = u32;
};
template <>
struct WideOf<s16> {
    using type = s32;
};
template <>
struct WideOf<u32> {
    using type = u64;
};
template <>
struct WideOf<s32> {
    using type = s64;
};
template <>
struct WideOf<u64> {
    using type = unsigned __int128;
};
template <>
struct WideOf<s64> {
    using type = __int128;
};
template <class T>
using Wide = typename WideOf<T>::type;

template <class T>
PTXGEN_INLINE T product(T a, T b) {
    return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b));
}
template <class T>
PTXGEN_INLINE T high_product(T a, T b) {
    return static_cast<T>((static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b)) >> (8 * sizeof(T)));
}

struct Add {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(static_cast<Bits<T>>(a) + static_cast<Bits<T>>(b));
    }
};
struct Sub {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(static_cast<Bits<T>>(a) - static_cast<Bits<T>>(b));
    }
};
struct MulLo {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(static_cast<Bits<T>>(1u * static_cast<Bits<T>>(a) * static_cast<Bits<T>>(b)));
    }
};
struct MulHi {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return high_product(a, b);
    }
};
struct MulWide {
    template <class T>
    static PTXGEN_INLINE Wide<T> apply(T a, T b) {
        return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
    }
};
struct MadLo {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return Add::apply(MulLo::apply(a, b), c);
    }
};
struct MadHi {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return Add::apply(high_product(a, b), c);
    }
};
struct MadWide {
    template <class T>
    static PTXGEN_INLINE Wide<T> apply(T a, T b, Wide<T> c) {
        return Add::apply(MulWide::apply(a, b), c);
    }
};
struct AddSat {
    static PTXGEN_INLINE s32 apply(s32 a, s32 b) {
        const s64 r = static_cast<s64>(a) + b;
        return static_cast<s32>(r > 2147483647 ? 2147483647 : r < -2147483648LL ? -2147483648LL : r);
    }
};
struct SubSat {
    static PTXGEN_INLINE s32 apply(s32 a, s32 b) {
        const s64 r = static_cast<s64>(a) - b;
        return static_cast<s32>(r > 2147483647 ? 2147483647 : r < -2147483648LL ? -2147483648LL : r);
    }
};
struct MadHiSat {
    static PTXGEN_INLINE s32 apply(s32 a, s32 b, s32 c) { return AddSat::apply(high_product(a, b), c); }
};

/// The low 24 bits, extended by the type's sign.
PTXGEN_INLINE s64 low24(s32 x) { return static_cast<s64>(static_cast<s32>(static_cast<u32>(x) << 8) >> 8); }
PTXGEN_INLINE s64 low24(u32 x) { return static_cast<s64>(x & 0xffffffu); }
struct Mul24Lo {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>(low24(a) * low24(b));
    }
};
struct Mul24Hi {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return static_cast<T>((low24(a) * low24(b)) >> 16);
    }
};
struct Mad24Lo {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return Add::apply(Mul24Lo::apply(a, b), c);
    }
};
struct Mad24Hi {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return Add::apply(Mul24Hi::apply(a, b), c);
    }
};

struct Sad {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, T c) {
        return Add::apply(c, a > b ? Sub::apply(a, b) : Sub::apply(b, a));
    }
};
/// Division by zero is unspecified in PTX; hardware gives all ones, and the dividend as the remainder.
struct Div {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        if (b == 0) return static_cast<T>(~Bits<T>{0});
        if constexpr (is_signed_v<T>)
            if (b == T(-1)) return Sub::apply(T(0), a);
        return static_cast<T>(a / b);
    }
};
struct Rem {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        if (b == 0) return a;
        if constexpr (is_signed_v<T>)
            if (b == T(-1)) return 0;
        return static_cast<T>(a % b);
    }
};
struct Abs {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return a < 0 ? Sub::apply(T(0), a) : a;
    }
};
struct Neg {
    template <class T>
    static PTXGEN_INLINE T apply(T a) {
        return Sub::apply(T(0), a);
    }
};
struct Min {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a < b ? a : b;
    }
};
struct Max {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return a > b ? a : b;
    }
};
template <class F>
struct Relu {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b) {
        return Max::apply(F::apply(a, b), T(0));
    }
};

/// Two 16-bit lanes in one register.
template <class F, class H>
struct Pairs {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b) {
        const u32 low = static_cast<u16>(F::apply(static_cast<H>(a & 0xffff), static_cast<H>(b & 0xffff)));
        const u32 high = static_cast<u16>(F::apply(static_cast<H>(a >> 16), static_cast<H>(b >> 16)));
        return low | high << 16;
    }
    static PTXGEN_INLINE u32 apply(u32 a) {
        const u32 low = static_cast<u16>(F::apply(static_cast<H>(a & 0xffff)));
        const u32 high = static_cast<u16>(F::apply(static_cast<H>(a >> 16)));
        return low | high << 16;
    }
};

/// add, sub and mad with the carry flag, whose lanes lie in the predicate at Inst::e. sub leaves 1 for "no borrow" and
/// subc adds the complement, as hardware does.
template <Sem S, class T, bool Masked>
const Inst* carry(Warp& w, const Inst* i) {
    using U = Bits<T>;
    U* d = reg<U>(w, i->d);
    const U* a = reg<U>(w, i->a);
    const U* b = reg<U>(w, i->b);
    u32& flags = pred(w, i->e);
    const bool reads = i->mode & 1, writes = i->mode & 2, high = i->mode & 4;
    u32 out = 0;
    for (int l = 0; l < 32; ++l) {
        U x = a[l], y = b[l];
        if constexpr (S == Sem::sub_carry) y = static_cast<U>(~y);
        if constexpr (S == Sem::mad_carry) {
            x = high ? static_cast<U>(high_product(static_cast<T>(x), static_cast<T>(y))) : static_cast<U>(x * y);
            y = reg<U>(w, i->c)[l];
        }
        const U in = reads ? (flags >> l) & 1 : S == Sem::sub_carry ? 1 : 0;
        const U part = static_cast<U>(x + y);
        const U sum = static_cast<U>(part + in);
        out |= static_cast<u32>(part < x || sum < part) << l;
        if (!Masked || ((w.mask >> l) & 1)) d[l] = sum;
    }
    if (writes) flags = Masked ? (flags & ~w.mask) | (out & w.mask) : out;
    return i + 1;
}
template <Sem S, class T>
constexpr Handlers carries() {
    return {carry<S, T, false>, carry<S, T, true>};
}

template <class F, class D = void>
Handlers all_binary(Type t) {
    switch (t) {
    case Type::u16: return binary<F, u16, u16, u16>();
    case Type::s16: return binary<F, s16, s16, s16>();
    case Type::u32: return binary<F, u32, u32, u32>();
    case Type::s32: return binary<F, s32, s32, s32>();
    case Type::u64: return binary<F, u64, u64, u64>();
    case Type::s64: return binary<F, s64, s64, s64>();
    default: return {};
    }
}
/// Signedness does not matter: the unsigned handler serves both.
template <class F>
Handlers wrap_binary(Type t) {
    switch (bit_width(t)) {
    case 16: return binary<F, u16, u16, u16>();
    case 32: return binary<F, u32, u32, u32>();
    case 64: return binary<F, u64, u64, u64>();
    default: return {};
    }
}
template <class F>
Handlers all_ternary(Type t) {
    switch (t) {
    case Type::u16: return ternary<F, u16, u16, u16, u16>();
    case Type::s16: return ternary<F, s16, s16, s16, s16>();
    case Type::u32: return ternary<F, u32, u32, u32, u32>();
    case Type::s32: return ternary<F, s32, s32, s32, s32>();
    case Type::u64: return ternary<F, u64, u64, u64, u64>();
    case Type::s64: return ternary<F, s64, s64, s64, s64>();
    default: return {};
    }
}
template <class F>
Handlers wide_binary(Type t) {
    switch (t) {
    case Type::u16: return binary<F, u32, u16, u16>();
    case Type::s16: return binary<F, s32, s16, s16>();
    case Type::u32: return binary<F, u64, u32, u32>();
    case Type::s32: return binary<F, s64, s32, s32>();
    default: return {};
    }
}
template <class F>
Handlers wide_ternary(Type t) {
    switch (t) {
    case Type::u16: return ternary<F, u32, u16, u16, u32>();
    case Type::s16: return ternary<F, s32, s16, s16, s32>();
    case Type::u32: return ternary<F, u64, u32, u32, u64>();
    case Type::s32: return ternary<F, s64, s32, s32, s64>();
    default: return {};
    }
}
template <class F>
Handlers pairs_binary(Type t) {
    if (t == Type::u16x2) return binary<Pairs<F, u16>, u32, u32, u32>();
    if (t == Type::s16x2) return binary<Pairs<F, s16>, u32, u32, u32>();
    return {};
}
template <class F>
Handlers mul24(Type t) {
    if (t == Type::u32) return binary<F, u32, u32, u32>();
    if (t == Type::s32) return binary<F, s32, s32, s32>();
    return {};
}
template <class F>
Handlers mad24(Type t) {
    if (t == Type::u32) return ternary<F, u32, u32, u32, u32>();
    if (t == Type::s32) return ternary<F, s32, s32, s32, s32>();
    return {};
}
template <class F>
Handlers signed_unary(Type t) {
    switch (t) {
    case Type::s16: return unary<F, s16, s16>();
    case Type::s32: return unary<F, s32, s32>();
    case Type::s64: return unary<F, s64, s64>();
    default: return {};
    }
}
template <Sem S>
Handlers carry_of(Type t) {
    switch (t) {
    case Type::u32: return carries<S, u32>();
    case Type::s32: return carries<S, s32>();
    case Type::u64: return carries<S, u64>();
    case Type::s64: return carries<S, s64>();
    default: return {};
    }
}

bool is_pair(Type t) { return t == Type::u16x2 || t == Type::s16x2; }

} // namespace

Handlers resolve_integer(const Key& key) {
    const Type t = key.type;
    switch (key.sem) {
    case Sem::add: return is_pair(t) ? pairs_binary<Add>(t) : wrap_binary<Add>(t);
    case Sem::sub: return is_pair(t) ? pairs_binary<Sub>(t) : wrap_binary<Sub>(t);
    case Sem::mul_lo: return wrap_binary<MulLo>(t);
    case Sem::mul_hi: return all_binary<MulHi>(t);
    case Sem::mul_wide: return wide_binary<MulWide>(t);
    case Sem::mad_lo: return all_ternary<MadLo>(t);
    case Sem::mad_hi: return all_ternary<MadHi>(t);
    case Sem::mad_wide: return wide_ternary<MadWide>(t);
    case Sem::mad_hi_sat: return ternary<MadHiSat, s32, s32, s32, s32>();
    case Sem::mul24_lo: return mul24<Mul24Lo>(t);
    case Sem::mul24_hi: return mul24<Mul24Hi>(t);
    case Sem::mad24_lo: return mad24<Mad24Lo>(t);
    case Sem::mad24_hi: return mad24<Mad24Hi>(t);
    case Sem::sad: return all_ternary<Sad>(t);
    case Sem::div: return all_binary<Div>(t);
    case Sem::rem: return all_binary<Rem>(t);
    case Sem::abs: return signed_unary<Abs>(t);
    case Sem::neg: return t == Type::s16x2 ? unary<Pairs<Neg, s16>, u32, u32>() : signed_unary<Neg>(t);
    case Sem::min: return is_pair(t) ? pairs_binary<Min>(t) : all_binary<Min>(t);
    case Sem::max: return is_pair(t) ? pairs_binary<Max>(t) : all_binary<Max>(t);
    case Sem::min_relu: return t == Type::s32 ? binary<Relu<Min>, s32, s32, s32>() : pairs_binary<Relu<Min>>(t);
    case Sem::max_relu: return t == Type::s32 ? binary<Relu<Max>, s32, s32, s32>() : pairs_binary<Relu<Max>>(t);
    case Sem::add_sat: return binary<AddSat, s32, s32, s32>();
    case Sem::sub_sat: return binary<SubSat, s32, s32, s32>();
    case Sem::add_carry: return carry_of<Sem::add_carry>(t);
    case Sem::sub_carry: return carry_of<Sem::sub_carry>(t);
    case Sem::mad_carry: return carry_of<Sem::mad_carry>(t);
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
