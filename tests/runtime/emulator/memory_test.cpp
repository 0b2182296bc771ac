#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>
#include <numeric>

using namespace ptxgen::test;

namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// Loads the kernel "k" of a text and launches it.
struct Program {
    std::unique_ptr<EmulatedDevice> device;
    std::unique_ptr<LoadedModule> module;
    Kernel* kernel = nullptr;

    explicit Program(const std::string& text, unsigned threads = 1) : device(make_device(true, threads)) {
        auto loaded = device->load(module_of(text));
        REQUIRE_MESSAGE(loaded.ok(), (loaded.ok() ? "" : loaded.error().message));
        module = std::move(*loaded);
        auto k = module->kernel("k");
        REQUIRE_MESSAGE(k.ok(), (k.ok() ? "" : k.error().message));
        kernel = *k;
    }
    void launch(const LaunchConfig& config, std::initializer_list<KernelArg> args) {
        const auto status = device->stream().launch(*kernel, config, args);
        REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    }
};

const std::string head = R"(.visible .entry k(.param .u64 in, .param .u64 out)
{
    .reg .pred %p<4>;
    .reg .b16 %h<12>;
    .reg .b32 %r<16>;
    .reg .b64 %rd<16>;
    .reg .b128 %q<3>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd4, %r1, 32;
    add.u64 %rd1, %rd1, %rd4;
    add.u64 %rd2, %rd2, %rd4;
)";

} // namespace

TEST_CASE("loads and stores of every width and vector copy what is there") {
    // each line copies bytes from in to out; the rest stays zero
    struct Copy {
        const char* text;
        std::size_t bytes;
    };
    const Copy copies[] = {
        {"ld.global.u8 %h1, [%rd1]; st.global.u8 [%rd2], %h1;", 1},
        {"ld.global.s8 %r2, [%rd1]; st.global.u8 [%rd2], %r2;", 1},
        {"ld.global.v4.u8 {%h1, %h2, %h3, %h4}, [%rd1]; st.global.v4.u8 [%rd2], {%h1, %h2, %h3, %h4};", 4},
        {"ld.global.v2.u16 {%h1, %h2}, [%rd1]; st.global.v2.u16 [%rd2], {%h1, %h2};", 4},
        {"ld.global.u16 %r2, [%rd1]; st.global.u16 [%rd2], %r2;", 2},
        {"ld.global.v4.u16 {%h1, %h2, %h3, %h4}, [%rd1]; st.global.v4.u16 [%rd2], {%h1, %h2, %h3, %h4};", 8},
        {"ld.global.v2.u32 {%r2, %r3}, [%rd1]; st.global.v2.u32 [%rd2], {%r2, %r3};", 8},
        {"ld.global.nc.v4.f32 {%r2, %r3, %r4, %r5}, [%rd1]; st.global.v4.f32 [%rd2], {%r2, %r3, %r4, %r5};", 16},
        {"ld.global.v2.u64 {%rd5, %rd6}, [%rd1]; st.global.v2.u64 [%rd2], {%rd5, %rd6};", 16},
        {"ld.global.b128 %q1, [%rd1]; mov.b128 {%rd5, %rd6}, %q1; mov.b128 %q2, {%rd5, %rd6}; st.global.b128 [%rd2], "
         "%q2;",
         16},
        {"ld.relaxed.gpu.global.b128 %q1, [%rd1]; st.relaxed.gpu.global.b128 [%rd2], %q1;", 16},
        {"ld.global.v8.b32 {%r2, %r3, %r4, %r5, %r6, %r7, %r8, %r9}, [%rd1]; st.global.v8.b32 [%rd2], {%r2, %r3, %r4, "
         "%r5, %r6, %r7, %r8, %r9};",
         32},
        {"ld.u64 %rd5, [%rd1]; st.u64 [%rd2], %rd5;", 8},
        {"ld.relaxed.gpu.global.u32 %r2, [%rd1]; st.release.gpu.global.u32 [%rd2], %r2;", 4},
    };
    for (const Copy& c : copies) {
        // uniform, strided, and with inactive lanes; the guard holds for lanes below 32 and not 5
        for (const bool guarded : {false, true}) {
            Program p(head + (guarded ? "setp.ne.u32 %p1, %r1, 5;\n @!%p1 bra END;\n" : "") + c.text +
                      "\nEND:\n ret;\n}\n");
            std::vector<u8> in(64 * 32);
            std::iota(in.begin(), in.end(), u8{3});
            const Buffer a = upload(*p.device, in), b = upload(*p.device, std::vector<u8>(in.size(), 0));
            p.launch({.grid = {1}, .block = {64}}, {a.address(), b.address()});
            const auto out = download<u8>(*p.device, b, in.size());
            bool same = true;
            for (std::size_t k = 0; k < in.size(); ++k) {
                const bool copied = k % 32 < c.bytes && !(guarded && k / 32 == 5);
                same = same && out[k] == (copied ? in[k] : 0);
            }
            CHECK_MESSAGE(same, c.text << (guarded ? " (guarded)" : ""));
        }
    }
}

TEST_CASE("an access of 16 bytes sees those of another CTA whole") {
    // One CTA stores {i, i} for growing i; the other one counts the pairs whose halves differ.
    Program p(R"(.visible .entry k(.param .u64 in, .param .u64 out)
{
    .reg .pred %p<4>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<16>;
    .reg .b128 %q<3>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd4, %r1, 48;
    add.u64 %rd1, %rd1, %rd4;
    mov.u32 %r2, %ctaid.x;
    mov.u64 %rd5, 0;
    mov.u64 %rd8, 0;
    setp.ne.u32 %p1, %r2, 0;
    @%p1 bra READ;
WRITE:
    add.u64 %rd5, %rd5, 1;
    mov.b128 %q1, {%rd5, %rd5};
    st.relaxed.gpu.global.b128 [%rd1], %q1;
    setp.lt.u64 %p2, %rd5, 1000000;
    @%p2 bra WRITE;
    ret;
READ:
    add.u64 %rd5, %rd5, 1;
    ld.relaxed.gpu.global.b128 %q1, [%rd1];
    mov.b128 {%rd6, %rd7}, %q1;
    setp.ne.u64 %p3, %rd6, %rd7;
    @%p3 add.u64 %rd8, %rd8, 1;
    setp.lt.u64 %p2, %rd5, 1000000;
    @%p2 bra READ;
    mul.wide.u32 %rd9, %r1, 8;
    add.u64 %rd2, %rd2, %rd9;
    st.global.u64 [%rd2], %rd8;
    ret;
}
)",
              2);
    const Buffer pairs = upload(*p.device, std::vector<u64>(6 * 32, 0)),
                 torn = upload(*p.device, std::vector<u64>(32, 1));
    p.launch({.grid = {2}, .block = {32}}, {pairs.address(), torn.address()});
    CHECK(download<u64>(*p.device, torn, 32) == std::vector<u64>(32, 0));
}

TEST_CASE("narrow loads extend into wider registers by their sign") {
    Program p(head + "ld.global.s8 %rd5, [%rd1]; st.global.u64 [%rd2], %rd5; ld.global.u8 %rd5, [%rd1]; st.global.u64 "
                     "[%rd2+8], %rd5;"
                     "ld.global.s16 %r2, [%rd1]; st.global.u32 [%rd2+16], %r2; ld.global.s32 %rd5, [%rd1]; "
                     "st.global.u64 [%rd2+24], %rd5; ret;\n}\n");
    std::vector<u64> in(32 * 4, 0xffffffff80f1f2f3ull);
    const Buffer a = upload(*p.device, in), b = upload(*p.device, std::vector<u64>(in.size(), 0));
    p.launch({.grid = {1}, .block = {32}}, {a.address(), b.address()});
    const auto out = download<u64>(*p.device, b, 4);
    CHECK(out[0] == 0xfffffffffffffff3ull);
    CHECK(out[1] == 0xf3);
    CHECK(out[2] == 0xfffff2f3u);
    CHECK(out[3] == 0xffffffff80f1f2f3ull);
}

TEST_CASE("shared, local, constant and module memory, by their own and by generic addresses") {
    Program p(R"(.global .align 4 .u32 table[4] = {11, 22, 33};
.const .align 4 .b32 fixed[2] = {5, 0x80000001};
.extern .shared .align 16 .b8 dynamic[];
.visible .entry k(.param .u64 out)
{
    .shared .align 8 .b32 s[64];
    .local .align 8 .b8 l[24];
    .reg .pred %p<4>;
    .reg .b32 %r<16>;
    .reg .b64 %rd<16>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd1, %rd1, %rd2;
    mov.u32 %r2, s;
    shl.b32 %r3, %r1, 2;
    add.u32 %r2, %r2, %r3;
    st.shared.u32 [%r2], %r1;
    mov.u32 %r4, dynamic;
    add.u32 %r4, %r4, %r3;
    mul.lo.u32 %r5, %r1, 1000;
    st.shared.u32 [%r4], %r5;
    st.local.u32 [l+8], %r1;
    bar.sync 0;
    // the neighbour's shared word through a generic address, my local one likewise
    xor.b32 %r6, %r3, 4;
    cvt.u64.u32 %rd3, %r6;
    mov.u64 %rd4, s;
    cvta.shared.u64 %rd4, %rd4;
    add.u64 %rd4, %rd4, %rd3;
    ld.u32 %r7, [%rd4];
    mov.u64 %rd5, l;
    cvta.local.u64 %rd5, %rd5;
    ld.u32 %r8, [%rd5+8];
    add.u32 %r7, %r7, %r8;
    ld.shared.u32 %r9, [%r4];
    add.u32 %r7, %r7, %r9;
    ld.global.u32 %r10, [table+4];
    ld.const.u32 %r11, [fixed];
    add.u32 %r7, %r7, %r10;
    add.u32 %r7, %r7, %r11;
    mov.u64 %rd6, table;
    cvta.global.u64 %rd6, %rd6;
    ld.u32 %r12, [%rd6+8];
    add.u32 %r7, %r7, %r12;
    isspacep.shared %p1, %rd4;
    isspacep.local %p2, %rd5;
    isspacep.global %p3, %rd6;
    selp.u32 %r13, 1000000, 0, %p1;
    add.u32 %r7, %r7, %r13;
    selp.u32 %r13, 2000000, 0, %p2;
    add.u32 %r7, %r7, %r13;
    selp.u32 %r13, 4000000, 0, %p3;
    add.u32 %r7, %r7, %r13;
    cvta.to.shared.u64 %rd7, %rd4;
    cvt.u32.u64 %r14, %rd7;
    ld.shared.u32 %r15, [%r14];
    add.u32 %r7, %r7, %r15;
    st.global.u32 [%rd1], %r7;
    ret;
}
)");
    const Buffer out = upload(*p.device, std::vector<u32>(64, 0));
    p.launch({.grid = {3}, .block = {64}, .shared_bytes = 256}, {out.address()});
    const auto got = download<u32>(*p.device, out, 64);
    for (u32 k = 0; k < 64; ++k) CHECK(got[k] == 2 * (k ^ 1) + k + 1000 * k + 22 + 5 + 33 + 7000000);
    auto table = p.module->global("table");
    REQUIRE(table.ok());
    CHECK(table->size() == 16);
    CHECK(download<u32>(*p.device, *table, 4) == std::vector<u32>{11, 22, 33, 0});
    const auto attributes = p.kernel->attributes();
    CHECK(attributes->static_shared_bytes == 256);
    CHECK(attributes->local_bytes == 32);
}

TEST_CASE("atomics in every operation and type") {
    auto device = make_device();
    struct Case {
        const char* op;
        unsigned width;
        std::function<u64(u64 old, u64 b, u64 c)> next;
    };
    const auto f = [](u64 v) { return std::bit_cast<float>(static_cast<u32>(v)); };
    const auto s = [](u64 v) { return static_cast<std::int32_t>(v); };
    const Case cases[] = {
        {"add.u32", 32, [](u64 o, u64 b, u64) { return o + b; }},
        {"add.u64", 64, [](u64 o, u64 b, u64) { return o + b; }},
        {"add.f32", 32, [&](u64 o, u64 b, u64) { return u64{std::bit_cast<u32>(f(o) + f(b))}; }},
        {"add.f64", 64,
         [](u64 o, u64 b, u64) { return std::bit_cast<u64>(std::bit_cast<double>(o) + std::bit_cast<double>(b)); }},
        {"min.s32", 32, [&](u64 o, u64 b, u64) { return static_cast<u64>(std::min(s(o), s(b))); }},
        {"max.u32", 32, [](u64 o, u64 b, u64) { return std::max<u64>(o & 0xffffffff, b & 0xffffffff); }},
        {"max.s64", 64,
         [](u64 o, u64 b, u64) {
             return static_cast<u64>(std::max(static_cast<std::int64_t>(o), static_cast<std::int64_t>(b)));
         }},
        {"and.b32", 32, [](u64 o, u64 b, u64) { return o & b; }},
        {"or.b64", 64, [](u64 o, u64 b, u64) { return o | b; }},
        {"xor.b32", 32, [](u64 o, u64 b, u64) { return o ^ b; }},
        {"inc.u32", 32, [](u64 o, u64 b, u64) { return (o & 0xffffffff) >= (b & 0xffffffff) ? 0 : o + 1; }},
        {"dec.u32", 32,
         [](u64 o, u64 b, u64) { return (o & 0xffffffff) == 0 || (o & 0xffffffff) > (b & 0xffffffff) ? b : o - 1; }},
        {"exch.b64", 64, [](u64, u64 b, u64) { return b; }},
        {"cas.b32", 32, [](u64 o, u64 b, u64 c) { return (o & 0xffffffff) == (b & 0xffffffff) ? c : o; }},
    };
    // the address is the out slot of this lane, which a holds first: a is the old value, b and c the operands
    for (const Case& c : cases) {
        const std::string r = c.width == 32 ? "%r" : "%d";
        const std::string more = std::string(c.op).starts_with("cas") ? ", " + r + "c" : "";
        const std::string width = std::to_string(c.width);
        // returns the old value …
        check_instruction(*device,
                          "{ st.global.b" + width + " [%to], " + r + "a; atom.global." + c.op + " " + r + ", [%to], " +
                              r + "b" + more + "; }",
                          c.width, [](const Triple& x) { return x.a; });
        // … and leaves the new one; the NaNs of f64 sums have no defined bits
        if (std::string(c.op) == "add.f64") continue;
        check_instruction(*device,
                          "{ st.global.b" + width + " [%to], " + r + "a; atom.relaxed.gpu.global." + c.op + " " + r +
                              "x, [%to], " + r + "b" + more + "; ld.global.b" + width + " " + r + ", [%to]; }",
                          c.width, [&](const Triple& x) {
                              const u64 next = c.next(x.a, x.b, x.c);
                              return std::string(c.op) == "add.f32" && std::isnan(f(next)) ? u64{0x7fffffff} : next;
                          });
    }
    // all threads of a grid on one word
    Program p(".visible .entry k(.param .u64 out)\n{\n .reg .b64 %rd<3>; .reg .b32 %r<3>;\n ld.param.u64 %rd1, "
              "[out];\n mov.u32 %r1, %tid.x;\n"
              " red.global.add.u32 [%rd1], 1;\n red.global.max.u32 [%rd1+4], %r1;\n red.global.add.f32 [%rd1+8], "
              "0f3f800000;\n red.global.add.f64 [%rd1+16], 0d3FF8000000000000;\n ret;\n}\n");
    const Buffer out = upload(*p.device, std::vector<u32>(6, 0));
    p.launch({.grid = {20}, .block = {100}}, {out.address()});
    const auto got = download<u32>(*p.device, out, 6);
    CHECK(got[0] == 2000);
    CHECK(std::bit_cast<double>(u64{got[5]} << 32 | got[4]) == 3000.0);
    CHECK(got[1] == 99);
    CHECK(std::bit_cast<float>(got[2]) == 2000.0f);
}

TEST_CASE("cp.async arrives with its wait, not before") {
    const auto text = [](const std::string& wait) {
        return R"(.visible .entry k(.param .u64 in, .param .u64 out)
{
    .shared .align 16 .b8 s[1024];
    .reg .pred %p<3>;
    .reg .b32 %r<10>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 4;
    mul.wide.u32 %rd3, %r1, 16;
    add.u64 %rd1, %rd1, %rd3;
    mov.u32 %r3, s;
    add.u32 %r3, %r3, %r2;
    cp.async.ca.shared.global [%r3], [%rd1], 16, 12;
    cp.async.commit_group;
    cp.async.cg.shared.global [%r3+512], [%rd1], 16;
    cp.async.commit_group;
    )" + wait + R"(
    ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r3];
    add.u64 %rd2, %rd2, %rd3;
    st.global.v4.u32 [%rd2], {%r4, %r5, %r6, %r7};
    ret;
}
)";
    };
    std::vector<u32> in(128);
    std::iota(in.begin(), in.end(), 1u);
    for (const std::string wait : {"cp.async.wait_group 1;", "cp.async.wait_all;"}) {
        Program p(text(wait));
        const Buffer a = upload(*p.device, in), out = upload(*p.device, std::vector<u32>(128, 0));
        p.launch({.grid = {1}, .block = {32}}, {a.address(), out.address()});
        const auto got = download<u32>(*p.device, out, 128);
        for (u32 k = 0; k < 128; ++k)
            CHECK(got[k] == (k % 4 == 3 ? 0 : in[k])); // 12 of 16 bytes are read, the rest is zero
    }
    Program early(text("cp.async.wait_group 2;"));
    const Buffer a = upload(*early.device, in), out = upload(*early.device, std::vector<u32>(128, 0));
    const auto status =
        early.device->stream().launch(*early.kernel, {.grid = {1}, .block = {32}}, {a.address(), out.address()});
    REQUIRE(!status.ok());
    CHECK(status.error().message.starts_with("initcheck"));
}

TEST_CASE("special registers say where a thread is") {
    Program p(R"(.visible .entry k(.param .u64 out)
{
    .reg .b32 %r<30>;
    .reg .b64 %rd<6>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z;
    mov.u32 %r4, %ntid.x; mov.u32 %r5, %ntid.y;
    mov.u32 %r6, %ctaid.x; mov.u32 %r7, %ctaid.y; mov.u32 %r8, %nctaid.x; mov.u32 %r9, %nctaid.y;
    mov.u32 %r10, %laneid; mov.u32 %r11, %warpid; mov.u32 %r12, %lanemask_lt; mov.u32 %r13, %lanemask_ge;
    mov.u32 %r14, %dynamic_smem_size;
    mov.u64 %rd2, %clock64; mov.u64 %rd3, %clock64; mov.u32 %r16, %smid; mov.u32 %r17, %nsmid;
    setp_less:
    sub.u64 %rd4, %rd3, %rd2;
    cvt.u32.u64 %r15, %rd4;
    // linear id
    mad.lo.u32 %r18, %r7, %r8, %r6;
    mul.lo.u32 %r19, %r4, %r5;
    mul.lo.u32 %r20, %r19, 2;
    mad.lo.u32 %r21, %r3, %r5, %r2;
    mad.lo.u32 %r21, %r21, %r4, %r1;
    mad.lo.u32 %r22, %r18, %r20, %r21;
    mul.wide.u32 %rd5, %r22, 40;
    add.u64 %rd1, %rd1, %rd5;
    st.global.u32 [%rd1], %r21; st.global.u32 [%rd1+4], %r10; st.global.u32 [%rd1+8], %r11; st.global.u32 [%rd1+12], %r12; st.global.u32 [%rd1+16], %r13;
    st.global.u32 [%rd1+20], %r14; st.global.u32 [%rd1+24], %r15; st.global.u32 [%rd1+28], %r9; st.global.u32 [%rd1+32], %r16; st.global.u32 [%rd1+36], %r17;
    ret;
}
)");
    const u32 threads = 9 * 4 * 2, ctas = 6;
    const Buffer out = upload(*p.device, std::vector<u32>(threads * ctas * 10, 0));
    p.launch({.grid = {3, 2}, .block = {9, 4, 2}, .shared_bytes = 48}, {out.address()});
    const auto got = download<u32>(*p.device, out, threads * ctas * 10);
    for (u32 k = 0; k < threads * ctas; ++k) {
        const u32 linear = k % threads, lane = linear % 32, *v = got.data() + k * 10;
        CHECK(v[0] == linear);
        CHECK(v[1] == lane);
        CHECK(v[2] == linear / 32);
        CHECK(v[3] == (1u << lane) - 1);
        CHECK(v[4] == ~((1u << lane) - 1));
        CHECK(v[5] == 48);
        CHECK(v[6] > 0);
        CHECK(v[7] == 2);
        CHECK(v[8] < 4);
        CHECK(v[9] == 4);
    }
}

TEST_CASE("an instruction that is not executed is named, and only for its kernel") {
    auto device = make_device();
    auto module = device->load(module_of(R"(.visible .entry good()
{
    ret;
}
.visible .entry k(.param .u64 a)
{
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [a];
    createpolicy.range.global.L2::evict_last.b64 %rd2, [%rd1], 16, 32;
    prefetch.global.L2 [%rd1];
    stacksave.u64 %rd1;
    ret;
}
)"));
    if (!module.ok()) return; // the table may not have it either; then the parser has named it
    CHECK((*module)->kernel("good").ok());
    const auto k = (*module)->kernel("k");
    REQUIRE(!k.ok());
    CHECK(k.error().message.find("line 15: the emulator does not execute 'stacksave.u64' (kernel 'k')") !=
          std::string::npos);
}
