#include "runtime/emulator/exec/half.hpp"

// cvt (PTX ISA 9.7.9.21). The frequent conversions are lane loops of their own; the rest goes lane by lane through one
// exact conversion, with types and mode packed into Inst::imm: mode | to << 32 | from << 40.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

struct Format {
    int mantissa; ///< stored bits
    int exponent; ///< bits
    bool has_infinity;
};
constexpr Format format_of(Type t) {
    switch (t) {
    case Type::f16:
    case Type::f16x2: return {10, 5, true};
    case Type::bf16:
    case Type::bf16x2: return {7, 8, true};
    case Type::tf32: return {10, 8, true};
    case Type::f32: return {23, 8, true};
    case Type::e4m3:
    case Type::e4m3x2: return {3, 4, false};
    case Type::e5m2:
    case Type::e5m2x2: return {2, 5, true};
    default: return {52, 11, true};
    }
}

/// Rounds to a narrower format in its own layout; `rna` rounds ties away from zero.
u64 narrow(double x, Format f, u16 mode) {
    const u64 bits = bits_as<u64>(x);
    const bool negative = bits >> 63;
    const u64 sign = negative ? u64{1} << (f.mantissa + f.exponent) : 0;
    const u64 exponent_ones = (u64{1} << f.exponent) - 1;
    const bool satfinite = mode & convert_satfinite;
    // the largest finite value: e4m3 keeps the top exponent for numbers, with one NaN at the end
    const u64 largest = f.has_infinity ? ((exponent_ones << f.mantissa) - 1) : ((exponent_ones << f.mantissa) | 6);
    if (x != x)
        return f.has_infinity && f.mantissa + f.exponent == 7 ? 0x7f : (u64{1} << (f.mantissa + f.exponent)) - 1;
    const u64 magnitude = bits & ~(u64{1} << 63);
    const u64 infinity = f.has_infinity ? exponent_ones << f.mantissa : (u64{1} << (f.mantissa + f.exponent)) - 1;
    if (magnitude == 0x7ff0000000000000ull) return sign | (satfinite ? largest : infinity);
    if (magnitude == 0) return sign;
    int e = static_cast<int>(magnitude >> 52) - 1023;
    u64 m = (magnitude & 0x000fffffffffffffull);
    if (e == -1023) { // a subnormal double
        const int shift = __builtin_clzll(m) - 11;
        m <<= shift;
        e = -1022 - shift;
    } else {
        m |= u64{1} << 52;
    }
    const int bias = (1 << (f.exponent - 1)) - 1;
    const int e_min = 1 - bias;
    int drop = 52 - f.mantissa;
    if (e < e_min) drop += e_min - e;
    u64 kept, rest, half;
    if (drop >= 63) {
        kept = 0;
        rest = 1;
        half = 2;
    } else {
        kept = drop ? m >> drop : m;
        rest = drop ? m & ((u64{1} << drop) - 1) : 0;
        half = drop ? u64{1} << (drop - 1) : 1;
    }
    bool up = false;
    if (mode & round_rna)
        up = rest >= half && drop;
    else {
        switch (mode & round_mask) {
        case round_rn: up = rest > half || (rest == half && drop && (kept & 1)); break;
        case round_rz: break;
        case round_rm: up = negative && rest; break;
        default: up = !negative && rest; break;
        }
    }
    kept += up;
    u64 r = e < e_min ? kept : (static_cast<u64>(e - e_min) << f.mantissa) + kept;
    if (r > largest) {
        const bool to_largest = satfinite || (!(mode & round_rna) && ((mode & round_mask) == round_rz ||
                                                                      ((mode & round_mask) == round_rm && !negative) ||
                                                                      ((mode & round_mask) == round_rp && negative)));
        r = to_largest ? largest : infinity;
    }
    return sign | r;
}

double widen(u64 bits, Type t) {
    switch (t) {
    case Type::f16: return static_cast<double>(float_of_f16(static_cast<u16>(bits)));
    case Type::bf16: return static_cast<double>(float_of_bf16(static_cast<u16>(bits)));
    case Type::f32:
    case Type::tf32: return static_cast<double>(bits_as<float>(static_cast<u32>(bits)));
    case Type::e5m2: return static_cast<double>(float_of_f16(static_cast<u16>(bits << 8)));
    case Type::e4m3: {
        const u32 m = bits & 0x7f;
        if (m == 0x7f) return static_cast<double>(bits_as<float>(0x7fffffffu));
        const double v =
            m < 8 ? m * 0x1p-9
                  : (8 + (m & 7)) * bits_as<double>(static_cast<u64>(static_cast<int>(m >> 3) - 7 - 3 + 1023) << 52);
        return bits & 0x80 ? -v : v;
    }
    default: return bits_as<double>(bits);
    }
}
bool is_float_type(Type t) {
    return t == Type::f16 || t == Type::bf16 || t == Type::f32 || t == Type::f64 || t == Type::tf32 ||
           t == Type::e4m3 || t == Type::e5m2;
}
double round_integer(double x, u16 mode) {
    if (!(x > -0x1p52 && x < 0x1p52)) return x;
    double r;
    switch (mode & round_mask) {
    case round_rn: r = __builtin_rint(x); break;
    case round_rz: r = __builtin_trunc(x); break;
    case round_rm: r = __builtin_floor(x); break;
    default: r = __builtin_ceil(x); break;
    }
    return r;
}

u64 flushed32(u64 bits) { return (bits & 0x7f800000u) ? bits : bits & 0x80000000u; }

u64 convert(u64 bits, Type to, Type from, u16 mode) {
    const unsigned width = bit_width(to), from_width = bit_width(from);
    if ((mode & float_ftz) && from == Type::f32) bits = flushed32(bits);
    if (is_float_type(from)) {
        double x = widen(bits, from);
        if (is_float_type(to)) {
            if (mode & round_integer_flag) x = round_integer(x, mode);
            if (mode & float_sat) x = x > 0 ? (x < 1 ? x : 1.0) : 0.0;
            if (mode & float_relu) x = x < 0 ? 0.0 : x;
            if (to == Type::f64) return bits_as<u64>(x);
            u64 r = narrow(x, format_of(to), mode & round_integer_flag ? 0 : mode);
            if (to == Type::tf32) r <<= 13;
            if ((mode & float_ftz) && to == Type::f32) r = flushed32(r);
            return r;
        }
        const bool is_signed = type_class(to) == TypeClass::signed_integer;
        const bool wide = width == 64 || from_width == 64;
        if (x != x) return wide ? u64{1} << (width - 1) : 0;
        x = round_integer(x, mode);
        const double low = is_signed ? -static_cast<double>(u64{1} << (width - 1)) : 0.0;
        const double high =
            is_signed ? static_cast<double>(u64{1} << (width - 1)) : 2.0 * static_cast<double>(u64{1} << (width - 1));
        const u64 ones = ~u64{0} >> (64 - width);
        if (x < low) return is_signed ? u64{1} << (width - 1) : 0;
        if (x >= high) return is_signed ? ones >> 1 : ones;
        return (is_signed ? static_cast<u64>(static_cast<s64>(x)) : static_cast<u64>(x)) & ones;
    }
    const bool from_signed = type_class(from) == TypeClass::signed_integer;
    __int128 v = static_cast<__int128>(bits);
    if (from_signed) v = static_cast<s64>(bits << (64 - from_width)) >> (64 - from_width);
    if (is_float_type(to)) {
        // a double with everything lost folded into its last bit rounds correctly to any narrower format
        const bool negative = v < 0;
        unsigned __int128 m = static_cast<unsigned __int128>(negative ? -v : v);
        u64 magnitude = static_cast<u64>(m);
        if (to == Type::f64) {
            if (magnitude == 0) return 0;
            const int lead = 63 - __builtin_clzll(magnitude);
            int exponent = lead;
            u64 kept = lead <= 52 ? magnitude << (52 - lead) : magnitude >> (lead - 52);
            if (lead > 52) {
                const u64 rest = magnitude & ((u64{1} << (lead - 52)) - 1), half = u64{1} << (lead - 53);
                const u16 r = mode & round_mask;
                const bool up = r == round_rn   ? rest > half || (rest == half && (kept & 1))
                                : r == round_rm ? negative && rest
                                : r == round_rp ? !negative && rest
                                                : false;
                kept += up;
                if (kept >> 53) {
                    kept >>= 1;
                    ++exponent;
                }
            }
            return (negative ? u64{1} << 63 : 0) | static_cast<u64>(exponent + 1023) << 52 |
                   (kept & 0x000fffffffffffffull);
        }
        if (magnitude >> 53) {
            const bool lost = magnitude & 0x7ff;
            magnitude = (magnitude & ~u64{0x7ff}) | (lost ? 0x800 : 0);
        }
        const double x = static_cast<double>(magnitude);
        u64 r = narrow(negative ? -x : x, format_of(to), mode);
        if (mode & float_sat) r = x == 0 || negative ? 0 : narrow(x < 1 ? x : 1.0, format_of(to), 0);
        return r;
    }
    const u64 ones = ~u64{0} >> (64 - width);
    if (mode & float_sat) {
        const bool is_signed = type_class(to) == TypeClass::signed_integer;
        const __int128 low = is_signed ? -(static_cast<__int128>(1) << (width - 1)) : 0;
        const __int128 high = is_signed ? (static_cast<__int128>(1) << (width - 1)) - 1 : static_cast<__int128>(ones);
        v = v < low ? low : v > high ? high : v;
    }
    return static_cast<u64>(v) & ones;
}

/// The element of a lane, by width; 8-bit values lie in 16-bit registers or wider ones.
u64 lane_bits(Warp& w, u32 offset, unsigned width, int l) {
    switch (width) {
    case 8: return reg<u16>(w, offset)[l] & 0xffu;
    case 16: return reg<u16>(w, offset)[l];
    case 32: return reg<u32>(w, offset)[l];
    default: return reg<u64>(w, offset)[l];
    }
}
void set_lane(Warp& w, u32 offset, unsigned width, int l, u64 bits) {
    switch (width) {
    case 8: reg<u16>(w, offset)[l] = static_cast<u16>(bits & 0xff); break;
    case 16: reg<u16>(w, offset)[l] = static_cast<u16>(bits); break;
    case 32: reg<u32>(w, offset)[l] = static_cast<u32>(bits); break;
    default: reg<u64>(w, offset)[l] = bits; break;
    }
}

template <bool Masked>
const Inst* cvt_any(Warp& w, const Inst* i) {
    const auto mode = static_cast<u16>(i->imm);
    const auto to = static_cast<Type>((i->imm >> 32) & 0xff), from = static_cast<Type>((i->imm >> 40) & 0xff);
    const u32 mask = Masked ? w.mask : all_lanes;
    for (int l = 0; l < 32; ++l) {
        if (!((mask >> l) & 1)) continue;
        set_lane(w, i->d, bit_width(to), l, convert(lane_bits(w, i->a, bit_width(from), l), to, from, mode));
    }
    return i + 1;
}

constexpr Type element_of(Type packed) {
    switch (packed) {
    case Type::f16x2: return Type::f16;
    case Type::bf16x2: return Type::bf16;
    case Type::e4m3x2: return Type::e4m3;
    case Type::e5m2x2: return Type::e5m2;
    default: return Type::none;
    }
}
/// Two results in one register: from two f32 (a above b), or from a packed pair.
template <bool Masked>
const Inst* cvt_pairs(Warp& w, const Inst* i) {
    const auto mode = static_cast<u16>(i->imm);
    const auto to = static_cast<Type>((i->imm >> 32) & 0xff), from = static_cast<Type>((i->imm >> 40) & 0xff);
    const Type element = element_of(to), source = element_of(from);
    const unsigned half = bit_width(to) / 2, from_half = bit_width(from) / 2;
    const u32 mask = Masked ? w.mask : all_lanes;
    for (int l = 0; l < 32; ++l) {
        if (!((mask >> l) & 1)) continue;
        u64 high, low;
        if (source == Type::none) {
            high = convert(reg<u32>(w, i->a)[l], element, from, mode);
            low = convert(reg<u32>(w, i->b)[l], element, from, mode);
        } else {
            const u64 both = lane_bits(w, i->a, bit_width(from), l);
            high = convert(both >> from_half, element, source, mode);
            low = convert(both & ((u64{1} << from_half) - 1), element, source, mode);
        }
        set_lane(w, i->d, bit_width(to), l, high << half | low);
    }
    return i + 1;
}

// the frequent ones
template <class D>
struct Cast {
    template <class A>
    static PTXGEN_INLINE D apply(A a) {
        return static_cast<D>(a);
    }
};
PTXGEN_INLINE float canonical(float x) { return x == x ? x : bits_as<float>(0x7fffffffu); }
struct F16ToF32 {
    static PTXGEN_INLINE float apply(u16 a) { return canonical(float_of_f16(a)); }
};
struct BF16ToF32 {
    static PTXGEN_INLINE float apply(u16 a) { return canonical(float_of_bf16(a)); }
};
struct F32ToF16 {
    static PTXGEN_INLINE u16 apply(float a) { return f16_of_float(a); }
};
struct F32ToBF16 {
    static PTXGEN_INLINE u16 apply(float a) { return bf16_of_float(a); }
};
struct F32ToS32 {
    static PTXGEN_INLINE s32 apply(float a) {
        const float limited = a < 2147483648.0f ? a : 0.0f;
        const s32 r = static_cast<s32>(limited > -2147483904.0f ? limited : -2147483648.0f);
        return a >= 2147483648.0f ? 2147483647 : r;
    }
};
struct F32Nearest { // rni to s32; the addition rounds to even
    static PTXGEN_INLINE s32 apply(float a) {
        const float magnitude = bits_as<float>(bits_as<u32>(a) & 0x7fffffffu);
        const float sign = bits_as<float>((bits_as<u32>(a) & 0x80000000u) | 0x4b000000u); // ±2^23
        const float moved = a + sign;
        const float rounded = moved - sign;
        return F32ToS32::apply(magnitude < 8388608.0f ? rounded : a);
    }
};
struct F32RoundNearest {
    static PTXGEN_INLINE float apply(float a) {
        const float magnitude = bits_as<float>(bits_as<u32>(a) & 0x7fffffffu);
        const float sign = bits_as<float>((bits_as<u32>(a) & 0x80000000u) | 0x4b000000u);
        const float moved = a + sign;
        const float rounded =
            bits_as<float>((bits_as<u32>(moved - sign) & 0x7fffffffu) | (bits_as<u32>(a) & 0x80000000u));
        return magnitude < 8388608.0f ? rounded : a != a ? bits_as<float>(0x7fffffffu) : a;
    }
};
struct F32ToF64 {
    static PTXGEN_INLINE double apply(float a) { return static_cast<double>(a); }
};
struct F64ToF32 {
    static PTXGEN_INLINE float apply(double a) { return a == a ? static_cast<float>(a) : bits_as<float>(0x7fffffffu); }
};
struct PackF16 {
    static PTXGEN_INLINE u32 apply(float a, float b) {
        return static_cast<u32>(f16_of_float(a)) << 16 | f16_of_float(b);
    }
};
struct PackBF16 {
    static PTXGEN_INLINE u32 apply(float a, float b) {
        return static_cast<u32>(bf16_of_float(a)) << 16 | bf16_of_float(b);
    }
};

Handlers frequent(Type to, Type from, u16 mode) {
    const bool plain = mode == 0;
    if (to == Type::f32 && plain) {
        switch (from) {
        case Type::s32: return unary<Cast<float>, float, s32>();
        case Type::u32: return unary<Cast<float>, float, u32>();
        case Type::s16: return unary<Cast<float>, float, s16>();
        case Type::u16: return unary<Cast<float>, float, u16>();
        case Type::f16: return unary<F16ToF32, float, u16>();
        case Type::bf16: return unary<BF16ToF32, float, u16>();
        case Type::f64: return unary<F64ToF32, float, double>();
        default: return {};
        }
    }
    if (from == Type::f32) {
        if (plain && to == Type::f16) return unary<F32ToF16, u16, float>();
        if (plain && to == Type::bf16) return unary<F32ToBF16, u16, float>();
        if (plain && to == Type::f64) return unary<F32ToF64, double, float>();
        if (to == Type::s32 && (mode & ~float_sat) == (round_integer_flag | round_rz))
            return unary<F32ToS32, s32, float>();
        if (to == Type::s32 && (mode & ~float_sat) == (round_integer_flag | round_rn))
            return unary<F32Nearest, s32, float>();
        if (to == Type::f32 && mode == (round_integer_flag | round_rn)) return unary<F32RoundNearest, float, float>();
        return {};
    }
    if (!plain || is_float_type(to) || is_float_type(from)) return {};
    const bool from_signed = type_class(from) == TypeClass::signed_integer;
    const unsigned width = bit_width(to), from_width = bit_width(from);
    if (width == 64 && from_width == 32)
        return from_signed ? unary<Cast<s64>, s64, s32>() : unary<Cast<u64>, u64, u32>();
    if (width == 32 && from_width == 64) return unary<Cast<u32>, u32, u64>();
    if (width == 32 && from_width == 16)
        return from_signed ? unary<Cast<s32>, s32, s16>() : unary<Cast<u32>, u32, u16>();
    if (width == 16 && from_width == 32) return unary<Cast<u16>, u16, u32>();
    if (width == 64 && from_width == 16)
        return from_signed ? unary<Cast<s64>, s64, s16>() : unary<Cast<u64>, u64, u16>();
    return {};
}

/// A narrow element in a wider register: sign or zero extension of type2's width, or truncation, into type's register.
template <class D, class A>
Handlers extend_to() {
    return unary<Cast<D>, D, A>();
}
struct Low8 {
    template <class T>
    static PTXGEN_INLINE u16 apply(T a) {
        return static_cast<u16>(a & 0xff);
    }
};
struct Sign8 {
    static PTXGEN_INLINE s16 apply(u16 a) { return static_cast<s8>(a); }
};
template <class D>
struct Sign8To {
    static PTXGEN_INLINE D apply(u16 a) { return static_cast<D>(static_cast<s8>(a)); }
};
template <class D>
struct Low8To {
    static PTXGEN_INLINE D apply(u16 a) { return static_cast<D>(a & 0xff); }
};

Handlers extend(const Key& key) {
    const unsigned to = bit_width(key.type), from = bit_width(key.type2);
    const bool from_signed = type_class(key.type2) == TypeClass::signed_integer;
    if (from == 8) { // in a 16-bit register
        if (to == 16) return from_signed ? unary<Sign8To<s16>, s16, u16>() : unary<Low8To<u16>, u16, u16>();
        if (to == 32) return from_signed ? unary<Sign8To<s32>, s32, u16>() : unary<Low8To<u32>, u32, u16>();
        if (to == 64) return from_signed ? unary<Sign8To<s64>, s64, u16>() : unary<Low8To<u64>, u64, u16>();
    }
    if (to == 8) { // to a 16-bit register
        if (from == 16) return unary<Low8, u16, u16>();
        if (from == 32) return unary<Low8, u16, u32>();
        if (from == 64) return unary<Low8, u16, u64>();
    }
    if (from == 16 && to == 32) return from_signed ? extend_to<s32, s16>() : extend_to<u32, u16>();
    if (from == 16 && to == 64) return from_signed ? extend_to<s64, s16>() : extend_to<u64, u16>();
    if (from == 32 && to == 64) return from_signed ? extend_to<s64, s32>() : extend_to<u64, u32>();
    if (from == 32 && to == 16) return extend_to<u16, u32>();
    if (from == 64 && to == 32) return extend_to<u32, u64>();
    if (from == 64 && to == 16) return extend_to<u16, u64>();
    return {};
}

} // namespace

Handlers resolve_convert(const Key& key) {
    switch (key.sem) {
    case Sem::cvt: {
        if (element_of(key.type) != Type::none) {
            if (key.type2 == Type::f32 && key.variant == 0 && key.type == Type::f16x2)
                return binary<PackF16, u32, float, float>();
            if (key.type2 == Type::f32 && key.variant == 0 && key.type == Type::bf16x2)
                return binary<PackBF16, u32, float, float>();
            return {cvt_pairs<false>, cvt_pairs<true>};
        }
        const Handlers fast = frequent(key.type, key.type2, key.variant);
        return fast ? fast : Handlers{cvt_any<false>, cvt_any<true>};
    }
    case Sem::extend: return extend(key);
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
