#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>

using namespace ptxgen::test;

namespace {
using u64 = std::uint64_t;
using u32 = std::uint32_t;
u64 low(u64 v, unsigned width) { return width == 64 ? v : v & ((u64{1} << width) - 1); }
} // namespace

TEST_CASE("logic and shifts; counts of the width and more shift everything out") {
    auto device = make_device();
    for (const unsigned width : {16u, 32u, 64u}) {
        const std::string p = width == 16 ? "%h" : width == 32 ? "%r" : "%d", n = std::to_string(width);
        const auto check = [&](const std::string& text, auto f) { check_instruction(*device, text, width, f); };
        check("and.b" + n + " " + p + ", " + p + "a, " + p + "b;", [](const Triple& x) { return x.a & x.b; });
        check("or.b" + n + " " + p + ", " + p + "a, " + p + "b;", [](const Triple& x) { return x.a | x.b; });
        check("xor.b" + n + " " + p + ", " + p + "a, " + p + "b;", [](const Triple& x) { return x.a ^ x.b; });
        check("not.b" + n + " " + p + ", " + p + "a;", [](const Triple& x) { return ~x.a; });
        check("cnot.b" + n + " " + p + ", " + p + "a;",
              [&](const Triple& x) { return low(x.a, width) == 0 ? u64{1} : u64{0}; });
        check("shl.b" + n + " " + p + ", " + p + "a, %rb;",
              [&](const Triple& x) { return (x.b & 0xffffffff) >= width ? u64{0} : x.a << (x.b & 0xffffffff); });
        check("shr.u" + n + " " + p + ", " + p + "a, %rb;", [&](const Triple& x) {
            return (x.b & 0xffffffff) >= width ? u64{0} : low(x.a, width) >> (x.b & 0xffffffff);
        });
        check("shr.s" + n + " " + p + ", " + p + "a, %rb;", [&](const Triple& x) {
            const bool negative = (x.a >> (width - 1)) & 1;
            const u64 count = std::min<u64>(x.b & 0xffffffff, width - 1);
            u64 r = low(x.a, width) >> count;
            if (negative && count) r |= ~u64{0} << (width - count);
            return r;
        });
        check("mov.b" + n + " " + p + ", " + p + "a;", [](const Triple& x) { return x.a; });
        check("selp.b" + n + " " + p + ", " + p + "a, " + p + "b, %pc;",
              [](const Triple& x) { return x.c & 1 ? x.a : x.b; });
        check("slct.b" + n + ".s32 " + p + ", " + p + "a, " + p + "b, %rc;",
              [](const Triple& x) { return static_cast<std::int32_t>(x.c) >= 0 ? x.a : x.b; });
    }
    check_instruction(*device, "slct.b32.f32 %r, %ra, %rb, %rc;", 32,
                      [](const Triple& x) { return std::bit_cast<float>(static_cast<u32>(x.c)) >= 0 ? x.a : x.b; });
}

TEST_CASE("lop3, shf and prmt") {
    auto device = make_device();
    for (const int lut : {0x00, 0x80, 0xe8, 0x96, 0xca, 0x1b, 0xff, 0x6a})
        check_instruction(
            *device, "lop3.b32 %r, %ra, %rb, %rc, " + std::to_string(lut) + ";", 32, [&](const Triple& x) {
                u64 r = 0;
                for (int k = 0; k < 32; ++k) {
                    const int index =
                        static_cast<int>(((x.a >> k) & 1) << 2 | ((x.b >> k) & 1) << 1 | ((x.c >> k) & 1));
                    r |= static_cast<u64>((lut >> index) & 1) << k;
                }
                return r;
            });
    for (const bool wrap : {false, true}) {
        const std::string mode = wrap ? "wrap" : "clamp";
        const auto count = [&](const Triple& x) { return wrap ? x.c & 31 : std::min<u64>(x.c & 0xffffffff, 32); };
        check_instruction(*device, "shf.l." + mode + ".b32 %r, %ra, %rb, %rc;", 32, [&](const Triple& x) {
            return (static_cast<unsigned __int128>(low(x.b, 32) << 32 | low(x.a, 32)) << count(x)) >> 32;
        });
        check_instruction(*device, "shf.r." + mode + ".b32 %r, %ra, %rb, %rc;", 32,
                          [&](const Triple& x) { return (low(x.b, 32) << 32 | low(x.a, 32)) >> count(x); });
    }
    const auto byte = [](const Triple& x, u64 k) { return ((x.b << 32 | low(x.a, 32)) >> (8 * k)) & 0xff; };
    check_instruction(*device, "prmt.b32 %r, %ra, %rb, %rc;", 32, [&](const Triple& x) {
        u64 r = 0;
        for (int k = 0; k < 4; ++k) {
            const u64 s = (x.c >> (4 * k)) & 15, v = byte(x, s & 7);
            r |= (s & 8 ? (v & 0x80 ? 0xff : 0) : v) << (8 * k);
        }
        return r;
    });
    for (const int selector : {0x3210, 0x7654, 0x5140, 0x0007, 0x4444, 0x6273, 0xba98, 0x3f21})
        check_instruction(*device, fmt::format("prmt.b32 %r, %ra, %rb, {};", selector), 32, [&](const Triple& x) {
            u64 r = 0;
            for (int k = 0; k < 4; ++k) {
                const u64 s = static_cast<u64>(selector >> (4 * k)) & 15, v = byte(x, s & 7);
                r |= (s & 8 ? (v & 0x80 ? 0xff : 0) : v) << (8 * k);
            }
            return r;
        });
    // selector tables of the manual
    const auto table = [&](const std::string& mode, const int(&rows)[4][4]) {
        check_instruction(*device, "prmt.b32." + mode + " %r, %ra, %rb, %rc;", 32, [&](const Triple& x) {
            u64 r = 0;
            for (int k = 0; k < 4; ++k) r |= byte(x, static_cast<u64>(rows[x.c & 3][k])) << (8 * k);
            return r;
        });
    };
    table("f4e", {{0, 1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4, 5}, {3, 4, 5, 6}});
    table("b4e", {{0, 7, 6, 5}, {1, 0, 7, 6}, {2, 1, 0, 7}, {3, 2, 1, 0}});
    table("rc8", {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}});
    table("ecl", {{0, 1, 2, 3}, {1, 1, 2, 3}, {2, 2, 2, 3}, {3, 3, 3, 3}});
    table("ecr", {{0, 0, 0, 0}, {0, 1, 1, 1}, {0, 1, 2, 2}, {0, 1, 2, 3}});
    table("rc16", {{0, 1, 0, 1}, {2, 3, 2, 3}, {0, 1, 0, 1}, {2, 3, 2, 3}});
}

TEST_CASE("comparisons") {
    auto device = make_device();
    const auto check = [&](const std::string& text, auto f) {
        check_instruction(*device, text, 1, [&](const Triple& x) { return static_cast<u64>(f(x)); });
    };
    check("setp.lt.s32 %p, %ra, %rb;",
          [](const Triple& x) { return static_cast<std::int32_t>(x.a) < static_cast<std::int32_t>(x.b); });
    check("setp.hi.u32 %p, %ra, %rb;", [](const Triple& x) { return static_cast<u32>(x.a) > static_cast<u32>(x.b); });
    check("setp.le.u16 %p, %ha, %hb;", [](const Triple& x) { return (x.a & 0xffff) <= (x.b & 0xffff); });
    check("setp.ge.s64 %p, %da, %db;",
          [](const Triple& x) { return static_cast<std::int64_t>(x.a) >= static_cast<std::int64_t>(x.b); });
    check("setp.eq.and.u32 %p, %ra, %rb, %pc;",
          [](const Triple& x) { return low(x.a, 32) == low(x.b, 32) && (x.c & 1); });
    check("setp.ne.or.b64 %p, %da, %db, !%pc;", [](const Triple& x) { return x.a != x.b || !(x.c & 1); });
    check("setp.lt.xor.u64 %q|%p, %da, %db, %pc;", [](const Triple& x) { return !(x.a < x.b) != ((x.c & 1) != 0); });
    const auto f = [](u64 v) { return std::bit_cast<float>(static_cast<u32>(v)); };
    const auto d = [](u64 v) { return std::bit_cast<double>(v); };
    const auto nan = [&](const Triple& x) { return std::isnan(f(x.a)) || std::isnan(f(x.b)); };
    check("setp.eq.f32 %p, %ra, %rb;", [&](const Triple& x) { return f(x.a) == f(x.b); });
    check("setp.ne.f32 %p, %ra, %rb;", [&](const Triple& x) { return !nan(x) && f(x.a) != f(x.b); });
    check("setp.neu.f32 %p, %ra, %rb;", [&](const Triple& x) { return nan(x) || f(x.a) != f(x.b); });
    check("setp.ltu.f32 %p, %ra, %rb;", [&](const Triple& x) { return nan(x) || f(x.a) < f(x.b); });
    check("setp.gt.f32 %p, %ra, %rb;", [&](const Triple& x) { return f(x.a) > f(x.b); });
    check("setp.num.f32 %p, %ra, %rb;", [&](const Triple& x) { return !nan(x); });
    check("setp.nan.f64 %p, %da, %db;", [&](const Triple& x) { return std::isnan(d(x.a)) || std::isnan(d(x.b)); });
    const auto flushed = [&](u64 v) { return std::abs(f(v)) < 0x1p-126f ? 0.0f : f(v); };
    check("setp.eq.ftz.f32 %p, %ra, %rb;", [&](const Triple& x) { return flushed(x.a) == flushed(x.b); });
    check_instruction(*device, "set.lt.u32.s32 %r, %ra, %rb;", 32, [](const Triple& x) {
        return static_cast<std::int32_t>(x.a) < static_cast<std::int32_t>(x.b) ? 0xffffffff : 0;
    });
    check_instruction(*device, "set.gt.f32.u32 %r, %ra, %rb;", 32,
                      [](const Triple& x) { return low(x.a, 32) > low(x.b, 32) ? 0x3f800000 : 0; });
    check("testp.normal.f32 %p, %ra;", [&](const Triple& x) { return std::isnormal(f(x.a)) || f(x.a) == 0; });
    check("testp.subnormal.f64 %p, %da;", [&](const Triple& x) { return std::fpclassify(d(x.a)) == FP_SUBNORMAL; });
    check("testp.notanumber.f32 %p, %ra;", [&](const Triple& x) { return std::isnan(f(x.a)); });
}
