#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>

using namespace ptxgen::test;
using ptxgen::Status;

// Every check: a kernel with a planted bug, which must be named with its line, and its repaired twin, which runs clean.

namespace {

using u32 = std::uint32_t;

/// k(a: 64 words, written; b: 64 words, not written; out: 64 words). `lines` is the body; the bug is marked by "//
/// BUG".
Status run(const std::string& lines, const std::string& declarations, EmulatedDevice& device, u32* bug_line,
           const LaunchConfig& config) {
    std::string text =
        module_of(".visible .entry k(.param .u64 a, .param .u64 b, .param .u64 out)\n{\n" + declarations + R"(
    .reg .pred %p<10>;
    .reg .b32 %r<20>;
    .reg .b64 %rd<20>;
    ld.param.u64 %rd1, [a];
    ld.param.u64 %rd2, [b];
    ld.param.u64 %rd3, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd4, %r1, 4;
    add.u64 %rd5, %rd1, %rd4;
    add.u64 %rd6, %rd2, %rd4;
    add.u64 %rd7, %rd3, %rd4;
)" + lines + "\n    ret;\n}\n");
    const auto bug = text.find("// BUG");
    *bug_line =
        bug == std::string::npos
            ? 0
            : static_cast<u32>(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bug), '\n'));
    auto module = device.load(text);
    REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
    auto kernel = (*module)->kernel("k");
    REQUIRE_MESSAGE(kernel.ok(), (kernel.ok() ? "" : kernel.error().message));
    const Buffer a = upload(device, std::vector<u32>(64, 7)), out = upload(device, std::vector<u32>(64, 0));
    auto b = device.allocate(256);
    REQUIRE(b.ok());
    return device.stream().launch(**kernel, config, {a.address(), b->address(), out.address()});
}

void planted(const std::string& rule, const std::string& part, const std::string& bug, const std::string& twin,
             const std::string& declarations = "", const LaunchConfig& config = {.grid = {1}, .block = {64}}) {
    auto device = make_device();
    u32 line = 0;
    const auto status = run(bug, declarations, *device, &line, config);
    REQUIRE_MESSAGE(!status.ok(), "no finding: " << bug);
    CHECK_MESSAGE(status.error().message.starts_with(rule + ": "), status.error().message);
    CHECK_MESSAGE(status.error().message.find(part) != std::string::npos, status.error().message);
    REQUIRE(!device->findings().empty());
    const Finding& f = device->findings().front();
    CHECK(f.rule == rule);
    CHECK(f.kernel == "k");
    if (line) CHECK_MESSAGE(f.line == line, status.error().message);
    auto clean = make_device();
    const auto repaired = run(twin, declarations, *clean, &line, config);
    CHECK_MESSAGE(repaired.ok(), (repaired.ok() ? "" : repaired.error().message));
}

const std::string shared = "    .shared .align 16 .b8 s[256];\n    .local .align 16 .b8 l[64];\n    .reg .b32 %s;\n";
const std::string slot = "mov.u32 %s, s; shl.b32 %r2, %r1, 2; add.u32 %s, %s, %r2;\n";

} // namespace

TEST_CASE("memcheck") {
    planted("memcheck", "behind a buffer of 256 bytes", "ld.global.u32 %r5, [%rd5+128]; // BUG",
            "ld.global.u32 %r5, [%rd5];");
    planted("memcheck", "before a buffer", "st.global.u32 [%rd5+-4], %r1; // BUG", "st.global.u32 [%rd7], %r1;");
    planted("memcheck", "a null pointer", "mov.u64 %rd8, 0;\nld.global.u32 %r5, [%rd8]; // BUG",
            "mov.u64 %rd8, %rd1;\nld.global.u32 %r5, [%rd8];");
    planted("memcheck", "not aligned to 8", "ld.global.u64 %rd8, [%rd1+4]; // BUG", "ld.global.u64 %rd8, [%rd1+8];");
    planted("memcheck", "shared address 0x100", slot + "st.shared.u32 [%s+4], %r1; // BUG",
            slot + "st.shared.u32 [%s], %r1;", shared);
    planted("memcheck", "local address 0x40", "st.local.u32 [l+64], %r1; // BUG", "st.local.u32 [l+60], %r1;", shared);
    planted("memcheck", "behind a buffer", "atom.global.add.u32 %r5, [%rd5+256], 1; // BUG",
            "atom.global.add.u32 %r5, [%rd5], 1;");
    planted("memcheck", "behind a buffer", "setp.eq.u32 %p1, %r1, 63;\n@%p1 st.global.u32 [%rd7+4], %r1; // BUG",
            "setp.eq.u32 %p1, %r1, 63;\n@%p1 st.global.u32 [%rd7+-4], %r1;");
    // the address of shared memory is no global address
    planted("memcheck", "global address", "mov.u64 %rd8, s;\nld.global.u32 %r5, [%rd8]; // BUG",
            "mov.u64 %rd8, s;\ncvta.shared.u64 %rd8, %rd8;\nst.u32 [%rd8], %r1;", shared);
}

TEST_CASE("memcheck names freed buffers") {
    auto device = make_device();
    auto module = device->load(module_of(R"(
.visible .entry k(.param .u64 a)
{
    .reg .b32 %r;
    .reg .b64 %rd;
    ld.param.u64 %rd, [a];
    ld.global.u32 %r, [%rd+8];
    ret;
}
)"));
    REQUIRE(module.ok());
    auto kernel = (*module)->kernel("k");
    REQUIRE(kernel.ok());
    Buffer a = upload(*device, std::vector<u32>(16, 1));
    const DevicePtr address = a.address();
    CHECK(device->stream().launch(**kernel, {.grid = {1}, .block = {1}}, {address}).ok());
    a = Buffer();
    const auto status = device->stream().launch(**kernel, {.grid = {1}, .block = {1}}, {address});
    REQUIRE(!status.ok());
    CHECK(status.error().message.find("in a freed buffer of 64 bytes") != std::string::npos);
}

TEST_CASE("initcheck: undefined values travel until they are used") {
    const std::string use = "setp.eq.u32 %p1, %r5, 3;\n@%p1 st.global.u32 [%rd7], %r1; // BUG";
    planted("initcheck", "never written", "ld.global.u32 %r5, [%rd6];\nadd.u32 %r5, %r5, 1;\n" + use,
            "ld.global.u32 %r5, [%rd5];\nadd.u32 %r5, %r5, 1;\n" + use);
    planted("initcheck", "never written", slot + "ld.shared.u32 %r5, [%s];\nst.global.u32 [%rd7], %r5; // BUG",
            slot + "st.shared.u32 [%s], %r1;\nld.shared.u32 %r5, [%s];\nst.global.u32 [%rd7], %r5;", shared);
    planted("initcheck", "never written", "add.u32 %r9, %r8, 1;\nst.global.u32 [%rd7], %r9; // BUG",
            "mov.u32 %r8, 1;\nadd.u32 %r9, %r8, 1;\nst.global.u32 [%rd7], %r9;");
    planted("initcheck", "never written",
            "st.local.u32 [l], %r1;\nld.local.v2.u32 {%r5, %r6}, [l];\nst.global.u32 [%rd7], %r6; // BUG",
            "st.local.u32 [l], %r1;\nld.local.v2.u32 {%r5, %r6}, [l];\nst.global.u32 [%rd7], %r5;", shared);
    planted("initcheck", "never written",
            "ld.global.u32 %r5, [%rd6];\nmul.wide.u32 %rd8, %r5, 4;\nadd.u64 %rd8, %rd8, %rd1;\nld.global.u32 %r6, "
            "[%rd8]; // BUG",
            "mul.wide.u32 %rd8, %r1, 4;\nadd.u64 %rd8, %rd8, %rd1;\nld.global.u32 %r6, [%rd8];");
    // written on one path only; read where it was written, or everywhere
    planted("initcheck", "never written",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 mov.u32 %r5, 1;\nst.global.u32 [%rd7], %r5; // BUG",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 mov.u32 %r5, 1;\n@%p1 st.global.u32 [%rd7], %r5;");
    planted("initcheck", "never written",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 mov.u32 %r5, 1;\nshfl.sync.bfly.b32 %r6, %r5, 16, 31, -1;\nst.global.u32 "
            "[%rd7], %r6; // BUG",
            "mov.u32 %r5, 1;\nshfl.sync.bfly.b32 %r6, %r5, 16, 31, -1;\nst.global.u32 [%rd7], %r6;");
    // copies through local memory are no use
    planted(
        "initcheck", "never written",
        "ld.global.u32 %r5, [%rd6];\nst.local.u32 [l], %r5;\nld.local.u32 %r6, [l];\nst.global.u32 [%rd7], %r6; // BUG",
        "ld.global.u32 %r5, [%rd6];\nst.local.u32 [l], %r5;\nld.local.u32 %r6, [l];\nmov.u32 %r7, %r6;", shared);
}

TEST_CASE("synccheck") {
    planted("synccheck", "lanes", "setp.lt.u32 %p1, %r1, 10;\n@%p1 bra A;\nbar.sync 0;\nbra B;\nA:\nbar.sync 1;\nB:",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 bra A;\nmov.u32 %r5, 1;\nbra B;\nA:\nmov.u32 %r5, 2;\nB:\nbar.sync 0;");
    planted("synccheck", "not all come",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 bra A;\nshfl.sync.bfly.b32 %r5, %r1, 1, 31, -1;\nbra "
            "B;\nA:\nshfl.sync.bfly.b32 %r5, %r1, 1, 31, -1;\nB:",
            "shfl.sync.bfly.b32 %r5, %r1, 1, 31, -1;");
    planted("synccheck", "not in its own member mask", "shfl.sync.bfly.b32 %r5, %r1, 1, 31, 0xffff; // BUG",
            "shfl.sync.bfly.b32 %r5, %r1, 1, 31, 0xffffffff;");
    planted("synccheck", "have ended",
            "setp.lt.u32 %p1, %r1, 10;\n@%p1 exit;\nsetp.ge.u32 %p1, %r1, 32;\n@%p1 exit;\nvote.sync.ballot.b32 %r5, "
            "%p1, -1; // BUG",
            "setp.ge.u32 %p1, %r1, 32;\n@%p1 exit;\nvote.sync.ballot.b32 %r5, %p1, -1;");
    planted("synccheck", "ended", "setp.lt.u32 %p1, %r1, 32;\n@%p1 exit;\nbar.sync 0;",
            "bar.sync 0;\nsetp.lt.u32 %p1, %r1, 32;\n@%p1 exit;");
    planted("synccheck", "no multiple of 32", "bar.sync 1, 40; // BUG", "bar.sync 1, 64;");
    planted(
        "synccheck", "expects",
        "setp.lt.u32 %p1, %r1, 32;\n@%p1 bra A;\nbar.sync 1, 96;\nbra B;\nA:\nbar.sync 1, 64;\nB:", "bar.sync 1, 64;");
}

TEST_CASE("deadlocks are told with who waits for what") {
    planted("deadlock", "barrier 1 with 32 of 64",
            "setp.lt.u32 %p1, %r1, 32;\n@%p1 bra A;\nbar.sync 1, 64;\nbra B;\nA:\nbar.sync 2, 64;\nB:",
            "bar.sync 1, 64;\nbar.sync 2, 64;");
    planted("deadlock", "loops at line",
            "W:\nld.volatile.global.u32 %r5, [%rd1];\nsetp.ne.u32 %p1, %r5, 8;\n@%p1 bra W;",
            "W:\nld.volatile.global.u32 %r5, [%rd1];\nsetp.ne.u32 %p1, %r5, 7;\n@%p1 bra W;");
}

TEST_CASE("launches that cannot be") {
    auto device = make_device();
    auto module = device->load(module_of(R"(
.visible .entry k(.param .u64 a, .param .u32 b)
.maxntid 128, 1, 1
{
    .shared .b8 s[1024];
    .reg .b32 %r;
    mov.u32 %r, s;
    ret;
}
)"));
    REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
    auto kernel = (*module)->kernel("k");
    REQUIRE(kernel.ok());
    const auto error = [&](const LaunchConfig& config, std::initializer_list<KernelArg> args) {
        const auto status = device->stream().launch(**kernel, config, args);
        return status.ok() ? std::string("ok") : status.error().message;
    };
    const std::initializer_list<KernelArg> good = {std::uint64_t{0}, u32{1}};
    CHECK(error({.grid = {1}, .block = {128}}, good) == "ok");
    CHECK(error({.grid = {1}, .block = {32}}, {std::uint64_t{0}}).find("2 parameters, 1 arguments") !=
          std::string::npos);
    CHECK(
        error({.grid = {1}, .block = {32}}, {std::uint64_t{0}, std::uint64_t{1}}).find("has 4 bytes, the argument 8") !=
        std::string::npos);
    CHECK(error({.grid = {1}, .block = {160}}, good).find("over the kernel's limit of 128") != std::string::npos);
    CHECK(error({.grid = {0}, .block = {32}}, good).find("is empty") != std::string::npos);
    CHECK(error({.grid = {1}, .block = {32}, .shared_bytes = 1u << 20}, good).find("over the device's limit") !=
          std::string::npos);
    CHECK(error({.grid = {1, 70000}, .block = {32}}, good).find("over the limit") != std::string::npos);
    CHECK((*module)->kernel("other").error().message == "no kernel 'other' in the module; it has: k");
    CHECK(device->load("nonsense").ok() == false);
}

TEST_CASE("streams: copies are checked, graphs replay, events measure") {
    auto device = make_device();
    Stream& stream = device->stream();
    const Buffer a = upload(*device, std::vector<u32>(16, 3));
    auto b = device->allocate(64);
    REQUIRE(b.ok());
    CHECK(!stream.copy(b->address(), a.address(), 65).ok());
    CHECK(!stream.copy_to_device(1234, "x", 1).ok());
    REQUIRE(stream.begin_capture().ok());
    CHECK(stream.copy(b->address(), a.address(), 64).ok());
    CHECK(stream.fill(b->address(), 1, 8).ok());
    auto graph = stream.end_capture();
    REQUIRE(graph.ok());
    CHECK(stream.launch(**graph).ok());
    const auto got = download<u32>(*device, *b, 16);
    CHECK(got[1] == 0x01010101);
    CHECK(got[2] == 3);
    auto first = device->create_event(), second = device->create_event();
    CHECK(!(*first)->elapsed_ms(**second).ok());
    CHECK(stream.record(**first).ok());
    CHECK(stream.record(**second).ok());
    CHECK((*first)->elapsed_ms(**second).ok());
    const auto info = device->memory_info();
    CHECK(info->total_bytes - info->free_bytes == 128);
    CHECK(!device->allocate(std::size_t{1} << 40).ok());
    CHECK(!device->allocate(0).ok());
}
