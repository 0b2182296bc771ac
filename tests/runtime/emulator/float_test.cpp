#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>
#include <cfenv>

using namespace ptxgen::test;

namespace {

using u64 = std::uint64_t;
using u32 = std::uint32_t;
using u16 = std::uint16_t;

float f32(u64 v) { return std::bit_cast<float>(static_cast<u32>(v)); }
double f64(u64 v) { return std::bit_cast<double>(v); }
u64 bits(float v) { return std::isnan(v) ? 0x7fffffff : std::bit_cast<u32>(v); }
u64 bits(double v) { return std::bit_cast<u64>(v); }

/// f16 and bf16 by their definitions.
double value_of(u64 h, int mantissa, int exponent) {
    const u64 m = h & ((u64{1} << mantissa) - 1), e = (h >> mantissa) & ((u64{1} << exponent) - 1);
    const bool negative = (h >> (mantissa + exponent)) & 1;
    const int bias = (1 << (exponent - 1)) - 1;
    double v;
    if (e == (u64{1} << exponent) - 1)
        v = m ? NAN : INFINITY;
    else if (e == 0)
        v = std::ldexp(static_cast<double>(m), 1 - bias - mantissa);
    else
        v = std::ldexp(static_cast<double>(m + (u64{1} << mantissa)), static_cast<int>(e) - bias - mantissa);
    return negative ? -v : v;
}
double f16(u64 h) { return value_of(h & 0xffff, 10, 5); }
double bf16(u64 h) { return value_of(h & 0xffff, 7, 8); }
/// Nearest of the format's values by trying the neighbours; __float128 holds products and sums of halves exactly.
u64 nearest(__float128 x, int mantissa, int exponent) {
    const u64 top = ((u64{1} << exponent) - 1) << mantissa, sign = u64{1} << (mantissa + exponent);
    if (x != x) return (u64{1} << (mantissa + exponent)) - 1;
    const bool negative = x < 0 || (x == 0 && std::signbit(static_cast<double>(x)));
    const __float128 magnitude = negative ? -x : x;
    u64 low = 0, high = top; // the largest code whose value is at most the magnitude
    while (low + 1 < high) {
        const u64 mid = (low + high) / 2;
        if (static_cast<__float128>(value_of(mid, mantissa, exponent)) <= magnitude)
            low = mid;
        else
            high = mid;
    }
    const __float128 below = value_of(low, mantissa, exponent);
    // infinity stands for the power of two behind the largest number
    const __float128 above = high == top ? static_cast<__float128>(std::ldexp(1.0, 1 << (exponent - 1)))
                                         : static_cast<__float128>(value_of(high, mantissa, exponent));
    const __float128 to_below = magnitude - below, to_above = above - magnitude;
    const bool up = to_above < to_below || (to_above == to_below && (low & 1));
    return (up ? high : low) | (negative ? sign : 0);
}
u64 to_f16(__float128 x) { return nearest(x, 10, 5); }
u64 to_bf16(__float128 x) { return nearest(x, 7, 8); }

template <class F>
auto rounded(int mode, F f) {
    const int saved = std::fegetround();
    std::fesetround(mode);
    volatile auto r = f();
    std::fesetround(saved);
    return r;
}
float flush(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

} // namespace

TEST_CASE("f32 arithmetic is IEEE's, with subnormals") {
    auto device = make_device();
    const auto check = [&](const std::string& text, auto f) {
        check_instruction(*device, text, 32, [&](const Triple& x) { return bits(f(f32(x.a), f32(x.b), f32(x.c))); });
    };
    check("add.f32 %r, %ra, %rb;", [](float a, float b, float) { return a + b; });
    check("sub.f32 %r, %ra, %rb;", [](float a, float b, float) { return a - b; });
    check("mul.f32 %r, %ra, %rb;", [](float a, float b, float) { return a * b; });
    check("fma.rn.f32 %r, %ra, %rb, %rc;", [](float a, float b, float c) { return std::fma(a, b, c); });
    check("div.rn.f32 %r, %ra, %rb;", [](float a, float b, float) { return a / b; });
    check("sqrt.rn.f32 %r, %ra;", [](float a, float, float) { return std::sqrt(a); });
    check("rcp.rn.f32 %r, %ra;", [](float a, float, float) { return 1.0f / a; });
    check("min.f32 %r, %ra, %rb;", [](float a, float b, float) {
        return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
    });
    check("max.f32 %r, %ra, %rb;", [](float a, float b, float) {
        return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
    });
    check("max.NaN.f32 %r, %ra, %rb;", [](float a, float b, float) {
        return std::isnan(a) || std::isnan(b) ? NAN : a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
    });
    check("add.ftz.f32 %r, %ra, %rb;", [](float a, float b, float) { return flush(flush(a) + flush(b)); });
    check("mul.ftz.f32 %r, %ra, %rb;", [](float a, float b, float) { return flush(flush(a) * flush(b)); });
    check("mul.sat.f32 %r, %ra, %rb;", [](float a, float b, float) {
        return std::isnan(a * b) ? 0.0f : a * b <= 0 ? 0.0f : std::min(a * b, 1.0f);
    });
    check_instruction(*device, "copysign.f32 %r, %ra, %rb;", 32,
                      [](const Triple& x) { return (x.a & 0x80000000) | (x.b & 0x7fffffff); });
    check_instruction(*device, "neg.f32 %r, %ra;", 32, [](const Triple& x) { return x.a ^ 0x80000000; });
    check_instruction(*device, "abs.f32 %r, %ra;", 32, [](const Triple& x) { return x.a & 0x7fffffff; });
}

TEST_CASE("directed rounding") {
    auto device = make_device();
    constexpr std::pair<const char*, int> modes[] = {{"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};
    for (const auto& [name, mode] : modes) {
        const std::string n = name;
        const int m = mode;
        check_instruction(*device, "add." + n + ".f32 %r, %ra, %rb;", 32, [&](const Triple& x) {
            return bits(rounded(m, [&] {
                volatile float a = f32(x.a), b = f32(x.b);
                return a + b;
            }));
        });
        check_instruction(*device, "fma." + n + ".f32 %r, %ra, %rb, %rc;", 32, [&](const Triple& x) {
            return bits(rounded(m, [&] { return std::fma(f32(x.a), f32(x.b), f32(x.c)); }));
        });
        check_instruction(*device, "cvt." + n + ".f32.s32 %r, %ra;", 32, [&](const Triple& x) {
            return bits(rounded(m, [&] {
                volatile std::int32_t a = static_cast<std::int32_t>(x.a);
                return static_cast<float>(a);
            }));
        });
        check_instruction(*device, "cvt." + n + ".f32.f64 %r, %da;", 32, [&](const Triple& x) {
            return bits(rounded(m, [&] {
                volatile double a = f64(x.a);
                return static_cast<float>(a);
            }));
        });
    }
}

TEST_CASE("f64 arithmetic") {
    auto device = make_device();
    // NaN payloads are not defined
    const auto check = [&](const std::string& text, auto f) {
        check_instruction(*device, "{ " + text + " testp.notanumber.f64 %q, %d; selp.b64 %d, 0, %d, %q; }", 64,
                          [&](const Triple& x) {
                              const double r = f(f64(x.a), f64(x.b), f64(x.c));
                              return std::isnan(r) ? u64{0} : bits(r);
                          });
    };
    check("add.f64 %d, %da, %db;", [](double a, double b, double) { return a + b; });
    check("mul.f64 %d, %da, %db;", [](double a, double b, double) { return a * b; });
    check("fma.rn.f64 %d, %da, %db, %dc;", [](double a, double b, double c) { return std::fma(a, b, c); });
    check("div.rn.f64 %d, %da, %db;", [](double a, double b, double) { return a / b; });
    check("sqrt.rn.f64 %d, %da;", [](double a, double, double) { return std::sqrt(a); });
}

TEST_CASE("f16 and bf16 round once") {
    auto device = make_device();
    const auto check = [&](const std::string& type, auto in, auto out) {
        const auto three = [&](const std::string& text, auto f) {
            check_instruction(*device, text, 16, [&](const Triple& x) {
                return out(f(static_cast<__float128>(in(x.a)), static_cast<__float128>(in(x.b)),
                             static_cast<__float128>(in(x.c))));
            });
        };
        three("add.rn." + type + " %h, %ha, %hb;", [](__float128 a, __float128 b, __float128) { return a + b; });
        three("sub.rn." + type + " %h, %ha, %hb;", [](__float128 a, __float128 b, __float128) { return a - b; });
        three("mul.rn." + type + " %h, %ha, %hb;", [](__float128 a, __float128 b, __float128) { return a * b; });
    };
    check("f16", f16, to_f16);
    check("bf16", bf16, to_bf16);
    // 113 bits hold every f16 sum of a product, and bf16 sums whose terms are not too far apart; there a sticky term
    // decides
    check_instruction(*device, "fma.rn.f16 %h, %ha, %hb, %hc;", 16,
                      [](const Triple& x) { return to_f16(static_cast<__float128>(f16(x.a)) * f16(x.b) + f16(x.c)); });
    check_instruction(*device, "fma.rn.f16x2 %r, %ra, %rb, %rc;", 32, [](const Triple& x) {
        u64 r = 0;
        for (int k = 0; k < 32; k += 16)
            r |= to_f16(static_cast<__float128>(f16(x.a >> k)) * f16(x.b >> k) + f16(x.c >> k)) << k;
        return r;
    });
    check_instruction(*device, "fma.rn.bf16 %h, %ha, %hb, %hc;", 16, [](const Triple& x) {
        const __float128 p = static_cast<__float128>(bf16(x.a)) * bf16(x.b), c = bf16(x.c);
        __float128 s = p + c;
        const bool finite = s - s == 0;
        if (finite) { // what 113 bits lost, as a nudge
            const __float128 lost = (s - p) - c;
            const __float128 tiny = (s < 0 ? -s : s) * 0x1p-100;
            if (lost > 0) s -= tiny;
            if (lost < 0) s += tiny;
        }
        return to_bf16(s);
    });
    check_instruction(*device, "min.f16 %h, %ha, %hb;", 16, [](const Triple& x) {
        const double a = f16(x.a), b = f16(x.b);
        if (std::isnan(a) && std::isnan(b)) return u64{0x7fff};
        return std::isnan(a) ? x.b : std::isnan(b) ? x.a : a == b ? (std::signbit(a) ? x.a : x.b) : a < b ? x.a : x.b;
    });
    check_instruction(*device, "neg.bf16x2 %r, %ra;", 32, [](const Triple& x) { return x.a ^ 0x80008000; });
}

TEST_CASE("approximate functions stay within an ulp and cover their special values") {
    auto device = make_device();
    const auto close = [&](const std::string& text, auto truth, double ulps) {
        const auto triples = operand_triples();
        const auto got = run_instruction(*device, text, 32, triples);
        double worst = 0;
        for (std::size_t k = 0; k < triples.size(); ++k) {
            const float x = f32(triples[k].a);
            const double want = truth(static_cast<double>(x));
            const float have = f32(got[k]);
            if (std::isnan(want)) {
                CHECK_MESSAGE(std::isnan(have), text << " of " << x);
            } else if (std::abs(want) > 3.4028235677973366e38) {
                CHECK_MESSAGE((std::isinf(have) && (have > 0) == (want > 0)), text << " of " << x);
            } else {
                const double ulp =
                    std::max(std::abs(static_cast<double>(std::nextafter(static_cast<float>(want), INFINITY)) -
                                      static_cast<double>(static_cast<float>(want))),
                             0x1p-149);
                worst = std::max(worst, std::abs(static_cast<double>(have) - want) / ulp);
            }
        }
        CHECK_MESSAGE(worst <= ulps, text << ": " << worst << " ulp");
    };
    close(
        "ex2.approx.f32 %r, %ra;", [](double x) { return std::exp2(x); }, 1);
    close(
        "lg2.approx.f32 %r, %ra;", [](double x) { return std::log2(x); }, 1);
    close(
        "rsqrt.approx.f32 %r, %ra;", [](double x) { return 1.0 / std::sqrt(x); }, 1);
    close(
        "rcp.approx.f32 %r, %ra;", [](double x) { return 1.0 / x; }, 1);
    close(
        "sqrt.approx.f32 %r, %ra;", [](double x) { return std::sqrt(x); }, 1);
    close(
        "tanh.approx.f32 %r, %ra;", [](double x) { return std::tanh(x); }, 1);
}

TEST_CASE("conversions") {
    auto device = make_device();
    const auto to_int = [](double x, double low, double high, bool zero_nan, u64 nan) -> u64 {
        if (std::isnan(x)) return zero_nan ? 0 : nan;
        if (x <= low) return static_cast<u64>(static_cast<std::int64_t>(low));
        if (x >= high) return high >= 0x1p63 ? (low < 0 ? 0x7fffffffffffffff : ~u64{0}) : static_cast<u64>(high);
        return low < 0 ? static_cast<u64>(static_cast<std::int64_t>(x)) : static_cast<u64>(x);
    };
    check_instruction(*device, "cvt.rzi.s32.f32 %r, %ra;", 32, [&](const Triple& x) {
        return to_int(std::trunc(static_cast<double>(f32(x.a))), -0x1p31, 2147483647.0, true, 0);
    });
    check_instruction(*device, "cvt.rni.s32.f32 %r, %ra;", 32, [&](const Triple& x) {
        return to_int(std::nearbyint(static_cast<double>(f32(x.a))), -0x1p31, 2147483647.0, true, 0);
    });
    check_instruction(*device, "cvt.rmi.u32.f32 %r, %ra;", 32, [&](const Triple& x) {
        return to_int(std::floor(static_cast<double>(f32(x.a))), 0, 4294967295.0, true, 0);
    });
    check_instruction(*device, "cvt.rpi.s64.f32 %d, %ra;", 64, [&](const Triple& x) {
        return to_int(std::ceil(static_cast<double>(f32(x.a))), -0x1p63, 0x1p63, false, 0x8000000000000000);
    });
    check_instruction(*device, "cvt.rzi.u16.f32 %h, %ra;", 16, [&](const Triple& x) {
        return to_int(std::trunc(static_cast<double>(f32(x.a))), 0, 65535, true, 0);
    });
    check_instruction(*device, "cvt.rzi.s8.f32 %r, %ra;", 32, [&](const Triple& x) {
        return to_int(std::trunc(static_cast<double>(f32(x.a))), -128, 127, true, 0);
    });
    check_instruction(*device, "cvt.rzi.u64.f64 %d, %da;", 64, [&](const Triple& x) {
        return to_int(std::trunc(f64(x.a)), 0, 0x1p64, false, 0x8000000000000000);
    });
    check_instruction(*device, "cvt.rni.f32.f32 %r, %ra;", 32,
                      [](const Triple& x) { return bits(std::nearbyint(f32(x.a))); });
    check_instruction(*device, "cvt.rn.f32.u64 %r, %da;", 32,
                      [](const Triple& x) { return bits(static_cast<float>(x.a)); });
    check_instruction(*device, "cvt.rn.f32.s64 %r, %da;", 32,
                      [](const Triple& x) { return bits(static_cast<float>(static_cast<std::int64_t>(x.a))); });
    check_instruction(*device, "cvt.rn.f64.u64 %d, %da;", 64,
                      [](const Triple& x) { return bits(static_cast<double>(x.a)); });
    check_instruction(*device, "cvt.rn.f32.u32 %r, %ra;", 32,
                      [](const Triple& x) { return bits(static_cast<float>(static_cast<u32>(x.a))); });
    check_instruction(*device, "cvt.rn.f16.s32 %h, %ra;", 16,
                      [](const Triple& x) { return to_f16(static_cast<__float128>(static_cast<std::int32_t>(x.a))); });
    check_instruction(*device, "cvt.f32.f16 %r, %ha;", 32,
                      [](const Triple& x) { return bits(static_cast<float>(f16(x.a))); });
    check_instruction(*device, "cvt.rn.f16.f32 %h, %ra;", 16, [](const Triple& x) { return to_f16(f32(x.a)); });
    check_instruction(*device, "cvt.f32.bf16 %r, %ha;", 32,
                      [](const Triple& x) { return bits(static_cast<float>(bf16(x.a))); });
    check_instruction(*device, "cvt.rn.bf16.f32 %h, %ra;", 16, [](const Triple& x) { return to_bf16(f32(x.a)); });
    check_instruction(*device, "cvt.rn.bf16x2.f32 %r, %ra, %rb;", 32,
                      [](const Triple& x) { return to_bf16(f32(x.a)) << 16 | to_bf16(f32(x.b)); });
    check_instruction(*device, "cvt.rn.f16x2.f32 %r, %ra, %rb;", 32,
                      [](const Triple& x) { return to_f16(f32(x.a)) << 16 | to_f16(f32(x.b)); });
    check_instruction(*device, "cvt.rn.f16.f64 %h, %da;", 16, [](const Triple& x) { return to_f16(f64(x.a)); });
    check_instruction(*device, "cvt.sat.f32.f32 %r, %ra;", 32, [](const Triple& x) {
        return std::isnan(f32(x.a)) ? 0 : bits(std::min(std::max(f32(x.a), 0.0f), 1.0f) + 0.0f);
    });
    check_instruction(*device, "cvt.sat.u8.s32 %r, %ra;", 32, [](const Triple& x) {
        return static_cast<u64>(std::min(std::max(static_cast<std::int32_t>(x.a), 0), 255));
    });
    check_instruction(*device, "cvt.sat.s16.s32 %h, %ra;", 16, [](const Triple& x) {
        return static_cast<u64>(std::min(std::max(static_cast<std::int32_t>(x.a), -32768), 32767));
    });
    check_instruction(*device, "cvt.sat.u32.s64 %r, %da;", 32, [](const Triple& x) {
        const auto a = static_cast<std::int64_t>(x.a);
        return a < 0 ? u64{0} : std::min<u64>(x.a, 0xffffffff);
    });
    check_instruction(*device, "cvt.s32.s8 %r, %ra;", 32, [](const Triple& x) {
        return static_cast<u64>(static_cast<std::int64_t>(static_cast<std::int8_t>(x.a)));
    });
    check_instruction(*device, "cvt.u64.u8 %d, %ra;", 64, [](const Triple& x) { return x.a & 0xff; });
    check_instruction(*device, "cvt.s64.s32 %d, %ra;", 64, [](const Triple& x) {
        return static_cast<u64>(static_cast<std::int64_t>(static_cast<std::int32_t>(x.a)));
    });
}
