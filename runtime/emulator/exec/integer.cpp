#include "runtime/emulator/exec/lanes.hpp"

#include <type_traits>

// Integer arithmetic (PTX ISA 9.7.1 and 9.7.2).
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

template <class T>
struct Unsigned {
    using type = Bits<T>;
};
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

struct Popc {
    template <class T>
    static PTXGEN_INLINE u32 apply(T a) {
        return static_cast<u32>(__builtin_popcountll(a));
    }
};
PTXGEN_INLINE u32 leading_zeros(u64 a, int width) {
    return a ? static_cast<u32>(__builtin_clzll(a) - (64 - width)) : static_cast<u32>(width);
}
struct Clz {
    template <class T>
    static PTXGEN_INLINE u32 apply(T a) {
        return leading_zeros(a, 8 * sizeof(T));
    }
};
template <bool ShiftAmount>
struct Bfind {
    template <class T>
    static PTXGEN_INLINE u32 apply(T a) {
        constexpr int width = 8 * sizeof(T);
        Bits<T> x = static_cast<Bits<T>>(a);
        if constexpr (is_signed_v<T>)
            if (a < 0) x = static_cast<Bits<T>>(~x);
        if (x == 0) return ~u32{0};
        const u32 shift = leading_zeros(x, width);
        return ShiftAmount ? shift : static_cast<u32>(width - 1) - shift;
    }
};
struct Brev {
    static PTXGEN_INLINE u32 apply(u32 a) {
        a = ((a >> 1) & 0x55555555u) | ((a & 0x55555555u) << 1);
        a = ((a >> 2) & 0x33333333u) | ((a & 0x33333333u) << 2);
        a = ((a >> 4) & 0x0f0f0f0fu) | ((a & 0x0f0f0f0fu) << 4);
        return __builtin_bswap32(a);
    }
    static PTXGEN_INLINE u64 apply(u64 a) {
        return static_cast<u64>(apply(static_cast<u32>(a))) << 32 | apply(static_cast<u32>(a >> 32));
    }
};
/// Finds the n-th set bit from a base (PTX ISA 9.7.1.18).
struct Fns {
    static PTXGEN_INLINE u32 apply(u32 mask, u32 base, s32 offset) {
        if (base > 31) return ~u32{0};
        if (offset == 0) return (mask >> base) & 1 ? base : ~u32{0};
        const s32 step = offset > 0 ? 1 : -1;
        u32 left = offset > 0 ? static_cast<u32>(offset) : 0u - static_cast<u32>(offset);
        for (s32 pos = static_cast<s32>(base); pos >= 0 && pos < 32; pos += step)
            if ((mask >> pos) & 1)
                if (--left == 0) return static_cast<u32>(pos);
        return ~u32{0};
    }
};
struct Bfe {
    template <class T>
    static PTXGEN_INLINE T apply(T a, u32 b, u32 c) {
        constexpr u32 width = 8 * sizeof(T);
        const u32 pos = b & 0xff, len = c & 0xff;
        const Bits<T> x = static_cast<Bits<T>>(a);
        Bits<T> field = pos < width ? static_cast<Bits<T>>(x >> (pos & (width - 1))) : Bits<T>{0};
        const Bits<T> ones = len < width ? static_cast<Bits<T>>((Bits<T>{1} << (len & (width - 1))) - 1) : ~Bits<T>{0};
        field &= ones;
        if constexpr (is_signed_v<T>) {
            u32 top = pos + len - 1;
            top = top < width - 1 ? top : width - 1;
            const bool negative = len != 0 && ((x >> (top & (width - 1))) & 1);
            if (negative) {
                // the bits from the end of the field, or of the register, are copies of the sign
                const u32 from = pos >= width ? 0 : pos + len > width ? width - pos : len;
                field |= from < width ? static_cast<Bits<T>>(~Bits<T>{0} << (from & (width - 1))) : Bits<T>{0};
            }
        }
        return static_cast<T>(field);
    }
};
struct Bfi {
    template <class T>
    static PTXGEN_INLINE T apply(T a, T b, u32 c, u32 d) {
        constexpr u32 width = 8 * sizeof(T);
        const u32 pos = c & 0xff, len = d & 0xff;
        if (pos >= width) return b;
        T ones = len < width ? static_cast<T>((T{1} << (len & (width - 1))) - 1) : ~T{0};
        ones = static_cast<T>(ones << pos);
        return static_cast<T>((b & ~ones) | ((a << pos) & ones));
    }
};
template <bool Clamp>
struct Bmsk {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b) {
        const u64 pos = Clamp ? a : a & 31, len = Clamp ? b : b & 31;
        if (pos >= 32) return 0;
        const u64 ones = len >= 32 ? 0xffffffffull : (u64{1} << len) - 1;
        return static_cast<u32>(ones << pos);
    }
};
template <bool Clamp>
struct Szext {
    template <class T>
    static PTXGEN_INLINE T apply(T a, u32 b) {
        const u32 pos = Clamp ? b : b & 31;
        if (pos >= 32) return a;
        if (pos == 0) return 0;
        const u32 up = 32 - pos;
        return static_cast<T>(static_cast<T>(static_cast<u32>(a) << up) >> up);
    }
};

template <class A, class B>
struct Dp4a {
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        s32 sum = 0;
        for (int k = 0; k < 4; ++k)
            sum += static_cast<s32>(static_cast<A>(a >> (8 * k))) * static_cast<s32>(static_cast<B>(b >> (8 * k)));
        return c + static_cast<u32>(sum);
    }
};
template <class A, class B, int Half>
struct Dp2a {
    using A16 = std::conditional_t<is_signed_v<A>, s16, u16>;
    static PTXGEN_INLINE u32 apply(u32 a, u32 b, u32 c) {
        u32 sum = c;
        for (int k = 0; k < 2; ++k)
            sum += static_cast<u32>(static_cast<s32>(static_cast<A16>(a >> (16 * k))) *
                                    static_cast<s32>(static_cast<B>(b >> (8 * k + 16 * Half))));
        return sum;
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
template <class F>
Handlers count_bits(Type t) {
    if (bit_width(t) == 32) return unary<F, u32, u32>();
    if (bit_width(t) == 64) return unary<F, u32, u64>();
    return {};
}
template <class F>
Handlers find_bits(Type t) {
    switch (t) {
    case Type::u32: return unary<F, u32, u32>();
    case Type::s32: return unary<F, u32, s32>();
    case Type::u64: return unary<F, u32, u64>();
    case Type::s64: return unary<F, u32, s64>();
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
template <class F>
Handlers dot() {
    return ternary<F, u32, u32, u32, u32>();
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
    case Sem::popc: return count_bits<Popc>(t);
    case Sem::clz: return count_bits<Clz>(t);
    case Sem::bfind: return find_bits<Bfind<false>>(t);
    case Sem::bfind_shift: return find_bits<Bfind<true>>(t);
    case Sem::brev: return bit_width(t) == 64 ? unary<Brev, u64, u64>() : unary<Brev, u32, u32>();
    case Sem::fns: return ternary<Fns, u32, u32, u32, s32>();
    case Sem::bfe:
        switch (t) {
        case Type::u32: return ternary<Bfe, u32, u32, u32, u32>();
        case Type::s32: return ternary<Bfe, s32, s32, u32, u32>();
        case Type::u64: return ternary<Bfe, u64, u64, u32, u32>();
        case Type::s64: return ternary<Bfe, s64, s64, u32, u32>();
        default: return {};
        }
    case Sem::bfi:
        return bit_width(t) == 64 ? quaternary<Bfi, u64, u64, u64, u32, u32>()
                                  : quaternary<Bfi, u32, u32, u32, u32, u32>();
    case Sem::bmsk_clamp: return binary<Bmsk<true>, u32, u32, u32>();
    case Sem::bmsk_wrap: return binary<Bmsk<false>, u32, u32, u32>();
    case Sem::szext_clamp:
        return t == Type::s32 ? binary<Szext<true>, s32, s32, u32>() : binary<Szext<true>, u32, u32, u32>();
    case Sem::szext_wrap:
        return t == Type::s32 ? binary<Szext<false>, s32, s32, u32>() : binary<Szext<false>, u32, u32, u32>();
    case Sem::dp4a_uu: return dot<Dp4a<u8, u8>>();
    case Sem::dp4a_us: return dot<Dp4a<u8, s8>>();
    case Sem::dp4a_su: return dot<Dp4a<s8, u8>>();
    case Sem::dp4a_ss: return dot<Dp4a<s8, s8>>();
    case Sem::dp2a_lo_uu: return dot<Dp2a<u8, u8, 0>>();
    case Sem::dp2a_lo_us: return dot<Dp2a<u8, s8, 0>>();
    case Sem::dp2a_lo_su: return dot<Dp2a<s8, u8, 0>>();
    case Sem::dp2a_lo_ss: return dot<Dp2a<s8, s8, 0>>();
    case Sem::dp2a_hi_uu: return dot<Dp2a<u8, u8, 1>>();
    case Sem::dp2a_hi_us: return dot<Dp2a<u8, s8, 1>>();
    case Sem::dp2a_hi_su: return dot<Dp2a<s8, u8, 1>>();
    case Sem::dp2a_hi_ss: return dot<Dp2a<s8, s8, 1>>();
    case Sem::add_carry: return carry_of<Sem::add_carry>(t);
    case Sem::sub_carry: return carry_of<Sem::sub_carry>(t);
    case Sem::mad_carry: return carry_of<Sem::mad_carry>(t);
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
