#include "runtime/emulator/choices.hpp"
#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>

using namespace ptxgen::test;
using ptxgen::Status;
using ptxgen::runtime::emulator::ChoiceKind;
using ptxgen::runtime::emulator::Choices;

namespace {

using u32 = std::uint32_t;

std::string message(const Status& s) { return s.ok() ? "" : s.error().message; }

/// k(in: 1024 words from 1000 on, out: 1024 words); s: 1 KiB of shared memory at %r3, mb: an mbarrier at %r4; %r1 the
/// thread, %r2 the rank in the cluster, %r5 the cluster's size, %r6 the CTA, %p1 the first thread.
std::string kernel_text(const std::string& body, const std::string& directives = "") {
    return module_of(".visible .entry k(.param .u64 in, .param .u64 out)\n" + directives + R"(
{
    .shared .align 128 .b8 s[1024];
    .shared .align 8 .b64 mb;
    .reg .pred %p<8>;
    .reg .b16 %h<4>;
    .reg .b32 %r<30>;
    .reg .b64 %rd<20>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %cluster_ctarank;
    mov.u32 %r3, s;
    mov.u32 %r4, mb;
    mov.u32 %r5, %cluster_nctarank;
    mov.u32 %r6, %ctaid.x;
    setp.eq.u32 %p1, %r1, 0;
)" + body + "\n    ret;\n}\n");
}

struct Outcome {
    Status status;
    std::vector<u32> out;
    std::vector<Finding> findings;
};

class Runner {
public:
    explicit Runner(const std::string& text, unsigned threads = 1, u32 resident = 0) {
        EmulatorOptions options;
        options.target = {100, ptxgen::TargetVariant::arch};
        options.threads = threads;
        options.memory_bytes = 64 << 20;
        options.resident = resident;
        options.stall_seconds = 5;
        device_ = create_emulator(options);
        auto module = device_->load(text);
        REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
        module_ = std::move(*module);
        auto kernel = module_->kernel("k");
        REQUIRE_MESSAGE(kernel.ok(), (kernel.ok() ? "" : kernel.error().message));
        kernel_ = *kernel;
        std::vector<u32> data(1024);
        for (u32 k = 0; k < 1024; ++k) data[k] = 1000 + k;
        in_ = upload(*device_, data);
    }
    Outcome run(const LaunchConfig& config) {
        device_->clear_findings();
        const Buffer out = upload(*device_, std::vector<u32>(1024, 0));
        Status status = device_->stream().launch(*kernel_, config, {in_.address(), out.address()});
        return {status, download<u32>(*device_, out, 1024), device_->findings()};
    }
    /// In order and under `seeds` random and adversarial schedules; `check` gets what each wrote.
    void always(const LaunchConfig& config, int seeds, const std::function<void(const std::vector<u32>&)>& check) {
        for (int seed = 0; seed <= seeds; ++seed) {
            device_->set_schedule(seed == 0  ? Schedule::in_order
                                  : seed % 2 ? Schedule::random
                                             : Schedule::adversarial,
                                  static_cast<std::uint64_t>(seed));
            const Outcome r = run(config);
            REQUIRE_MESSAGE(r.status.ok(), message(r.status));
            check(r.out);
        }
    }
    EmulatedDevice& device() { return *device_; }

private:
    std::unique_ptr<EmulatedDevice> device_;
    std::unique_ptr<LoadedModule> module_;
    Kernel* kernel_ = nullptr;
    Buffer in_;
};

const std::string meet = "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n";
/// out[%r6 * ntid + tid] = %r10
const std::string put = "mov.u32 %r20, %ntid.x;\nmad.lo.u32 %r20, %r6, %r20, %r1;\nmul.wide.u32 %rd9, %r20, 4;\n"
                        "add.u64 %rd9, %rd9, %rd2;\nst.global.u32 [%rd9], %r10;\n";
/// %r8: this thread's word of s
const std::string word = "mad.lo.u32 %r8, %r1, 4, %r3;\n";
/// %r7: the next rank
const std::string next = "add.u32 %r7, %r2, 1;\nrem.u32 %r7, %r7, %r5;\n";

} // namespace

TEST_CASE("special registers of clusters") {
    // ctaid.z * 1e6 and so on: position in the cluster, rank, cluster's id
    const std::string body = R"(
    mov.u32 %r10, %cluster_ctaid.x; mov.u32 %r11, %cluster_ctaid.y; mov.u32 %r12, %cluster_ctaid.z;
    mov.u32 %r13, %clusterid.x; mov.u32 %r14, %clusterid.y; mov.u32 %r15, %clusterid.z;
    mad.lo.u32 %r10, %r10, 10, %r11; mad.lo.u32 %r10, %r10, 10, %r12;
    mad.lo.u32 %r10, %r10, 10, %r13; mad.lo.u32 %r10, %r10, 10, %r14; mad.lo.u32 %r10, %r10, 10, %r15;
    mad.lo.u32 %r10, %r10, 10, %r2; mad.lo.u32 %r10, %r10, 10, %r5;
    mov.u32 %r11, %nclusterid.x; mad.lo.u32 %r10, %r10, 10, %r11;
    mov.u32 %r11, %ctaid.y; mov.u32 %r12, %ctaid.z; mad.lo.u32 %r11, %r12, 4, %r11; mad.lo.u32 %r6, %r11, 6, %r6;
)" + put;
    Runner runner(kernel_text(body));
    const LaunchConfig config{.grid = {6, 4, 2}, .block = {1}, .cluster = Dim3{3, 2, 1}};
    runner.always(config, 2, [](const auto& out) {
        for (u32 z = 0; z < 2; ++z)
            for (u32 y = 0; y < 4; ++y)
                for (u32 x = 0; x < 6; ++x) {
                    const u32 rank = x % 3 + 3 * (y % 2);
                    const u32 expected =
                        ((((((((x % 3) * 10 + y % 2) * 10 + 0) * 10 + x / 3) * 10 + y / 2) * 10 + z) * 10 + rank) * 10 +
                         6) *
                            10 +
                        2;
                    CHECK(out[x + 6 * (y + 4 * z)] == expected);
                }
    });
}

TEST_CASE("CTAs of a cluster read, write and add to one another's shared memory") {
    // each thread writes its CTA and number into the next CTA, by 32-bit and by generic addresses
    const std::string fill = word + next + "mad.lo.u32 %r9, %r6, 1000, %r1;\n";
    const std::string read = meet + "ld.shared.u32 %r10, [%r8];\n" + meet + put;
    const LaunchConfig config{.grid = {12}, .block = {64}, .cluster = Dim3{4}};
    const auto check = [](const auto& out) {
        for (u32 cta = 0; cta < 12; ++cta)
            for (u32 t = 0; t < 64; ++t) CHECK(out[cta * 64 + t] == (cta / 4 * 4 + (cta + 3) % 4) * 1000 + t);
    };
    for (const std::string& store : std::vector<std::string>{
             "mapa.shared::cluster.u32 %r11, %r8, %r7;\nst.shared::cluster.u32 [%r11], %r9;\n",
             "cvt.u64.u32 %rd3, %r8;\ncvta.shared.u64 %rd3, %rd3;\nmapa.u64 %rd4, %rd3, %r7;\nst.u32 [%rd4], %r9;\n",
             "st.shared.u32 [%r8], 0;\n" + meet +
                 "mapa.shared::cluster.u32 %r11, %r8, %r7;\nred.shared::cluster.add.u32 [%r11], %r9;\n",
         }) {
        Runner runner(kernel_text(fill + meet + store + read), 1);
        runner.always(config, 6, check);
        Runner parallel(kernel_text(fill + meet + store + read), 0);
        const auto r = parallel.run(config);
        REQUIRE_MESSAGE(r.status.ok(), message(r.status));
        check(r.out);
    }
    // reading from the next one
    for (const char* load : {"mapa.shared::cluster.u32 %r11, %r8, %r7;\nld.shared::cluster.u32 %r10, [%r11];\n",
                             "cvt.u64.u32 %rd3, %r8;\ncvta.shared.u64 %rd3, %rd3;\nmapa.u64 %rd4, %rd3, %r7;\n"
                             "ld.u32 %r10, [%rd4];\n"}) {
        Runner runner(kernel_text(fill + "st.shared.u32 [%r8], %r9;\n" + meet + load + meet + put));
        runner.always(config, 6, [](const auto& out) {
            for (u32 cta = 0; cta < 12; ++cta)
                for (u32 t = 0; t < 64; ++t) CHECK(out[cta * 64 + t] == (cta / 4 * 4 + (cta + 1) % 4) * 1000 + t);
        });
    }
}

TEST_CASE("addresses of a cluster's shared memory tell whose they are") {
    const std::string body = word + next + R"(
    mapa.shared::cluster.u32 %r11, %r8, %r7;
    getctarank.shared::cluster.u32 %r12, %r11;
    getctarank.shared::cluster.u32 %r13, %r8;
    mapa.shared::cluster.u32 %r14, %r11, %r2;
    cvt.u64.u32 %rd3, %r8; cvta.shared.u64 %rd3, %rd3; mapa.u64 %rd4, %rd3, %r7; getctarank.u64 %r15, %rd4;
    mov.u32 %r10, 0;
    setp.eq.u32 %p2, %r12, %r7; @%p2 or.b32 %r10, %r10, 1;
    setp.eq.u32 %p2, %r13, %r2; @%p2 or.b32 %r10, %r10, 2;
    setp.eq.u32 %p2, %r14, %r8; @%p2 or.b32 %r10, %r10, 4;
    setp.eq.u32 %p2, %r15, %r7; @%p2 or.b32 %r10, %r10, 8;
    isspacep.shared %p2, %rd4; @%p2 or.b32 %r10, %r10, 16;
    isspacep.shared::cluster %p2, %rd4; @%p2 or.b32 %r10, %r10, 32;
    isspacep.shared::cta %p2, %rd3; @%p2 or.b32 %r10, %r10, 64;
    isspacep.shared::cluster %p2, %rd3; @%p2 or.b32 %r10, %r10, 128;
    isspacep.global %p2, %rd4; @%p2 or.b32 %r10, %r10, 256;
    isspacep.global %p2, %rd2; @%p2 or.b32 %r10, %r10, 512;
    isspacep.shared::cluster %p2, %rd2; @%p2 or.b32 %r10, %r10, 1024;
)" + put;
    Runner runner(kernel_text(body));
    runner.always({.grid = {8}, .block = {32}, .cluster = Dim3{8}}, 2, [](const auto& out) {
        for (u32 k = 0; k < 256; ++k) CHECK(out[k] == 1 + 2 + 4 + 8 + 32 + 64 + 128 + 512);
    });
}

TEST_CASE("the cluster's barrier counts all threads that have not ended") {
    // rounds of a counter in global memory that every thread reads between barriers: all see all additions
    const auto rounds = [](const std::string& arrive, const std::string& wait) {
        return "mov.u32 %r10, 0;\nmov.u32 %r15, 0;\nLOOP:\n@%p1 red.global.add.u32 [%rd2], 1;\n" + arrive + wait +
               "ld.volatile.global.u32 %r11, [%rd2];\nadd.u32 %r10, %r10, %r11;\n" + arrive + wait +
               "add.u32 %r15, %r15, 1;\nsetp.lt.u32 %p2, %r15, 3;\n@%p2 bra LOOP;\nadd.u32 %r6, %r6, 1;\n" + put;
    };
    const LaunchConfig config{.grid = {4}, .block = {96}, .cluster = Dim3{4}};
    for (const auto& [arrive, wait] :
         {std::pair{"barrier.cluster.arrive.aligned;\n", "barrier.cluster.wait.aligned;\n"},
          std::pair{"barrier.cluster.arrive;\n", "barrier.cluster.wait;\n"},
          std::pair{"barrier.cluster.arrive.release;\n", "barrier.cluster.wait.acquire;\n"},
          std::pair{"fence.acq_rel.cluster;\nbarrier.cluster.arrive.relaxed.aligned;\n",
                    "barrier.cluster.wait.acquire.aligned;\n"}}) {
        Runner runner(kernel_text(rounds(arrive, wait)));
        runner.always(config, 6, [](const auto& out) {
            CHECK(out[0] == 12);
            for (u32 k = 96; k < 5 * 96; ++k) CHECK(out[k] == 4 + 8 + 12);
        });
    }
    // a CTA ends, and one thread of another; one of a third ends having arrived
    Runner ended(kernel_text("setp.eq.u32 %p2, %r2, 1;\n@%p2 exit;\nsetp.eq.u32 %p2, %r2, 2;\nand.pred %p3, %p2, %p1;\n"
                             "@%p3 exit;\nbarrier.cluster.arrive;\nsetp.eq.u32 %p2, %r2, 3;\nand.pred %p3, %p2, %p1;\n"
                             "@%p3 exit;\nbarrier.cluster.wait;\nmov.u32 %r10, 1;\n" +
                             put));
    ended.always(config, 10, [](const auto& out) {
        u32 sum = 0;
        for (const u32 x : out) sum += x;
        CHECK(sum == 3 * 96 - 2);
    });
}

TEST_CASE("mbarriers and bulk copies reach other CTAs of the cluster") {
    const LaunchConfig config{.grid = {8}, .block = {64}, .cluster = Dim3{4}};
    const std::string wait =
        "W:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r4], 0;\n@!%p2 bra W;\n";
    // every thread of the cluster arrives at the mbarrier of rank 0, which waits for them
    Runner arrive(kernel_text("mov.u32 %r11, %ntid.x;\nmul.lo.u32 %r11, %r11, %r5;\n"
                              "@%p1 mbarrier.init.shared.b64 [%r4], %r11;\nfence.mbarrier_init.release.cluster;\n" +
                              meet +
                              "mapa.shared::cluster.u32 %r12, %r4, 0;\n"
                              "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r12];\n"
                              "setp.ne.u32 %p3, %r2, 0;\n@%p3 bra DONE;\n" +
                              wait + "mov.u32 %r10, 7;\n" + put + "DONE:\n" + meet));
    arrive.always(config, 10, [](const auto& out) {
        for (u32 k = 0; k < 512; ++k) CHECK(out[k] == (k / 64 % 4 == 0 ? 7 : 0));
    });
    const std::string init = "@%p1 mbarrier.init.shared.b64 [%r4], 1;\nfence.mbarrier_init.release.cluster;\n"
                             "@%p1 mbarrier.arrive.expect_tx.relaxed.cluster.shared::cta.b64 %rd5, [%r4], 256;\n" +
                             meet;
    const std::string use = wait + word + "ld.shared.u32 %r10, [%r8];\n" + put + meet;
    // rank 0 sends 64 words to all; CTAs 0 and 2 of the mask alone; each CTA to the next, from global and from shared
    const std::string source = "mul.wide.u32 %rd6, %r2, 256;\nadd.u64 %rd6, %rd6, %rd1;\n";
    const std::string rank0 = "setp.eq.and.u32 %p3, %r2, 0, %p1;\n";
    Runner multicast(kernel_text(init + rank0 +
                                 "mov.u16 %h1, 15;\n@%p3 cp.async.bulk.shared::cluster.global.mbarrier::"
                                 "complete_tx::bytes.multicast::cluster [%r3], [%rd1], 256, [%r4], %h1;\n" +
                                 use));
    multicast.always(config, 10, [](const auto& out) {
        for (u32 k = 0; k < 512; ++k) CHECK(out[k] == 1000 + k % 64);
    });
    Runner pair(kernel_text(init + rank0 +
                            "mov.u16 %h1, 5;\n@%p3 cp.async.bulk.shared::cluster.global.mbarrier::"
                            "complete_tx::bytes.multicast::cluster [%r3], [%rd1], 256, [%r4], %h1;\n"
                            "and.b32 %r13, %r2, 1;\nsetp.ne.u32 %p4, %r13, 0;\n@%p4 bra OUT;\n" +
                            wait + word + "ld.shared.u32 %r10, [%r8];\n" + put + "OUT:\n" + meet));
    pair.always(config, 10, [](const auto& out) {
        for (u32 k = 0; k < 512; ++k) CHECK(out[k] == (k / 64 % 2 ? 0 : 1000 + k % 64));
    });
    const std::string there =
        next + "mapa.shared::cluster.u32 %r11, %r3, %r7;\nmapa.shared::cluster.u32 %r12, %r4, %r7;\n";
    Runner global(kernel_text(init + there + source +
                              "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx"
                              "::bytes [%r11], [%rd6], 256, [%r12];\n" +
                              use));
    const auto from_before = [](const auto& out) {
        for (u32 k = 0; k < 512; ++k) CHECK(out[k] == 1000 + (k / 64 + 3) % 4 * 64 + k % 64);
    };
    global.always(config, 10, from_before);
    Runner own(
        kernel_text(init + there + source +
                    "mad.lo.u32 %r8, %r1, 4, %r3;\nmul.wide.u32 %rd7, %r1, 4;\nadd.u64 %rd7, %rd7, %rd6;\n"
                    "ld.global.u32 %r10, [%rd7];\nst.shared.u32 [%r8+512], %r10;\nfence.proxy.async.shared::cta;\n"
                    "bar.sync 0;\nadd.u32 %r13, %r3, 512;\n@%p1 cp.async.bulk.shared::cluster.shared::cta."
                    "mbarrier::complete_tx::bytes [%r11], [%r13], 256, [%r12];\n" +
                    use));
    own.always(config, 10, from_before);
}

TEST_CASE("what clusters do wrong is found") {
    const LaunchConfig config{.grid = {4}, .block = {64}, .cluster = Dim3{4}};
    const auto finding = [&](const std::string& body, const std::string& rule, const std::string& part,
                             const std::string& line) {
        Runner runner(kernel_text(body));
        const auto r = runner.run(config);
        REQUIRE_MESSAGE(!r.status.ok(), body);
        CHECK_MESSAGE(message(r.status).starts_with(rule + ": "), message(r.status));
        CHECK_MESSAGE(message(r.status).find(part) != std::string::npos, message(r.status));
        REQUIRE(!r.findings.empty());
        CHECK_MESSAGE(r.findings.front().instruction.find(line) != std::string::npos, message(r.status));
    };
    const std::string store = "mapa.shared::cluster.u32 %r11, %r3, %r7;\nst.shared::cluster.u32 [%r11], 1;\n";
    finding(next + store, "memcheck", "rank 1, which has not started", "st.shared::cluster");
    finding(next + meet + "setp.eq.u32 %p2, %r2, 1;\n@%p2 exit;\nnanosleep.u32 100;\n" + store, "memcheck",
            "rank 1, which has ended", "st.shared::cluster");
    finding(meet + "mapa.shared::cluster.u32 %r11, %r3, 4;\n", "memcheck", "no CTA with rank 4", "mapa");
    finding(next + meet + "mapa.shared::cluster.u32 %r11, %r3, %r7;\nst.shared.u32 [%r11], 1;\n", "memcheck",
            "there are 1040 bytes", "st.shared.u32");
    finding(next + meet + "mapa.shared::cluster.u32 %r11, %r3, %r7;\nld.shared::cluster.u32 %r10, [%r11];\n" + put,
            "initcheck", "never written", "st.global");
    finding("barrier.cluster.wait;\n", "synccheck", "waits without having arrived", "barrier.cluster.wait");
    finding("barrier.cluster.arrive;\nbarrier.cluster.arrive;\n", "synccheck", "arrives again",
            "barrier.cluster.arrive");
    finding("setp.eq.u32 %p2, %r2, 1;\n@%p2 bra OTHER;\n" + meet + "bra END;\nOTHER:\nbar.sync 1, 96;\nEND:",
            "deadlock", "the cluster's barrier with", "barrier.cluster.wait");
    finding("@%p1 mbarrier.init.shared.b64 [%r4], 1;\n" + meet + next +
                "mapa.shared::cluster.u32 %r11, %r3, %r7;\n@%p1 cp.async.bulk.shared::cluster.global.mbarrier::"
                "complete_tx::bytes [%r11], [%rd1], 256, [%r4];\n",
            "asynccheck", "they must be in the same CTA", "cp.async.bulk");
    finding(meet + "mapa.shared::cluster.u32 %r12, %r4, 0;\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, "
                   "[%r12];\n",
            "asynccheck", "there is no mbarrier", "mbarrier.arrive");
}

TEST_CASE("a kernel's directives say how its clusters are") {
    const std::string body = "mov.u32 %r10, %r5;\nmov.u32 %r11, %is_explicit_cluster;\n" + put;
    const auto run = [&](const std::string& directives, const LaunchConfig& config) {
        Runner runner(kernel_text("mov.u32 %r10, %r5;\n" + put, directives));
        const auto r = runner.run(config);
        return r.status.ok() ? std::to_string(r.out[0]) : message(r.status);
    };
    const LaunchConfig plain{.grid = {8}, .block = {32}};
    CHECK(run("", plain) == "1");
    CHECK(run(".reqnctapercluster 4, 1, 1", plain) == "4");
    CHECK(run(".explicitcluster\n.reqnctapercluster 2", plain) == "2");
    CHECK(run(".explicitcluster", plain).find(".explicitcluster: the launch must say") != std::string::npos);
    CHECK(run(".explicitcluster", {.grid = {8}, .block = {32}, .cluster = Dim3{8}}) == "8");
    CHECK(run(".reqnctapercluster 4", {.grid = {8}, .block = {32}, .cluster = Dim3{2}}).find("is (4,1,1)") !=
          std::string::npos);
    CHECK(run(".maxclusterrank 2", {.grid = {8}, .block = {32}, .cluster = Dim3{4}}).find(".maxclusterrank of 2") !=
          std::string::npos);
    CHECK(run(".reqnctapercluster 3", plain).find("does not divide the grid") != std::string::npos);
    Runner small(kernel_text(body), 1, 2);
    CHECK(message(small.run({.grid = {8}, .block = {32}, .cluster = Dim3{4}}).status)
              .find("clusters of 4 CTAs cannot run when only 2") != std::string::npos);
    CHECK(small.run({.grid = {8}, .block = {32}, .cluster = Dim3{2}}).status.ok());
}
