#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>
#include <numeric>

using namespace ptxgen::test;
using ptxgen::Status;

namespace {

using u32 = std::uint32_t;

/// k(in: 64 words, out: 64 words) with 64 threads; s: 256 bytes for data, mb: an mbarrier.
Status run(const std::string& body, std::vector<u32>* out) {
    auto device = make_device();
    auto module = device->load(module_of(R"(.visible .entry k(.param .u64 in, .param .u64 out)
{
    .shared .align 16 .b8 s[256];
    .shared .align 8 .b64 mb;
    .reg .pred %p<4>;
    .reg .b32 %r<10>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd3, %r1, 4;
    add.u64 %rd3, %rd2, %rd3;
    shl.b32 %r2, %r1, 2;
    mov.u32 %r3, s;
    add.u32 %r3, %r3, %r2;
    mov.u32 %r4, mb;
    setp.eq.u32 %p1, %r1, 0;
)" + body + "\n    ret;\n}\n"));
    REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
    auto kernel = (*module)->kernel("k");
    REQUIRE_MESSAGE(kernel.ok(), (kernel.ok() ? "" : kernel.error().message));
    std::vector<u32> data(64);
    std::iota(data.begin(), data.end(), 100u);
    const Buffer in = upload(*device, data), result = upload(*device, std::vector<u32>(64, 0));
    const auto status =
        device->stream().launch(**kernel, {.grid = {2}, .block = {64}}, {in.address(), result.address()});
    *out = download<u32>(*device, result, 64);
    return status;
}
std::string message(const Status& s) { return s.ok() ? "" : s.error().message; }

const std::string init = "@%p1 mbarrier.init.shared.b64 [%r4], 1;\nfence.mbarrier_init.release.cluster;\nbar.sync 0;\n";
const std::string issue =
    "@%p1 mbarrier.arrive.expect_tx.shared.b64 %rd5, [%r4], 256;\n"
    "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%rd1], 256, [%r4];\n";
const std::string wait = "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0;\n@!%p2 bra WAIT;\n";
const std::string use = "ld.shared.u32 %r5, [%r3];\nst.global.u32 [%rd3], %r5;\n";

} // namespace

TEST_CASE("a bulk copy arrives through its mbarrier") {
    std::vector<u32> out;
    const auto status = run(init + issue + wait + use, &out);
    REQUIRE_MESSAGE(status.ok(), message(status));
    for (u32 k = 0; k < 64; ++k) CHECK(out[k] == 100 + k);
    // the same without the wait reads what has not arrived
    CHECK(message(run(init + issue + use, &out)).starts_with("initcheck"));
    // bytes that never come
    const auto hang = run(init + "@%p1 mbarrier.arrive.expect_tx.shared.b64 %rd5, [%r4], 256;\n" + wait + use, &out);
    CHECK_MESSAGE(message(hang).starts_with("deadlock"), message(hang));
    const auto missing = run(issue + wait, &out);
    CHECK_MESSAGE(message(missing).starts_with("asynccheck: there is no mbarrier"), message(missing));
    const auto outside = run(
        init + "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%rd1], 512, [%r4];", &out);
    CHECK_MESSAGE(message(outside).starts_with("memcheck: a bulk copy of 512 bytes"), message(outside));
}

TEST_CASE("phases of an mbarrier count arrivals and bytes") {
    std::vector<u32> out;
    // 64 arrivals complete a phase; the parity of the phase before is then free to pass
    const auto status = run(
        "@%p1 mbarrier.init.shared.b64 [%r4], 64;\nbar.sync 0;\n"
        "mbarrier.arrive.shared.b64 %rd5, [%r4];\nW1:\nmbarrier.test_wait.shared.b64 %p2, [%r4], %rd5;\n@!%p2 bra W1;\n"
        "mbarrier.arrive.shared.b64 %rd6, [%r4];\nW2:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], 1;\n@!%p2 bra "
        "W2;\n"
        "mbarrier.pending_count.b64 %r5, %rd6;\nst.global.u32 [%rd3], %r5;",
        &out);
    REQUIRE_MESSAGE(status.ok(), message(status));
    std::sort(out.begin(), out.end()); // the i-th to arrive saw 64 - i pending
    for (u32 k = 0; k < 64; ++k) CHECK(out[k] == k + 1);
    const auto many = run(
        "@%p1 mbarrier.init.shared.b64 [%r4], 2;\nbar.sync 0;\n@%p1 mbarrier.arrive.shared.b64 %rd5, [%r4], 3;", &out);
    CHECK_MESSAGE(message(many).starts_with("asynccheck: 3 arrivals"), message(many));
}

TEST_CASE("a bulk copy writes shared memory back") {
    std::vector<u32> out;
    const auto status = run("st.shared.u32 [%r3], %r1;\nfence.proxy.async.shared::cta;\nbar.sync 0;\n@%p1 "
                            "cp.async.bulk.global.shared::cta.bulk_group [%rd2], [s], 256;\n"
                            "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;",
                            &out);
    REQUIRE_MESSAGE(status.ok(), message(status));
    for (u32 k = 0; k < 64; ++k) CHECK(out[k] == k);
}
