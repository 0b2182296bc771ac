#include <ptxgen/ptxgen.hpp>

#include <doctest/doctest.h>
#include <functional>

using namespace ptxgen;

namespace {

/// The instructions of a kernel, without declarations and labels' indentation, one a line.
std::string body_of(const std::function<void(KernelBuilder&)>& write) {
    ModuleBuilder module;
    KernelBuilder k = module.kernel("test");
    write(k);
    auto text = std::move(module).ptx();
    if (!text) return "error: " + text.error().message;
    const auto open = text->find("\n{\n"), close = text->rfind("}\n");
    std::string body, line;
    for (const char c : text->substr(open + 3, close - open - 3)) {
        if (c != '\n') {
            line += c;
            continue;
        }
        line.erase(0, line.find_first_not_of(' '));
        if (!line.empty() && line[0] != '.') body += line + "\n";
        line.clear();
    }
    return body;
}

} // namespace

TEST_CASE("a value computed for a variable is written to its register at once") {
    CHECK(body_of([](KernelBuilder& k) {
              auto sum = k.var<f32>(0.f);
              sum = k.fma(sum, sum, sum);
          }) == "mov.b32 %r1, 0f00000000;\nfma.rn.f32 %r1, %r1, %r1, %r1;\nret;\n");
}

TEST_CASE("a value that is still held keeps its own register when it is assigned") {
    CHECK(body_of([](KernelBuilder& k) {
              auto x = k.var<u32>(1);
              const Val<u32> next = x + 1u;
              x = next;
              x = next * 2u;
          }) == "mov.u32 %r1, 1;\nadd.u32 %r2, %r1, 1;\nmov.u32 %r1, %r2;\nmul.lo.u32 %r1, %r2, 2;\nret;\n");
}

TEST_CASE("reading a variable into a value is a snapshot") {
    CHECK(body_of([](KernelBuilder& k) {
              auto x = k.var<u32>(1);
              const Val<u32> before = x;
              x += 1u;
              x = before;
          }) == "mov.u32 %r1, 1;\nmov.u32 %r2, %r1;\nadd.u32 %r1, %r1, 1;\nmov.u32 %r1, %r2;\nret;\n");
}

TEST_CASE("special registers and parameters are read once, at the start") {
    CHECK(body_of([](KernelBuilder& k) {
              const auto n = k.param<u32>("n");
              auto x = k.var<u32>(n);
              x += k.tid.x;
              x += k.tid.x;
          }) == "ld.param.u32 %r1, [n];\nmov.u32 %r3, %tid.x;\nmov.u32 %r2, %r1;\nadd.u32 %r2, %r2, %r3;\n"
                "add.u32 %r2, %r2, %r3;\nret;\n");
}

TEST_CASE("constant pointer offsets go into the address") {
    CHECK(body_of([](KernelBuilder& k) {
              const auto p = k.param<global_ptr<f32>>("p");
              const auto q = p + k.tid.x;
              k.st(q + 3, k.ld(q - 1));
          }) ==
          "ld.param.u64 %rd1, [p];\ncvta.to.global.u64 %rd2, %rd1;\nmov.u32 %r1, %tid.x;\n"
          "mad.wide.u32 %rd3, %r1, 4, %rd2;\nld.global.f32 %r2, [%rd3+-4];\nst.global.f32 [%rd3+12], %r2;\nret;\n");
}

TEST_CASE("shared memory is addressed by its symbol or by a register") {
    CHECK(body_of([](KernelBuilder& k) {
              const auto tile = k.shared<f32>("tile", 32);
              k.st(tile + 1, 2.5f);
              k.st(tile + k.tid.x, 1.f);
          }) == "mov.u32 %r1, tile;\nmov.u32 %r2, %tid.x;\nst.shared.f32 [tile+4], 0f40200000;\n"
                "mad.lo.u32 %r3, %r2, 4, %r1;\nst.shared.f32 [%r3], 0f3F800000;\nret;\n");
}

TEST_CASE("a loop with its exit at the head closes with the repeated condition") {
    CHECK(body_of([](KernelBuilder& k) {
              auto i = k.var<u32>(0);
              k.loop([&](Loop& l) {
                  l.break_if(i >= 4u);
                  i += 1u;
              });
          }) ==
          "mov.u32 %r1, 0;\nloop_0:\nsetp.ge.u32 %p1, %r1, 4;\n@%p1 bra endloop_1;\nbody_3:\nadd.u32 %r1, %r1, 1;\n"
          "setp.ge.u32 %p1, %r1, 4;\n@!%p1 bra body_3;\nendloop_1:\nret;\n");
}

TEST_CASE("a loop with its exit at the end closes with it") {
    CHECK(body_of([](KernelBuilder& k) {
              auto i = k.var<u32>(0);
              k.loop([&](Loop& l) {
                  k.if_(i == 2u, [&] { i += 1u; });
                  i += 1u;
                  l.break_if(i >= 4u);
              });
          }) ==
          "mov.u32 %r1, 0;\nloop_0:\nsetp.eq.u32 %p1, %r1, 2;\n@!%p1 bra endif_3;\nadd.u32 %r1, %r1, 1;\nendif_3:\n"
          "add.u32 %r1, %r1, 1;\nsetp.ge.u32 %p2, %r1, 4;\n@!%p2 bra loop_0;\nendloop_1:\nret;\n");
}

TEST_CASE("predicated instructions are guarded, negations need no instruction") {
    CHECK(body_of([](KernelBuilder& k) {
              auto x = k.var<u32>(1);
              const Pred p = x > 0u;
              k.predicated(!p, [&] { x += 1u; });
          }) == "mov.u32 %r1, 1;\nsetp.gt.u32 %p1, %r1, 0;\n@!%p1 add.u32 %r1, %r1, 1;\nret;\n");
}

TEST_CASE("wide and low products") {
    CHECK(body_of([](KernelBuilder& k) {
              const Val<u64> wide = k.mul_wide(k.tid.x, k.ntid.x);
              k.mad_lo(wide, 3, wide);
          }) == "mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ntid.x;\nmul.wide.u32 %rd1, %r1, %r2;\n"
                "mad.lo.u64 %rd2, %rd1, 3, %rd1;\nret;\n");
}

TEST_CASE("a narrow load extends by itself") {
    CHECK(body_of([](KernelBuilder& k) {
              const auto bytes = k.param<global_ptr<const u8>>("bytes");
              auto x = k.var<u32>(0);
              x = k.ld_wide<u32>(bytes + 5);
          }) == "ld.param.u64 %rd1, [bytes];\ncvta.to.global.u64 %rd2, %rd1;\nmov.u32 %r1, 0;\nld.global.u8 %r1, "
                "[%rd2+5];\nret;\n");
}

TEST_CASE("raw lines are parsed and checked like text") {
    CHECK(body_of([](KernelBuilder& k) {
              auto x = k.var<u32>(1);
              k.raw("add.u32 {0}, {1}, 5;", x, x);
          }) == "mov.u32 %r1, 1;\nadd.u32 %r1, %r1, 5;\nret;\n");
    const auto failed = body_of([](KernelBuilder& k) {
        auto x = k.var<u32>(1);
        k.raw("addd.u32 {0}, {1}, 5;", x, x);
    });
    CHECK(failed.find("addd") != std::string::npos);
    CHECK(failed.find("error: ") == 0);
}

TEST_CASE("an unknown opcode prints once its version and target are stated") {
    ModuleBuilder module;
    KernelBuilder k = module.kernel("test");
    auto x = k.var<u32>(1);
    k.raw(Minimum{{9, 0}, {100, TargetVariant::arch}}, "future.op.b32 {0}, {1};", x, x);
    const auto text = std::move(module).ptx();
    REQUIRE(text);
    CHECK(text->find(".version 9.0\n.target sm_100a\n") != std::string::npos);
    CHECK(text->find("future.op.b32 %r1, %r1;") != std::string::npos);
}

TEST_CASE("mistakes that types cannot show are located errors") {
    const auto read_before_assignment = body_of([](KernelBuilder& k) {
        auto x = k.var<u32>();
        x += 1u;
    });
    CHECK(read_before_assignment.find("error: kernel 'test', instruction 0") == 0);
    CHECK(body_of([](KernelBuilder& k) { k.imm<u32>(1).state().immediate(Type::u16, 70000); }).find("70000") !=
          std::string::npos);
    const auto missing = body_of([](KernelBuilder& k) { k.bra(k.label("nowhere")); });
    CHECK(missing.find("nowhere") != std::string::npos);
    const auto too_much = body_of([](KernelBuilder& k) { k.st(k.shared<f32>("big", 100000), 1.f); });
    CHECK(too_much.find("shared") != std::string::npos);
}

TEST_CASE("an instruction that the asked target lacks is named") {
    ModuleBuilder module{Target{70}};
    KernelBuilder k = module.kernel("test");
    auto x = k.var<u32>(1);
    k.raw(Minimum{{8, 0}, {90}}, "future.op.b32 {0};", x);
    const auto text = std::move(module).ptx();
    REQUIRE(!text);
    CHECK(text.error().message.find("future.op.b32") != std::string::npos);
    CHECK(text.error().message.find("sm_90") != std::string::npos);
}

TEST_CASE("emission is deterministic") {
    const auto once = [] {
        ModuleBuilder module;
        KernelBuilder k = module.kernel("test");
        auto x = k.var<f32>(0.f);
        k.for_<u32>(0, 8, 1, [&](Var<u32>& i) { x += k.cvt<f32>(i, rn); });
        return *std::move(module).ptx();
    };
    CHECK(once() == once());
}

TEST_CASE("a method's word chooses among the rows of its opcode") {
    const auto body = body_of([](KernelBuilder& k) {
        const auto barrier = k.shared<u64>("barrier", 1);
        k.mbarrier_arrive(barrier);
        k.mbarrier_arrive_expect_tx(barrier, 16);
        const auto n = k.var<u32>(1);
        k.mad_cc(n, n, n, lo);
        k.mad_lo(n, n, n);
    });
    for (const char* line :
         {"mbarrier.arrive.shared.b64 %rd1, [barrier];", "mbarrier.arrive.expect_tx.shared.b64 %rd2, [barrier], 16;",
          "mad.lo.cc.u32 ", "mad.lo.u32 "})
        CHECK_MESSAGE(body.find(line) != std::string::npos, body);
}
