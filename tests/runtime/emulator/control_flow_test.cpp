#include "tests/runtime/emulator/harness.hpp"

using namespace ptxgen::test;
using ptxgen::Result;
using ptxgen::Status;

namespace {

using u32 = std::uint32_t;

struct Run {
    Status status;
    std::vector<u32> out;
};
/// Launches kernel k(out, …) with a zeroed buffer of `words`.
Run run(EmulatedDevice& device, const std::string& kernel, const LaunchConfig& config, std::size_t words) {
    auto module = device.load(module_of(kernel));
    REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
    auto k = (*module)->kernel("k");
    REQUIRE_MESSAGE(k.ok(), (k.ok() ? "" : k.error().message));
    const Buffer out = upload(device, std::vector<u32>(words, 0));
    Run r;
    r.status = device.stream().launch(**k, config, {out.address()});
    r.out = download<u32>(device, out, words);
    return r;
}
std::string message(const Status& s) { return s.ok() ? "" : s.error().message; }

const std::string prologue = R"(
    .reg .pred %p<10>;
    .reg .b32 %r<20>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mad.lo.u32 %r4, %r2, %r3, %r1;
    mul.wide.u32 %rd2, %r4, 4;
    add.u64 %rd2, %rd1, %rd2;
)";
std::string kernel(const std::string& body, const std::string& declarations = "") {
    return ".visible .entry k(.param .u64 out)\n{\n" + declarations + prologue + body + "\n    ret;\n}\n";
}

} // namespace

TEST_CASE("lanes with different trip counts and nested branches meet again") {
    auto device = make_device();
    // Collatz steps of tid + 1, then a vote that all lanes of the warp take part in
    const auto r = run(*device, kernel(R"(
    add.u32 %r5, %r1, 1;
    mov.u32 %r6, 0;
LOOP:
    setp.eq.u32 %p1, %r5, 1;
    @%p1 bra DONE;
    add.u32 %r6, %r6, 1;
    and.b32 %r7, %r5, 1;
    setp.eq.u32 %p2, %r7, 0;
    @%p2 bra EVEN;
    mad.lo.u32 %r5, %r5, 3, 1;
    bra LOOP;
EVEN:
    shr.u32 %r5, %r5, 1;
    bra LOOP;
DONE:
    activemask.b32 %r8;
    setp.eq.u32 %p3, %r8, 0xffffffff;
    selp.u32 %r9, 1000, 0, %p3;
    add.u32 %r6, %r6, %r9;
    st.global.u32 [%rd2], %r6;)"),
                       {.grid = {3}, .block = {96}}, 288);
    REQUIRE_MESSAGE(r.status.ok(), message(r.status));
    for (u32 k = 0; k < 288; ++k) {
        u32 n = k % 96 + 1, steps = 0;
        for (; n != 1; ++steps) n = n % 2 ? 3 * n + 1 : n / 2;
        CHECK(r.out[k] == steps + 1000); // all lanes were together behind the loop
    }
}

TEST_CASE("lanes of one warp that wait for each other go on") {
    auto device = make_device();
    // a spin lock taken by every lane in turn
    const auto r = run(*device, kernel(R"(
    add.u64 %rd3, %rd1, 4;
TRY:
    atom.global.cas.b32 %r5, [%rd1], 0, 1;
    setp.ne.u32 %p1, %r5, 0;
    @%p1 bra TRY;
    ld.volatile.global.u32 %r6, [%rd3];
    add.u32 %r6, %r6, 1;
    st.volatile.global.u32 [%rd3], %r6;
    membar.gl;
    atom.global.exch.b32 %r7, [%rd1], 0;)"),
                       {.grid = {2}, .block = {64}}, 2);
    REQUIRE_MESSAGE(r.status.ok(), message(r.status));
    CHECK(r.out[1] == 128);
    // lane 0 waits for lane 31's flag, whichever side the compiler puts first
    for (const std::string condition : {"eq", "ne"}) {
        const auto s = run(
            *device,
            kernel("setp." + condition + R"(.u32 %p1, %r1, 0;
    @%p1 bra A;
    bra B;
A:
)" +
                   (condition == "eq"
                        ? std::string("WAIT: ld.volatile.global.u32 %r5, [%rd1]; setp.eq.u32 %p2, %r5, 0; @%p2 bra "
                                      "WAIT; bra END;\nB: st.volatile.global.u32 [%rd1], 1; bra END;")
                        : std::string("st.volatile.global.u32 [%rd1], 1; bra END;\nB:\nWAIT: ld.volatile.global.u32 "
                                      "%r5, [%rd1]; setp.eq.u32 %p2, %r5, 0; @%p2 bra WAIT; bra END;")) +
                   "\nEND:"),
            {.grid = {1}, .block = {32}}, 1);
        CHECK_MESSAGE(s.status.ok(), message(s.status));
    }
}

TEST_CASE("a cooperative grid passes a barrier that spins across CTAs") {
    for (const unsigned threads : {1u, 2u}) {
        auto device = make_device(true, threads);
        const std::string text = kernel(R"(
    add.u64 %rd3, %rd1, 64;
    mov.u32 %r9, 0;
ROUND:
    bar.sync 0;
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra WAITED;
    atom.release.gpu.global.add.u32 %r5, [%rd1], 1;
    mov.u32 %r6, %nctaid.x;
    add.u32 %r10, %r9, 1;
    mul.lo.u32 %r6, %r6, %r10;
SPIN:
    ld.acquire.gpu.global.u32 %r7, [%rd1];
    setp.lt.u32 %p2, %r7, %r6;
    @%p2 bra SPIN;
WAITED:
    bar.sync 0;
    add.u32 %r9, %r9, 1;
    setp.lt.u32 %p3, %r9, 5;
    @%p3 bra ROUND;
    red.global.add.u32 [%rd3], 1;)");
        const auto r = run(*device, text, {.grid = {16}, .block = {64}, .cooperative = true}, 32);
        REQUIRE_MESSAGE(r.status.ok(), message(r.status));
        CHECK(r.out[0] == 16 * 5);
        CHECK(r.out[16] == 16 * 64);
        const auto too_many = run(*device, text, {.grid = {10000}, .block = {64}, .cooperative = true}, 32);
        CHECK(message(too_many.status).find("cooperative grid of 10000 CTAs does not fit") != std::string::npos);
    }
}

TEST_CASE("a CTA may wait for one that comes later, as long as both fit") {
    auto device = make_device();
    const auto r = run(*device, kernel(R"(
    setp.ne.u32 %p1, %r2, 0;
    @%p1 bra LATER;
SPIN:
    ld.volatile.global.u32 %r7, [%rd1];
    setp.eq.u32 %p2, %r7, 0;
    @%p2 bra SPIN;
    bra END;
LATER:
    st.volatile.global.u32 [%rd1], 1;
END:)"),
                       {.grid = {4}, .block = {32}}, 1);
    CHECK_MESSAGE(r.status.ok(), message(r.status));
}

TEST_CASE("barriers: ids, counts, arrive and reductions") {
    auto device = make_device();
    const auto r = run(*device, kernel(R"(
    and.b32 %r5, %r1, 1;
    setp.eq.u32 %p1, %r5, 1;
    barrier.sync 0;
    shr.u32 %r6, %r1, 5;
    setp.eq.u32 %p2, %r6, 0;
    @%p2 bra PRODUCER;
    bar.sync 3, 64;
    bra JOIN;
PRODUCER:
    bar.arrive 3, 64;
JOIN:
    bar.red.popc.u32 %r7, 0, %p1;
    bar.red.and.pred %p3, 0, %p1;
    bar.red.or.pred %p4, 0, !%p1;
    selp.u32 %r8, 100, 0, %p3;
    selp.u32 %r9, 1000, 0, %p4;
    add.u32 %r7, %r7, %r8;
    add.u32 %r7, %r7, %r9;
    st.global.u32 [%rd2], %r7;)"),
                       {.grid = {1}, .block = {64}}, 64);
    REQUIRE_MESSAGE(r.status.ok(), message(r.status));
    for (const u32 v : r.out) CHECK(v == 32 + 1000);
}

TEST_CASE("shuffles, votes, matches and reductions") {
    auto device = make_device();
    const auto lanes = [&](const std::string& body) {
        const auto r =
            run(*device, kernel(body + "\n    st.global.u32 [%rd2], %r5;"), {.grid = {1}, .block = {32}}, 32);
        REQUIRE_MESSAGE(r.status.ok(), message(r.status));
        return r.out;
    };
    const auto up = lanes("shfl.sync.up.b32 %r5, %r1, 3, 0, -1;"),
               down = lanes("shfl.sync.down.b32 %r5, %r1, 5, 31, -1;"),
               bfly = lanes("shfl.sync.bfly.b32 %r5, %r1, 6, 31, -1;"),
               idx = lanes("shfl.sync.idx.b32 %r5, %r1, 9, 31, -1;"),
               segment = lanes("shfl.sync.idx.b32 %r5|%p1, %r1, 9, 0x181f, -1; @!%p1 add.u32 %r5, %r5, 100;"),
               ballot = lanes("setp.gt.u32 %p1, %r1, 20; vote.sync.ballot.b32 %r5, %p1, -1;"),
               any = lanes("setp.gt.u32 %p1, %r1, 20; vote.sync.any.pred %p2, %p1, -1; selp.u32 %r5, 1, 0, %p2;"),
               all = lanes("setp.gt.u32 %p1, %r1, 20; vote.sync.all.pred %p2, %p1, -1; selp.u32 %r5, 1, 0, %p2;"),
               match = lanes("and.b32 %r6, %r1, 3; match.any.sync.b32 %r5, %r6, -1;"),
               sum = lanes("redux.sync.add.s32 %r5, %r1, -1;"), most = lanes("redux.sync.max.u32 %r5, %r1, -1;"),
               // two halves of a warp, each with its own mask
        halves =
            lanes("setp.lt.u32 %p1, %r1, 16; selp.b32 %r6, 0xffff, 0xffff0000, %p1; redux.sync.add.s32 %r5, %r1, %r6;");
    for (u32 l = 0; l < 32; ++l) {
        CHECK(up[l] == (l >= 3 ? l - 3 : l));
        CHECK(down[l] == (l + 5 <= 31 ? l + 5 : l));
        CHECK(bfly[l] == (l ^ 6));
        CHECK(idx[l] == 9);
        CHECK(segment[l] == ((l & 24) | 1));
        CHECK(ballot[l] == 0xffe00000);
        CHECK(any[l] == 1);
        CHECK(all[l] == 0);
        CHECK(match[l] == 0x11111111u << (l & 3));
        CHECK(sum[l] == 496);
        CHECK(most[l] == 31);
        CHECK(halves[l] == (l < 16 ? 120 : 376));
    }
}

TEST_CASE("a warp-wide instruction waits for lanes that come by another way") {
    auto device = make_device();
    const auto r = run(*device, kernel(R"(
    setp.lt.u32 %p1, %r1, 7;
    @%p1 bra A;
    shfl.sync.bfly.b32 %r5, %r1, 1, 31, 0xffffff80;
    bra B;
A:
    shfl.sync.bfly.b32 %r5, %r1, 2, 31, 0x7f;
B:
    redux.sync.add.s32 %r6, %r5, -1;
    st.global.u32 [%rd2], %r6;)"),
                       {.grid = {1}, .block = {32}}, 32);
    REQUIRE_MESSAGE(r.status.ok(), message(r.status));
    // 7 pairs with lane 6, which is on the other side: what it reads there is its own business, so only uniformity
    // counts
    for (u32 l = 1; l < 32; ++l) CHECK(r.out[l] == r.out[0]);
}

TEST_CASE("results do not depend on the number of host threads") {
    std::vector<u32> first;
    for (const unsigned threads : {1u, 2u, 3u}) {
        auto device = make_device(true, threads);
        const auto r = run(*device, kernel(R"(
    mov.u32 %r5, %r4;
    mov.u32 %r6, 0;
LOOP:
    mad.lo.u32 %r5, %r5, 1664525, 1013904223;
    add.u32 %r6, %r6, 1;
    setp.lt.u32 %p1, %r6, 100;
    @%p1 bra LOOP;
    st.global.u32 [%rd2], %r5;)"),
                           {.grid = {50}, .block = {100}}, 5000);
        REQUIRE(r.status.ok());
        if (first.empty()) first = r.out;
        CHECK(first == r.out);
    }
}
