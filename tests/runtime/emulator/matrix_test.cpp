#include "tests/runtime/emulator/harness.hpp"

using namespace ptxgen::test;

namespace {

using u16 = std::uint16_t;
using u32 = std::uint32_t;

/// Every lane loads `inputs` words, runs `body` on %r0 …, and stores %s0 … (`outputs` words).
std::vector<u32> run_warp(const std::vector<u32>& in, u32 inputs, u32 outputs, const std::string& body,
                          const std::string& declarations = "") {
    auto device = make_device();
    std::string text = ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n" + declarations +
                       "    .reg .b32 %r<20>, %s<20>, %t<4>; .reg .b64 %rd<4>;\n    ld.param.u64 %rd1, [in];\n    "
                       "ld.param.u64 %rd2, [out];\n    mov.u32 %t0, %tid.x;\n";
    text += fmt::format("    mul.wide.u32 %rd3, %t0, {};\n    add.u64 %rd1, %rd1, %rd3;\n    mul.wide.u32 %rd3, %t0, "
                        "{};\n    add.u64 %rd2, %rd2, %rd3;\n",
                        inputs * 4, outputs * 4);
    for (u32 k = 0; k < inputs; ++k) text += fmt::format("    ld.global.b32 %r{}, [%rd1+{}];\n", k, 4 * k);
    text += body + "\n";
    for (u32 k = 0; k < outputs; ++k) text += fmt::format("    st.global.b32 [%rd2+{}], %s{};\n", 4 * k, k);
    auto module = device->load(module_of(text + "    ret;\n}\n"));
    REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
    auto kernel = (*module)->kernel("k");
    REQUIRE_MESSAGE(kernel.ok(), (kernel.ok() ? "" : kernel.error().message));
    const Buffer a = upload(*device, in), out = upload(*device, std::vector<u32>(32 * outputs, 0));
    const auto status = device->stream().launch(**kernel, {.grid = {1}, .block = {32}}, {a.address(), out.address()});
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    return download<u32>(*device, out, 32 * outputs);
}

u16 half_bits(int v) { // small integers are exact in f16
    if (v == 0) return 0;
    const u32 bits = std::bit_cast<u32>(static_cast<float>(v));
    return static_cast<u16>(((bits >> 16) & 0x8000) | ((((bits >> 23) & 255) - 112) << 10) | ((bits >> 13) & 0x3ff));
}
u16 bfloat_bits(int v) { return static_cast<u16>(std::bit_cast<u32>(static_cast<float>(v)) >> 16); }

struct Product {
    int a[16][32], b[32][8], c[16][8];
    explicit Product(int range) {
        std::mt19937 random(3);
        const auto draw = [&] { return static_cast<int>(random() % static_cast<unsigned>(2 * range + 1)) - range; };
        for (auto& row : a)
            for (int& v : row) v = draw();
        for (auto& row : b)
            for (int& v : row) v = draw();
        for (auto& row : c)
            for (int& v : row) v = draw();
    }
    int at(int m, int n, int depth) const {
        int sum = c[m][n];
        for (int k = 0; k < depth; ++k) sum += a[m][k] * b[k][n];
        return sum;
    }
};

} // namespace

TEST_CASE("mma.sync m16n8k16 in f16 and bf16") {
    const Product p(9);
    for (const bool bfloat : {false, true})
        for (const bool half_result : {false, true}) {
            if (bfloat && half_result) continue;
            const auto bits = [&](int v) { return bfloat ? bfloat_bits(v) : half_bits(v); };
            const auto pair = [&](int low, int high) {
                return static_cast<u32>(bits(low)) | static_cast<u32>(bits(high)) << 16;
            };
            std::vector<u32> in;
            for (int lane = 0; lane < 32; ++lane) {
                const int g = lane / 4, t = lane % 4;
                // fragments as the manual draws them (9.7.14.5.8)
                in.push_back(pair(p.a[g][2 * t], p.a[g][2 * t + 1]));
                in.push_back(pair(p.a[g + 8][2 * t], p.a[g + 8][2 * t + 1]));
                in.push_back(pair(p.a[g][2 * t + 8], p.a[g][2 * t + 9]));
                in.push_back(pair(p.a[g + 8][2 * t + 8], p.a[g + 8][2 * t + 9]));
                in.push_back(pair(p.b[2 * t][g], p.b[2 * t + 1][g]));
                in.push_back(pair(p.b[2 * t + 8][g], p.b[2 * t + 9][g]));
                for (int r = 0; r < 4; ++r) {
                    const int v = p.c[r < 2 ? g : g + 8][2 * t + r % 2];
                    if (!half_result)
                        in.push_back(std::bit_cast<u32>(static_cast<float>(v)));
                    else if (r % 2)
                        in.push_back(pair(p.c[r < 2 ? g : g + 8][2 * t], v));
                }
            }
            const auto out =
                half_result ? run_warp(in, 8, 2,
                                       "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%s0,%s1}, "
                                       "{%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6,%r7};")
                            : run_warp(in, 10, 4,
                                       std::string("mma.sync.aligned.m16n8k16.row.col.f32.") +
                                           (bfloat ? "bf16.bf16" : "f16.f16") +
                                           ".f32 {%s0,%s1,%s2,%s3}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6,%r7,%r8,%r9};");
            for (int lane = 0; lane < 32; ++lane)
                for (int r = 0; r < 4; ++r) {
                    const int want = p.at(lane / 4 + (r < 2 ? 0 : 8), lane % 4 * 2 + r % 2, 16);
                    if (half_result)
                        CHECK(((out[static_cast<std::size_t>(lane * 2 + r / 2)] >> (16 * (r % 2))) & 0xffff) ==
                              half_bits(want));
                    else
                        CHECK(std::bit_cast<float>(out[static_cast<std::size_t>(lane * 4 + r)]) ==
                              static_cast<float>(want));
                }
        }
}

TEST_CASE("mma.sync m16n8k32 in 8-bit integers") {
    const Product p(127);
    std::vector<u32> in;
    const auto four = [](auto value) {
        u32 r = 0;
        for (int k = 0; k < 4; ++k) r |= (static_cast<u32>(value(k)) & 0xff) << (8 * k);
        return r;
    };
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        for (int r = 0; r < 4; ++r)
            in.push_back(four([&](int k) { return p.a[g + (r % 2 ? 8 : 0)][4 * t + k + (r < 2 ? 0 : 16)]; }));
        for (int r = 0; r < 2; ++r) in.push_back(four([&](int k) { return p.b[4 * t + k + 16 * r][g]; }));
        for (int r = 0; r < 4; ++r) in.push_back(static_cast<u32>(p.c[r < 2 ? g : g + 8][2 * t + r % 2]));
    }
    const auto out = run_warp(in, 10, 4,
                              "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%s0,%s1,%s2,%s3}, {%r0,%r1,%r2,%r3}, "
                              "{%r4,%r5}, {%r6,%r7,%r8,%r9};");
    for (int lane = 0; lane < 32; ++lane)
        for (int r = 0; r < 4; ++r)
            CHECK(static_cast<int>(out[static_cast<std::size_t>(lane * 4 + r)]) ==
                  p.at(lane / 4 + (r < 2 ? 0 : 8), lane % 4 * 2 + r % 2, 32));
}

TEST_CASE("ldmatrix gives each lane its pair, plain and transposed") {
    // a lane writes one row of 8 halves, of the value 100 * matrix + 10 * row + column
    std::vector<u32> in;
    for (u32 lane = 0; lane < 32; ++lane)
        for (u32 k = 0; k < 4; ++k) {
            const u32 base = 100 * (lane / 8) + 10 * (lane % 8);
            in.push_back((base + 2 * k) | (base + 2 * k + 1) << 16);
        }
    for (const bool transposed : {false, true}) {
        const auto out = run_warp(in, 4, 4,
                                  std::string("shl.b32 %t1, %t0, 4; mov.u32 %t2, m; add.u32 %t1, %t1, %t2; "
                                              "st.shared.v4.b32 [%t1], {%r0,%r1,%r2,%r3}; bar.sync 0;\n") +
                                      "ldmatrix.sync.aligned.m8n8.x4" + (transposed ? ".trans" : "") +
                                      ".shared.b16 {%s0,%s1,%s2,%s3}, [%t1];",
                                  "    .shared .align 16 .b8 m[512];\n");
        for (u32 lane = 0; lane < 32; ++lane)
            for (u32 matrix = 0; matrix < 4; ++matrix) {
                const u32 row = lane / 4, column = lane % 4 * 2;
                const u32 low = transposed ? 10 * column + row : 10 * row + column,
                          high = transposed ? 10 * (column + 1) + row : 10 * row + column + 1;
                CHECK(out[lane * 4 + matrix] == ((100 * matrix + low) | (100 * matrix + high) << 16));
            }
    }
}

TEST_CASE("movmatrix transposes eight rows of eight halves") {
    std::vector<u32> in;
    for (u32 lane = 0; lane < 32; ++lane) in.push_back((10 * (lane / 4) + lane % 4 * 2) * 0x10001u + 0x10000u);
    const auto out = run_warp(in, 1, 1, "movmatrix.sync.aligned.m8n8.trans.b16 %s0, %r0;");
    for (u32 lane = 0; lane < 32; ++lane) {
        const u32 row = lane / 4, column = lane % 4 * 2;
        CHECK(out[lane] == ((10 * column + row) | (10 * (column + 1) + row) << 16));
    }
}
