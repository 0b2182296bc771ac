#include "runtime/emulator/exec/lanes.hpp"

#include <type_traits>

// Bit counting, bit fields and small dot products (PTX ISA 9.7.1.14 to 9.7.1.24).
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

template <class T>
inline constexpr bool is_signed_v = T(-1) < T(0);

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

template <class F>
Handlers dot() {
    return ternary<F, u32, u32, u32, u32>();
}

} // namespace

Handlers resolve_fields(const Key& key) {
    const Type t = key.type;
    switch (key.sem) {
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
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
