#include "tests/runtime/emulator/harness.hpp"

using namespace ptxgen::test;

namespace {
using u64 = std::uint64_t;
u64 low(u64 v, unsigned width) { return width == 64 ? v : v & ((u64{1} << width) - 1); }
} // namespace

TEST_CASE("packing and unpacking of registers") {
    auto device = make_device();
    check_instruction(*device, "mov.b32 %r, {%ha, %hb};", 32,
                      [](const Triple& x) { return low(x.b, 16) << 16 | low(x.a, 16); });
    check_instruction(*device, "mov.b64 %d, {%ra, %rb};", 64, [](const Triple& x) { return x.b << 32 | low(x.a, 32); });
    check_instruction(*device, "mov.b64 %d, {%ha, %hb, %hc, %ha};", 64, [](const Triple& x) {
        return low(x.a, 16) << 48 | low(x.c, 16) << 32 | low(x.b, 16) << 16 | low(x.a, 16);
    });
    check_instruction(*device, "mov.b64 {%rx, %r}, %da;", 32, [](const Triple& x) { return x.a >> 32; });
    check_instruction(*device, "mov.b32 {%h, %hx}, %ra;", 16, [](const Triple& x) { return x.a; });
}
