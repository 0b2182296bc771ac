#include "tests/runtime/emulator/harness.hpp"

using namespace ptxgen;
using namespace ptxgen::test;

namespace {

const std::string axpy = module_of(R"(
.visible .entry axpy(.param .u32 n, .param .f32 a, .param .u64 x, .param .u64 y)
{
    .reg .pred %p<2>;
    .reg .b32 %r<5>;
    .reg .f32 %f<5>;
    .reg .b64 %rd<8>;
    ld.param.u32 %r1, [n];
    ld.param.f32 %f1, [a];
    ld.param.u64 %rd1, [x];
    ld.param.u64 %rd2, [y];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r2, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r2, %r1;
    @%p1 bra DONE;
    mul.wide.u32 %rd3, %r2, 4;
    add.u64 %rd4, %rd1, %rd3;
    add.u64 %rd5, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4];
    ld.global.f32 %f3, [%rd5];
    fma.rn.f32 %f4, %f1, %f2, %f3;
    st.global.f32 [%rd5], %f4;
DONE:
    ret;
}
)");

} // namespace

TEST_CASE("axpy text runs on every build of the interpreter, with and without checks") {
    for (const VectorLevel level : {VectorLevel::native, VectorLevel::baseline, VectorLevel::avx2})
        for (const bool checks : {true, false}) {
            auto device = make_device(checks, 2, level);
            std::vector<float> x(1000), y(1000);
            for (int k = 0; k < 1000; ++k) {
                x[static_cast<std::size_t>(k)] = static_cast<float>(k) * 0.37f;
                y[static_cast<std::size_t>(k)] = 3.0f - static_cast<float>(k);
            }
            const Buffer bx = upload(*device, x), by = upload(*device, y);
            auto module = device->load(axpy);
            REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
            auto kernel = (*module)->kernel("axpy");
            REQUIRE_MESSAGE(kernel.ok(), (kernel.ok() ? "" : kernel.error().message));
            const auto status = device->stream().launch(**kernel, {.grid = {8}, .block = {128}},
                                                        {std::uint32_t{1000}, 1.7f, bx.address(), by.address()});
            REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
            const auto got = download<float>(*device, by, 1000);
            for (std::size_t k = 0; k < 1000; ++k) CHECK(got[k] == std::fma(1.7f, x[k], y[k]));
            CHECK(device->executed_instructions() > 16000);
            CHECK(device->findings().empty());
        }
}
