#include "runtime/emulator/choices.hpp"
#include "tests/runtime/emulator/harness.hpp"

#include <algorithm>
#include <numeric>
#include <set>

using namespace ptxgen::test;
using ptxgen::Status;
using ptxgen::runtime::emulator::ChoiceKind;
using ptxgen::runtime::emulator::Choices;
using ptxgen::runtime::emulator::Points;

namespace {

using u32 = std::uint32_t;

struct Outcome {
    Status status;
    std::vector<u32> out;
};

/// k(in: 64 words from 100 on, out: 64 words); s: 256 bytes of shared memory, mb: an mbarrier.
class Runner {
public:
    Runner(const std::string& body, u32 resident) {
        EmulatorOptions options;
        options.target = {100, ptxgen::TargetVariant::arch};
        options.threads = 1;
        options.memory_bytes = 64 << 20;
        options.resident = resident;
        device_ = create_emulator(options);
        auto module = device_->load(module_of(R"(.visible .entry k(.param .u64 in, .param .u64 out)
{
    .shared .align 16 .b8 s[256];
    .shared .align 8 .b64 mb;
    .reg .pred %p<4>;
    .reg .b32 %r<20>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [in];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r4, mb;
    setp.eq.u32 %p1, %r1, 0;
)" + body + "\n    ret;\n}\n"));
        REQUIRE_MESSAGE(module.ok(), (module.ok() ? "" : module.error().message));
        module_ = std::move(*module);
        kernel_ = *module_->kernel("k");
        std::vector<u32> data(64);
        std::iota(data.begin(), data.end(), 100u);
        in_ = upload(*device_, data);
    }
    Outcome run(const LaunchConfig& config) {
        const Buffer out = upload(*device_, std::vector<u32>(64, 0));
        Status status = device_->stream().launch(*kernel_, config, {in_.address(), out.address()});
        return {status, download<u32>(*device_, out, 64)};
    }
    EmulatedDevice& device() { return *device_; }

private:
    std::unique_ptr<EmulatedDevice> device_;
    std::unique_ptr<LoadedModule> module_;
    Kernel* kernel_ = nullptr;
    Buffer in_;
};
std::string message(const Status& s) { return s.ok() ? "" : s.error().message; }

/// Every CTA's first thread draws a ticket and writes its CTA there.
const std::string tickets = "@!%p1 bra END;\natom.global.add.u32 %r5, [%rd2], 1;\nmul.wide.u32 %rd3, %r5, 4;\n"
                            "add.u64 %rd3, %rd3, %rd2;\nst.global.u32 [%rd3+4], %r2;\nEND:";

} // namespace

TEST_CASE("a seed reproduces a run, and seeds differ") {
    Runner runner(tickets, 4);
    const LaunchConfig config{.grid = {12}, .block = {64}};
    const auto in_order = runner.run(config);
    REQUIRE_MESSAGE(in_order.status.ok(), message(in_order.status));
    for (u32 k = 0; k < 12; ++k) CHECK(in_order.out[k + 1] == k);
    for (const Schedule schedule : {Schedule::random, Schedule::adversarial}) {
        std::set<std::vector<u32>> orders;
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            runner.device().set_schedule(schedule, seed);
            const auto once = runner.run(config);
            REQUIRE_MESSAGE(once.status.ok(), message(once.status));
            runner.device().set_schedule(schedule, seed);
            CHECK(runner.run(config).out == once.out);
            orders.insert(once.out);
            auto ctas = std::vector<u32>(once.out.begin() + 1, once.out.begin() + 13);
            std::sort(ctas.begin(), ctas.end());
            for (u32 k = 0; k < 12; ++k) CHECK(ctas[k] == k);
        }
        CHECK(orders.size() > 10);
    }
}

TEST_CASE("only so many CTAs are resident") {
    // the number of CTAs between their first and last instruction, as seen by each
    const std::string body = "@!%p1 bra END;\natom.global.add.u32 %r5, [%rd2], 1;\nadd.u32 %r5, %r5, 1;\n"
                             "red.global.max.u32 [%rd2+4], %r5;\nfence.acq_rel.gpu;\nfence.acq_rel.gpu;\n"
                             "red.global.add.u32 [%rd2], -1;\nEND:";
    for (const u32 resident : {1u, 2u, 3u}) {
        Runner runner(body, resident);
        u32 most = 0;
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            runner.device().set_schedule(seed % 2 ? Schedule::random : Schedule::adversarial, seed);
            const auto r = runner.run({.grid = {9}, .block = {32}});
            REQUIRE_MESSAGE(r.status.ok(), message(r.status));
            CHECK(r.out[0] == 0);
            CHECK(r.out[1] <= resident);
            most = std::max(most, r.out[1]);
        }
        CHECK(most == resident);
    }
}

TEST_CASE("warps are interrupted between what others see") {
    // a lost update: load, fence, store
    const std::string body =
        "setp.ne.u32 %p1, %r1, 0;\nand.b32 %r6, %r1, 31;\nsetp.ne.u32 %p2, %r6, 0;\n@%p2 bra END;\n"
        "ld.volatile.global.u32 %r5, [%rd2];\nfence.acq_rel.gpu;\nadd.u32 %r5, %r5, 1;\n"
        "st.volatile.global.u32 [%rd2], %r5;\nEND:";
    Runner runner(body, 0);
    const LaunchConfig config{.grid = {2}, .block = {64}};
    CHECK(runner.run(config).out[0] == 4);
    std::set<u32> sums;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        runner.device().set_schedule(Schedule::random, seed);
        sums.insert(runner.run(config).out[0]);
    }
    CHECK(sums.contains(2));
    CHECK(sums.contains(4));
}

TEST_CASE("operations complete late, and everything that may happen is found") {
    // the copy is used without a wait if it has come by the second look: a race that most schedules hide
    const std::string issue =
        "@%p1 mbarrier.init.shared.b64 [%r4], 1;\nbar.sync 0;\n"
        "@%p1 mbarrier.arrive.expect_tx.shared.b64 %rd5, [%r4], 256;\n"
        "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%rd1], 256, [%r4];\n";
    const std::string wait = "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0;\n@!%p2 bra WAIT;\n";
    const std::string use = "mov.u32 %r3, s;\nmad.lo.u32 %r3, %r1, 4, %r3;\nld.shared.u32 %r5, [%r3];\n"
                            "mul.wide.u32 %rd3, %r1, 4;\nadd.u64 %rd3, %rd3, %rd2;\nst.global.u32 [%rd3], %r5;\n";
    const LaunchConfig config{.grid = {2}, .block = {64}};
    Runner good(issue + wait + use, 2);
    Runner bad(issue + "bar.sync 0;\n" + use, 2);
    bool failed = false;
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        const Schedule schedule = seed % 2 ? Schedule::random : Schedule::adversarial;
        good.device().set_schedule(schedule, seed);
        const auto r = good.run(config);
        REQUIRE_MESSAGE(r.status.ok(), message(r.status));
        for (u32 k = 0; k < 64; ++k) CHECK(r.out[k] == 100 + k);
        bad.device().set_schedule(schedule, seed);
        const auto b = bad.run(config);
        failed = failed || message(b.status).starts_with("initcheck");
        if (!b.status.ok()) CHECK(message(b.status).ends_with("seed " + std::to_string(seed) + ")"));
    }
    CHECK(failed);

    // all schedules of two CTAs that copy, one resident at a time or both
    for (const auto& [resident, points] :
         {std::pair{1u, Points::every_event}, std::pair{2u, Points::every_event}, std::pair{2u, Points::all_wait}}) {
        Runner each(issue + wait + use, resident);
        const auto choices = Choices::scripted({}, {ChoiceKind::dispatch, ChoiceKind::completion}, points);
        each.device().set_choices(choices);
        int runs = 0;
        std::set<std::vector<u32>> scripts;
        do {
            const auto r = each.run(config);
            REQUIRE_MESSAGE(r.status.ok(), message(r.status));
            CHECK(!choices->diverged());
            std::vector<u32> script;
            for (const auto& c : choices->taken()) script.push_back(c.chosen);
            CHECK(scripts.insert(script).second);
            ++runs;
        } while (choices->advance() && runs < 10000);
        CHECK(runs > (points == Points::every_event ? 10 : 1));
        CHECK(runs < 10000);
        // one copies and waits, then it completes or the other starts, which also waits: then either completes
        if (points == Points::all_wait) CHECK(runs == 3);
    }
}

TEST_CASE("a CTA ends with an operation in flight into its shared memory") {
    const std::string body = "@%p1 mbarrier.init.shared.b64 [%r4], 1;\nbar.sync 0;\n"
                             "@%p1 mbarrier.arrive.expect_tx.shared.b64 %rd5, [%r4], 256;\n"
                             "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%rd1], "
                             "256, [%r4];\n";
    Runner runner(body, 0);
    const auto r = runner.run({.grid = {1}, .block = {64}});
    CHECK_MESSAGE(message(r.status).starts_with("asynccheck: a bulk copy of 256 bytes is still in flight"),
                  message(r.status));
    CHECK(message(r.status).find("cp.async.bulk") != std::string::npos);
    Runner repaired(body + "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0;\n@!%p2 bra WAIT;\n", 0);
    CHECK(repaired.run({.grid = {1}, .block = {64}}).status.ok());
}

TEST_CASE("a deadlock tells what is waited for") {
    const std::string init = "@%p1 mbarrier.init.shared.b64 [%r4], 3;\nbar.sync 0;\n"
                             "@%p1 mbarrier.arrive.expect_tx.shared.b64 %rd5, [%r4], 48;\n";
    const std::string wait = "W:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0;\n@!%p2 bra W;\n";
    const auto told = [](const std::string& body, std::initializer_list<const char*> parts) {
        Runner runner(body, 0);
        for (int seed = 0; seed < 4; ++seed) {
            if (seed) runner.device().set_schedule(seed % 2 ? Schedule::random : Schedule::adversarial, 7 + seed);
            const auto r = runner.run({.grid = {1}, .block = {64}});
            CHECK_MESSAGE(message(r.status).starts_with("deadlock: "), message(r.status));
            for (const char* part : parts)
                CHECK_MESSAGE(message(r.status).find(part) != std::string::npos, message(r.status));
        }
    };
    told(init + wait,
         {"CTA (0,0,0) warp 0 waits for the mbarrier at shared address 0x100 to end its phase of parity 0: "
          "2 of 3 arrivals and 48 bytes are missing",
          "warp 1 waits for the mbarrier"});
    told("W:\nld.volatile.global.u32 %r5, [%rd2+8];\nsetp.eq.u32 %p2, %r5, 0;\n@%p2 bra W;\n",
         {"on global address 0x", "which stays 0x0"});
    told("st.volatile.shared.u32 [s+4], 5;\nW:\nld.volatile.shared.u32 %r5, [s+4];\nsetp.eq.u32 %p2, %r5, 5;\n@%p2 bra "
         "W;\n",
         {"on shared address 0x4, which stays 0x5"});
    // a spin that gives up is no deadlock, however long it takes
    Runner bounded("mov.u32 %r7, 0;\nW:\nld.volatile.global.u32 %r5, [%rd2+8];\nadd.u32 %r7, %r7, 1;\n"
                   "setp.eq.u32 %p2, %r5, 0;\nsetp.lt.and.u32 %p2, %r7, 100000, %p2;\n@%p2 bra W;\n"
                   "st.global.u32 [%rd2], %r7;\n",
                   0);
    for (int seed = 0; seed < 3; ++seed) {
        if (seed) bounded.device().set_schedule(seed % 2 ? Schedule::random : Schedule::adversarial, 7);
        const auto r = bounded.run({.grid = {2}, .block = {64}});
        REQUIRE_MESSAGE(r.status.ok(), message(r.status));
        CHECK(r.out[0] == 100000);
    }
}

TEST_CASE("a waiter that falls two phases behind is found") {
    // warp 0 ends phases of the mbarrier; warp 1 waits for each by its parity. Nobody waits for warp 1 in `bad`.
    const auto body = [](const std::string& gate) {
        return "@%p1 mbarrier.init.shared.b64 [%r4], 1;\nbar.sync 0;\nmov.u32 %r7, 0;\nsetp.ge.u32 %p3, %r1, 32;\n"
               "@%p3 bra WAITER;\nP:\nmbarrier.arrive.shared.b64 %rd5, [%r4];\n" +
               gate +
               "add.u32 %r7, %r7, 1;\nsetp.lt.u32 %p2, %r7, 6;\n@%p2 bra P;\nbra END;\n"
               "WAITER:\nand.b32 %r8, %r7, 1;\nW:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r4], %r8;\n@!%p2 bra "
               "W;\n" +
               gate + "add.u32 %r7, %r7, 1;\nsetp.lt.u32 %p2, %r7, 6;\n@%p2 bra WAITER;\nEND:";
    };
    const auto only_first = [](std::string text) {
        const std::string arrive = "mbarrier.arrive.shared.b64 %rd5, [%r4];\n";
        return text.replace(text.find(arrive), arrive.size(), "@%p1 " + arrive);
    };
    Runner bad(only_first(body("")), 0), good(only_first(body("bar.sync 1, 64;\n")), 0);
    bool found = false;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        const Schedule schedule = seed % 2 ? Schedule::random : Schedule::adversarial;
        good.device().set_schedule(schedule, seed);
        const auto r = good.run({.grid = {1}, .block = {64}});
        CHECK_MESSAGE(r.status.ok(), message(r.status));
        bad.device().set_schedule(schedule, seed);
        const std::string said = message(bad.run({.grid = {1}, .block = {64}}).status);
        found = found || said.starts_with("asynccheck: waits for the wrong phase");
        CHECK_MESSAGE(
            (said.empty() || said.starts_with("asynccheck: waits for the wrong phase") || said.starts_with("deadlock")),
            said);
    }
    CHECK(found);
}
