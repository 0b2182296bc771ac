#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>

using namespace ptxgen::test;

// Expected values are computed in 128-bit arithmetic or bit by bit, not as the emulator does.

namespace {

using i128 = __int128;
using u64 = std::uint64_t;
using u32 = std::uint32_t;

i128 as_type(u64 bits, unsigned width, bool is_signed) {
    i128 v = width == 64 ? static_cast<i128>(bits) : static_cast<i128>(bits & ((u64{1} << width) - 1));
    if (is_signed && ((bits >> (width - 1)) & 1)) v -= static_cast<i128>(1) << width;
    return v;
}
struct IntType {
    const char* name;
    unsigned width;
    bool is_signed;
};
constexpr IntType types[] = {{"u16", 16, false}, {"s16", 16, true},  {"u32", 32, false},
                             {"s32", 32, true},  {"u64", 64, false}, {"s64", 64, true}};
std::string operand(unsigned width, char which) {
    const char* prefix = width == 16 ? "%h" : width == 32 ? "%r" : "%d";
    return std::string(prefix) + which;
}
std::string result(unsigned width) { return width == 16 ? "%h" : width == 32 ? "%r" : "%d"; }

/// "op.type d, a, b[, c];" of equal widths.
std::string form(const std::string& op, const IntType& t, int operands) {
    std::string s = op + "." + t.name + " " + result(t.width);
    for (int k = 0; k < operands; ++k) s += ", " + operand(t.width, "abc"[k]);
    return s + ";";
}
i128 arg(u64 v, const IntType& t) { return as_type(v, t.width, t.is_signed); }

} // namespace

TEST_CASE("integer arithmetic") {
    auto device = make_device();
    for (const IntType& t : types) {
        const auto two = [&](const std::string& op, auto f) {
            check_instruction(*device, form(op, t, 2), t.width,
                              [&](const Triple& x) { return static_cast<u64>(f(arg(x.a, t), arg(x.b, t))); });
        };
        const auto three = [&](const std::string& op, auto f) {
            check_instruction(*device, form(op, t, 3), t.width, [&](const Triple& x) {
                return static_cast<u64>(f(arg(x.a, t), arg(x.b, t), arg(x.c, t)));
            });
        };
        two("add", [](i128 a, i128 b) { return a + b; });
        two("sub", [](i128 a, i128 b) { return a - b; });
        two("mul.lo",
            [](i128 a, i128 b) { return static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b); });
        two("mul.hi", [&](i128 a, i128 b) {
            return t.is_signed
                       ? (a * b) >> t.width
                       : static_cast<i128>((static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b)) >>
                                           t.width);
        });
        two("min", [](i128 a, i128 b) { return std::min(a, b); });
        two("max", [](i128 a, i128 b) { return std::max(a, b); });
        // division by zero: all ones, and the dividend as remainder
        two("div", [](i128 a, i128 b) { return b == 0 ? static_cast<i128>(-1) : a / b; });
        two("rem", [](i128 a, i128 b) { return b == 0 ? a : a % b; });
        three("mad.lo", [](i128 a, i128 b, i128 c) {
            return static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b) +
                   static_cast<unsigned __int128>(c);
        });
        three("mad.hi", [&](i128 a, i128 b, i128 c) {
            return (t.is_signed
                        ? (a * b) >> t.width
                        : static_cast<i128>((static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b)) >>
                                            t.width)) +
                   c;
        });
        three("sad", [](i128 a, i128 b, i128 c) { return c + (a > b ? a - b : b - a); });
        if (t.is_signed) {
            check_instruction(*device, form("abs", t, 1), t.width, [&](const Triple& x) {
                return static_cast<u64>(arg(x.a, t) < 0 ? -arg(x.a, t) : arg(x.a, t));
            });
            check_instruction(*device, form("neg", t, 1), t.width,
                              [&](const Triple& x) { return static_cast<u64>(-arg(x.a, t)); });
        }
    }
    for (const IntType& t : {types[0], types[1], types[2], types[3]}) {
        const unsigned wide = 2 * t.width;
        const std::string sources = operand(t.width, 'a') + ", " + operand(t.width, 'b');
        check_instruction(*device, std::string("mul.wide.") + t.name + " " + result(wide) + ", " + sources + ";", wide,
                          [&](const Triple& x) { return static_cast<u64>(arg(x.a, t) * arg(x.b, t)); });
        check_instruction(*device,
                          std::string("mad.wide.") + t.name + " " + result(wide) + ", " + sources + ", " +
                              operand(wide, 'c') + ";",
                          wide, [&](const Triple& x) { return static_cast<u64>(arg(x.a, t) * arg(x.b, t)) + x.c; });
    }
    const auto clamp = [](i128 v) {
        return static_cast<u64>(std::clamp(v, static_cast<i128>(-2147483648LL), static_cast<i128>(2147483647)));
    };
    const IntType s32 = types[3];
    check_instruction(*device, "add.sat.s32 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return clamp(arg(x.a, s32) + arg(x.b, s32)); });
    check_instruction(*device, "sub.sat.s32 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return clamp(arg(x.a, s32) - arg(x.b, s32)); });
    const auto low24 = [](u64 v, bool is_signed) { return as_type(v, 24, is_signed); };
    check_instruction(*device, "mul24.lo.u32 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return static_cast<u64>(low24(x.a, false) * low24(x.b, false)); });
    check_instruction(*device, "mul24.hi.s32 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return static_cast<u64>((low24(x.a, true) * low24(x.b, true)) >> 16); });
    check_instruction(*device, "mad24.lo.s32 %r, %ra, %rb, %rc;", 32,
                      [&](const Triple& x) { return static_cast<u64>(low24(x.a, true) * low24(x.b, true)) + x.c; });
}

TEST_CASE("packed 16-bit integers and small dot products") {
    auto device = make_device();
    const auto each = [](const Triple& x, bool is_signed, auto f) {
        u64 r = 0;
        for (unsigned k = 0; k < 32; k += 16)
            r |= (static_cast<u64>(f(as_type(x.a >> k, 16, is_signed), as_type(x.b >> k, 16, is_signed))) & 0xffff)
                 << k;
        return r;
    };
    check_instruction(*device, "add.u16x2 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return each(x, false, [](i128 a, i128 b) { return a + b; }); });
    check_instruction(*device, "min.s16x2 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return each(x, true, [](i128 a, i128 b) { return std::min(a, b); }); });
    check_instruction(*device, "max.u16x2 %r, %ra, %rb;", 32,
                      [&](const Triple& x) { return each(x, false, [](i128 a, i128 b) { return std::max(a, b); }); });
    check_instruction(*device, "max.relu.s16x2 %r, %ra, %rb;", 32, [&](const Triple& x) {
        return each(x, true, [](i128 a, i128 b) { return std::max({a, b, static_cast<i128>(0)}); });
    });
    for (const bool a_signed : {false, true})
        for (const bool b_signed : {false, true}) {
            const std::string names = std::string(a_signed ? "s32" : "u32") + "." + (b_signed ? "s32" : "u32");
            check_instruction(*device, "dp4a." + names + " %r, %ra, %rb, %rc;", 32, [&](const Triple& x) {
                i128 sum = static_cast<i128>(x.c);
                for (unsigned k = 0; k < 32; k += 8)
                    sum += as_type(x.a >> k, 8, a_signed) * as_type(x.b >> k, 8, b_signed);
                return static_cast<u64>(sum);
            });
            for (const unsigned half : {0u, 16u})
                check_instruction(
                    *device, std::string("dp2a.") + (half ? "hi." : "lo.") + names + " %r, %ra, %rb, %rc;", 32,
                    [&](const Triple& x) {
                        i128 sum = static_cast<i128>(x.c);
                        for (unsigned k = 0; k < 2; ++k)
                            sum += as_type(x.a >> (16 * k), 16, a_signed) * as_type(x.b >> (8 * k + half), 8, b_signed);
                        return static_cast<u64>(sum);
                    });
        }
}

TEST_CASE("extended precision: carries, and sub.cc that leaves 1 for no borrow") {
    auto device = make_device();
    // 128-bit sums of {b, a} and {a, c}, from two 64-bit halves: the high half is the result
    const auto wide = [](u64 high, u64 low) { return static_cast<unsigned __int128>(high) << 64 | low; };
    check_instruction(*device, "{ add.cc.u64 %dx, %da, %db; addc.u64 %d, %dc, %da; }", 64,
                      [&](const Triple& x) { return static_cast<u64>((wide(x.c, x.a) + wide(x.a, x.b)) >> 64); });
    check_instruction(*device, "{ sub.cc.u64 %dx, %da, %db; subc.u64 %d, %dc, %da; }", 64,
                      [&](const Triple& x) { return static_cast<u64>((wide(x.c, x.a) - wide(x.a, x.b)) >> 64); });
    check_instruction(*device, "{ add.cc.u32 %rx, %ra, %rb; addc.u32 %r, 0, 0; }", 32, [&](const Triple& x) {
        return (x.a & 0xffffffff) + (x.b & 0xffffffff) > 0xffffffff ? u64{1} : u64{0};
    });
    check_instruction(*device, "{ sub.cc.u32 %rx, %ra, %rb; addc.u32 %r, 0, 0; }", 32,
                      [&](const Triple& x) { return (x.a & 0xffffffff) >= (x.b & 0xffffffff) ? u64{1} : u64{0}; });
    check_instruction(
        *device, "{ mad.lo.cc.u32 %rx, %ra, %rb, %rc; madc.hi.u32 %r, %ra, %rb, 0; }", 32,
        [&](const Triple& x) { return ((x.a & 0xffffffff) * (x.b & 0xffffffff) + (x.c & 0xffffffff)) >> 32; });
}

TEST_CASE("bit counting and fields") {
    auto device = make_device();
    const auto leading = [](u64 v, unsigned width) {
        unsigned n = 0;
        while (n < width && !((v >> (width - 1 - n)) & 1)) ++n;
        return u64{n};
    };
    for (const unsigned width : {32u, 64u}) {
        const std::string b = width == 32 ? "b32" : "b64", a = operand(width, 'a');
        check_instruction(*device, "popc." + b + " %r, " + a + ";", 32, [&](const Triple& x) {
            u64 n = 0;
            for (unsigned k = 0; k < width; ++k) n += (x.a >> k) & 1;
            return n;
        });
        check_instruction(*device, "clz." + b + " %r, " + a + ";", 32,
                          [&](const Triple& x) { return leading(x.a, width); });
        check_instruction(*device, "brev." + b + " " + result(width) + ", " + a + ";", width, [&](const Triple& x) {
            u64 r = 0;
            for (unsigned k = 0; k < width; ++k) r |= ((x.a >> k) & 1) << (width - 1 - k);
            return r;
        });
        for (const bool is_signed : {false, true}) {
            const std::string t = (is_signed ? "s" : "u") + std::to_string(width);
            const auto bfind = [&](const Triple& x) -> u64 {
                const bool negative = is_signed && ((x.a >> (width - 1)) & 1);
                for (int k = static_cast<int>(width) - 1; k >= 0; --k)
                    if (((x.a >> k) & 1) != negative) return static_cast<u64>(k);
                return 0xffffffff;
            };
            check_instruction(*device, "bfind." + t + " %r, " + a + ";", 32, bfind);
            check_instruction(*device, "bfind.shiftamt." + t + " %r, " + a + ";", 32, [&](const Triple& x) {
                return bfind(x) == 0xffffffff ? 0xffffffff : width - 1 - bfind(x);
            });
            // the manual's own loop
            check_instruction(
                *device, "bfe." + t + " " + result(width) + ", " + a + ", %rb, %rc;", width, [&](const Triple& x) {
                    const unsigned msb = width - 1, pos = x.b & 0xff, len = x.c & 0xff;
                    const bool sign = !is_signed || len == 0 ? false : (x.a >> std::min(pos + len - 1, msb)) & 1;
                    u64 d = 0;
                    for (unsigned k = 0; k <= msb; ++k)
                        d |= static_cast<u64>(k < len && pos + k <= msb ? (x.a >> (pos + k)) & 1 : sign) << k;
                    return d;
                });
        }
        check_instruction(*device,
                          "bfi." + b + " " + result(width) + ", " + a + ", " + operand(width, 'b') + ", %rc, %rb;",
                          width, [&](const Triple& x) {
                              const unsigned msb = width - 1, pos = x.c & 0xff, len = x.b & 0xff;
                              u64 f = x.b;
                              for (unsigned k = 0; k < len && pos + k <= msb; ++k)
                                  f = (f & ~(u64{1} << (pos + k))) | ((x.a >> k) & 1) << (pos + k);
                              return f;
                          });
    }
    check_instruction(*device, "bmsk.clamp.b32 %r, %ra, %rb;", 32, [](const Triple& x) {
        u64 m = 0;
        for (u64 k = x.a & 0xffffffff, n = 0; k < 32 && n < (x.b & 0xffffffff); ++k, ++n) m |= u64{1} << k;
        return m;
    });
    check_instruction(*device, "bmsk.wrap.b32 %r, %ra, %rb;", 32, [](const Triple& x) {
        u64 m = 0;
        for (u64 k = x.a & 31, n = 0; k < 32 && n < (x.b & 31); ++k, ++n) m |= u64{1} << k;
        return m;
    });
    check_instruction(*device, "szext.wrap.s32 %r, %ra, %rb;", 32, [](const Triple& x) {
        return (x.b & 31) == 0 ? u64{0} : static_cast<u64>(as_type(x.a, x.b & 31, true));
    });
    check_instruction(*device, "szext.clamp.u32 %r, %ra, %rb;", 32, [](const Triple& x) {
        const u64 n = x.b & 0xffffffff;
        return n >= 32 ? x.a : n == 0 ? u64{0} : x.a & ((u64{1} << n) - 1);
    });
    check_instruction(*device, "fns.b32 %r, %ra, %rb, %rc;", 32, [](const Triple& x) -> u64 {
        const std::int64_t base = static_cast<std::int64_t>(x.b & 0xffffffff), offset = static_cast<std::int32_t>(x.c);
        if (base > 31) return 0xffffffff;
        if (offset == 0) return (x.a >> base) & 1 ? static_cast<u64>(base) : 0xffffffff;
        std::int64_t n = offset > 0 ? offset : -offset;
        for (std::int64_t p = base; p >= 0 && p<32; p += offset> 0 ? 1 : -1)
            if (((x.a >> p) & 1) && --n == 0) return static_cast<u64>(p);
        return 0xffffffff;
    });
}
