#include "runtime/emulator/cta.hpp"

#include <bit>
#include <cstring>
#include <type_traits>

// atom and red: one lane after the other, with real atomic operations, since CTAs run on several host threads.
namespace ptxgen::runtime::emulator {
namespace {

/// One NaN, whichever operand the host would take it from.
float canonical(float x) { return x == x ? x : std::bit_cast<float>(0x7fffffffu); }
double canonical(double x) { return x == x ? x : std::bit_cast<double>(u64{0x7fffffffffffffff}); }

template <AtomicOp Op, class T>
T combine(T old, T b, T c) {
    if constexpr (Op == AtomicOp::exch)
        return b;
    else if constexpr (Op == AtomicOp::cas)
        return old == b ? c : old;
    else if constexpr (Op == AtomicOp::add && std::is_floating_point_v<T>)
        return canonical(old + b);
    else if constexpr (Op == AtomicOp::add)
        return static_cast<T>(old + b);
    else if constexpr (Op == AtomicOp::inc)
        return old >= b ? T{0} : static_cast<T>(old + 1);
    else if constexpr (Op == AtomicOp::dec)
        return old == 0 || old > b ? b : static_cast<T>(old - 1);
    else if constexpr (Op == AtomicOp::min)
        return b < old ? b : old;
    else if constexpr (Op == AtomicOp::max)
        return b > old ? b : old;
    else if constexpr (Op == AtomicOp::and_)
        return static_cast<T>(old & b);
    else if constexpr (Op == AtomicOp::or_)
        return static_cast<T>(old | b);
    else
        return static_cast<T>(old ^ b);
}

template <std::size_t Bytes>
struct Word;
template <>
struct Word<2> {
    using type = u16;
};
template <>
struct Word<4> {
    using type = u32;
};
template <>
struct Word<8> {
    using type = u64;
};

/// The new value from the old bits, in the type's own arithmetic.
template <AtomicOp Op, class T>
struct Plain {
    using Bits = typename Word<sizeof(T)>::type;
    static Bits next(Bits old, Bits b, Bits c) {
        return std::bit_cast<Bits>(combine<Op, T>(std::bit_cast<T>(old), std::bit_cast<T>(b), std::bit_cast<T>(c)));
    }
};

float half_to_float(u16 h) {
    const u32 sign = static_cast<u32>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    u32 bits;
    if (magnitude >= 0x7c00u)
        bits = magnitude << 13 | 0x7f800000u;
    else if (magnitude >= 0x400u)
        bits = (magnitude << 13) + (112u << 23);
    else
        bits = std::bit_cast<u32>(static_cast<float>(magnitude) * 0x1p-24f);
    return std::bit_cast<float>(bits | sign);
}
u16 float_to_half(float x) {
    const u32 bits = std::bit_cast<u32>(x), a = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
    if (a > 0x7f800000u) return 0x7fff;
    u32 r;
    if (a >= 0x477ff000u)
        r = 0x7c00u;
    else if (a < 0x38800000u)
        r = std::bit_cast<u32>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u;
    else
        r = (a + 0xfffu + ((a >> 13) & 1u) - (112u << 23)) >> 13;
    return static_cast<u16>(r | sign);
}
u16 float_to_bf16(float x) {
    const u32 bits = std::bit_cast<u32>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<u16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
template <bool Bfloat>
u16 add_half(u16 a, u16 b) {
    if (Bfloat) return float_to_bf16(std::bit_cast<float>(u32{a} << 16) + std::bit_cast<float>(u32{b} << 16));
    return float_to_half(half_to_float(a) + half_to_float(b));
}
template <bool Bfloat>
struct HalfAdd {
    using Bits = u16;
    static u16 next(u16 old, u16 b, u16) { return add_half<Bfloat>(old, b); }
};
template <bool Bfloat>
struct PairAdd {
    using Bits = u32;
    static u32 next(u32 old, u32 b, u32) {
        return static_cast<u32>(add_half<Bfloat>(static_cast<u16>(old), static_cast<u16>(b))) |
               static_cast<u32>(add_half<Bfloat>(static_cast<u16>(old >> 16), static_cast<u16>(b >> 16))) << 16;
    }
};

template <class F>
const Inst* atomic(Warp& w, const Inst* i) {
    using Bits = typename F::Bits;
    Access access;
    if (!resolve_lanes(w, i, w.mask, access)) return nullptr;
    const Bits* b = reg<Bits>(w, i->b);
    const Bits* c = i->c == ~u32{0} ? b : reg<Bits>(w, i->c);
    u32 unwritten = 0;
    const u64 writes = w.writes;
    for (u32 m = w.mask; m; m &= m - 1) {
        const int l = std::countr_zero(m);
        Bits* at = reinterpret_cast<Bits*>(access.lane[l]);
        Bits old = __atomic_load_n(at, __ATOMIC_SEQ_CST), next;
        do next = F::next(old, b[l], c[l]);
        while (!__atomic_compare_exchange_n(at, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
        w.writes += next != old;
        if (access.any_shadow && access.lane_shadow[l]) {
            for (u32 k = 0; k < sizeof(Bits); ++k)
                if (!access.lane_shadow[l][k]) unwritten |= 1u << l;
            std::memset(access.lane_shadow[l], 1, sizeof(Bits));
        }
        if (i->d != ~u32{0}) reg<Bits>(w, i->d)[l] = old;
    }
    if (unwritten)
        return fault(w, i, std::countr_zero(unwritten), "initcheck",
                     "an atomic operation on memory that was never written");
    if (w.writes == writes && poll(w, i, w.mask, access, sizeof(Bits))) return stop_at(w, i + 1, Stop::yield);
    return interrupt(w, i + 1);
}

template <AtomicOp Op>
Handler of_bits(Type t) {
    if (bit_width(t) == 32) return atomic<Plain<Op, u32>>;
    if (bit_width(t) == 64) return atomic<Plain<Op, u64>>;
    if constexpr (Op == AtomicOp::cas || Op == AtomicOp::exch)
        if (bit_width(t) == 16) return atomic<Plain<Op, u16>>;
    return nullptr;
}
template <AtomicOp Op>
Handler ordered(Type t) {
    switch (t) {
    case Type::u32: return atomic<Plain<Op, u32>>;
    case Type::s32: return atomic<Plain<Op, s32>>;
    case Type::u64: return atomic<Plain<Op, u64>>;
    case Type::s64: return atomic<Plain<Op, s64>>;
    default: return nullptr;
    }
}

} // namespace

Handler find_atomic(AtomicOp op, Type t) {
    switch (op) {
    case AtomicOp::exch: return of_bits<AtomicOp::exch>(t);
    case AtomicOp::cas: return of_bits<AtomicOp::cas>(t);
    case AtomicOp::add:
        switch (t) {
        case Type::u32:
        case Type::s32: return atomic<Plain<AtomicOp::add, u32>>;
        case Type::u64:
        case Type::s64: return atomic<Plain<AtomicOp::add, u64>>;
        case Type::f32: return atomic<Plain<AtomicOp::add, float>>;
        case Type::f64: return atomic<Plain<AtomicOp::add, double>>;
        case Type::f16: return atomic<HalfAdd<false>>;
        case Type::bf16: return atomic<HalfAdd<true>>;
        case Type::f16x2: return atomic<PairAdd<false>>;
        case Type::bf16x2: return atomic<PairAdd<true>>;
        default: return nullptr;
        }
    case AtomicOp::inc: return t == Type::u32 ? atomic<Plain<AtomicOp::inc, u32>> : nullptr;
    case AtomicOp::dec: return t == Type::u32 ? atomic<Plain<AtomicOp::dec, u32>> : nullptr;
    case AtomicOp::min: return ordered<AtomicOp::min>(t);
    case AtomicOp::max: return ordered<AtomicOp::max>(t);
    case AtomicOp::and_: return of_bits<AtomicOp::and_>(t);
    case AtomicOp::or_: return of_bits<AtomicOp::or_>(t);
    case AtomicOp::xor_: return of_bits<AtomicOp::xor_>(t);
    }
    return nullptr;
}

} // namespace ptxgen::runtime::emulator
