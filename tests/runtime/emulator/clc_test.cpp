#include "harness.hpp"
#include "ptxgen/verify/verify.hpp"
#include "tests/support/schedules.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

using namespace ptxgen;
using namespace ptxgen::test;

// Cluster launch control. A case in tests/cases/clc is a kernel: `// run:` has its launch as `ptxgen run` takes it,
// `// result: K[i] = …` what argument K must hold at the end, and `// error: RULE: TEXT` at the end of a line the one
// finding that a bounded number of schedules must bring first. Some bugs show elsewhere first in some schedules:
// `// or: RULE` is such a place. A case without an error runs clean under every schedule.

namespace {

struct Argument {
    std::string type; ///< f32, u32
    std::size_t count = 0;
    bool is_buffer = false, iota = false;
    double value = 0;
};
struct Outcome {
    std::size_t argument = 0;
    std::uint32_t scale = 0; ///< element i is scale * i + offset
    std::uint32_t offset = 0;
};
struct Case {
    std::string name, text;
    std::uint32_t grid = 1, block = 1, cluster = 1;
    std::vector<Argument> arguments;
    std::vector<Outcome> outcomes;
    std::uint32_t line = 0; ///< of the finding; 0: none
    std::string rule, message;
    std::vector<std::pair<std::uint32_t, std::string>> others; ///< line and rule of what it may show as instead
};

Argument read_argument(const std::string& text) {
    Argument a;
    a.type = text.substr(0, 3);
    const auto bracket = text.find('[');
    const auto equals = text.find('=');
    a.is_buffer = bracket != std::string::npos;
    if (a.is_buffer) {
        a.count = std::stoul(text.substr(bracket + 1));
        a.iota = text.substr(equals + 1) == "iota";
    } else {
        a.value = std::stod(text.substr(equals + 1));
    }
    return a;
}

Case read_case(const std::filesystem::path& path) {
    Case test;
    test.name = path.stem().string();
    std::ifstream file(path);
    std::uint32_t number = 0;
    for (std::string line; std::getline(file, line);) {
        test.text += line + "\n";
        ++number;
        if (line.rfind("// run: ", 0) == 0) {
            std::istringstream words(line.substr(8));
            for (std::string option, value; words >> option >> value;) {
                if (option == "--grid") test.grid = static_cast<std::uint32_t>(std::stoul(value));
                if (option == "--block") test.block = static_cast<std::uint32_t>(std::stoul(value));
                if (option == "--cluster") test.cluster = static_cast<std::uint32_t>(std::stoul(value));
                if (option == "--arg") test.arguments.push_back(read_argument(value));
            }
        }
        unsigned k, scale, offset;
        if (std::sscanf(line.c_str(), "// result: %u[i] = %u * i", &k, &scale) == 2 && line.back() == 'i')
            test.outcomes.push_back({k, scale, 0});
        else if (std::sscanf(line.c_str(), "// result: %u[i] = %u", &k, &offset) == 2)
            test.outcomes.push_back({k, 0, offset});
        if (const auto at = line.find("// or: "); at != std::string::npos)
            test.others.emplace_back(number, line.substr(at + 7));
        if (const auto at = line.find("// error: "); at != std::string::npos) {
            const std::string expected = line.substr(at + 10);
            const auto colon = expected.find(": ");
            test.line = number;
            test.rule = expected.substr(0, colon);
            test.message = expected.substr(std::min(colon + 2, expected.size()));
        }
    }
    return test;
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const auto& entry : std::filesystem::directory_iterator(PTXGEN_SOURCE_DIR "/tests/cases/clc"))
        if (entry.path().extension() == ".ptx") all.push_back(read_case(entry.path()));
    std::sort(all.begin(), all.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
    return all;
}

std::unique_ptr<EmulatedDevice> device_with(std::uint32_t resident, bool checks = true, unsigned threads = 1) {
    EmulatorOptions options;
    options.target = {100, TargetVariant::arch};
    options.threads = threads;
    options.checks = checks;
    options.memory_bytes = 16 << 20;
    options.resident = resident;
    options.stall_seconds = 5;
    return create_emulator(options);
}

/// Launches a case's kernel again and again, from fresh arguments.
class Runner {
public:
    Runner(EmulatedDevice& device, const Case& test) : device_(device), test_(test) {
        auto module = device.load(test.text);
        if (!module.ok()) FAIL(test.name << ": " << module.error().message);
        module_ = std::move(*module);
        const auto entry = test.text.find(".entry ") + 7;
        auto kernel = module_->kernel(test.text.substr(entry, test.text.find('(', entry) - entry));
        if (!kernel.ok()) FAIL(test.name << ": " << kernel.error().message);
        kernel_ = *kernel;
        for (const Argument& a : test.arguments)
            buffers_.push_back(a.is_buffer ? std::optional(upload(device, initial(a))) : std::nullopt);
    }

    /// What went wrong; empty if nothing did.
    std::string run() {
        std::vector<KernelArg> args;
        for (std::size_t k = 0; k < buffers_.size(); ++k) {
            const Argument& a = test_.arguments[k];
            if (a.is_buffer) {
                const auto data = initial(a);
                REQUIRE(device_.stream().copy_to_device(buffers_[k]->address(), data.data(), data.size() * 4).ok());
                args.emplace_back(buffers_[k]->address());
            } else if (a.type == "f32") {
                args.emplace_back(static_cast<float>(a.value));
            } else {
                args.emplace_back(static_cast<std::uint32_t>(a.value));
            }
        }
        LaunchConfig config{.grid = {test_.grid}, .block = {test_.block}};
        if (test_.cluster > 1) config.cluster = Dim3{test_.cluster};
        device_.clear_findings();
        const auto status = device_.stream().launch(*kernel_, config, args);
        if (!status.ok()) return status.error().message;
        for (const Outcome& outcome : test_.outcomes) {
            const Argument& a = test_.arguments[outcome.argument];
            const auto got = download<std::uint32_t>(device_, *buffers_[outcome.argument], a.count);
            for (std::uint32_t i = 0; i < a.count; ++i) {
                const std::uint32_t number = outcome.scale * i + outcome.offset;
                const std::uint32_t want =
                    a.type == "f32" ? std::bit_cast<std::uint32_t>(static_cast<float>(number)) : number;
                if (got[i] != want)
                    return fmt::format("argument {} element {}: {:#x}, expected {:#x}", outcome.argument, i, got[i],
                                       want);
            }
        }
        return {};
    }

private:
    static std::vector<std::uint32_t> initial(const Argument& a) {
        std::vector<std::uint32_t> data(a.count, 0);
        for (std::uint32_t i = 0; i < a.count && a.iota; ++i)
            data[i] = a.type == "f32" ? std::bit_cast<std::uint32_t>(static_cast<float>(i)) : i;
        return data;
    }

    EmulatedDevice& device_;
    const Case& test_;
    std::unique_ptr<LoadedModule> module_;
    Kernel* kernel_ = nullptr;
    std::vector<std::optional<Buffer>> buffers_;
};

/// Residents that leave something to steal.
std::uint32_t residents(const Case& test) { return 2 * test.cluster; }

} // namespace

TEST_CASE("each planted bug is found at its line") {
    int bugs = 0;
    for (const Case& test : cases()) {
        if (!test.line) continue;
        ++bugs;
        INFO(test.name);
        const auto device = device_with(residents(test));
        Runner runner(*device, test);
        std::uint64_t seed = 0;
        const std::uint64_t ran = sample_schedules(*device, 40, [&](std::uint64_t k) {
            seed = k + 1;
            runner.run();
            return device->findings().empty();
        });
        if (device->findings().empty()) {
            FAIL_CHECK(test.name << ": nothing found in " << ran << " schedules");
            continue;
        }
        const Finding& f = device->findings().front();
        INFO(to_string(f));
        CHECK(f.rule == test.rule);
        CHECK(f.line == test.line);
        CHECK_MESSAGE(f.message.find(test.message) != std::string::npos, f.message);
        CHECK(f.kernel == test.name);
        CHECK(f.seed == seed);
        // the seed brings it again
        const Finding first = f;
        device->set_schedule(seed == 1       ? Schedule::in_order
                             : seed % 2 == 0 ? Schedule::random
                                             : Schedule::adversarial,
                             seed);
        runner.run();
        REQUIRE(device->findings().size() == 1);
        CHECK(to_string(device->findings().front()) == to_string(first));
    }
    CHECK(bugs >= 14);
}

TEST_CASE("planted bugs are found as what they are in whatever schedule they show") {
    for (const Case& test : cases()) {
        if (!test.line) continue;
        const auto device = device_with(residents(test));
        Runner runner(*device, test);
        std::uint64_t found = 0;
        sample_schedules(*device, 30, [&](std::uint64_t) {
            runner.run();
            if (device->findings().empty()) return true;
            ++found;
            const Finding& f = device->findings().front();
            const bool right =
                (f.rule == test.rule && f.line == test.line) ||
                std::find(test.others.begin(), test.others.end(), std::pair(f.line, f.rule)) != test.others.end();
            CHECK_MESSAGE(right, test.name << ": " << to_string(f));
            return right;
        });
        CHECK_MESSAGE(found > 0, test.name);
    }
}

TEST_CASE("a wait that passes with an older phase is told from one that never ends") {
    const Case test = read_case(PTXGEN_SOURCE_DIR "/tests/cases/clc/wrong_parity.ptx");
    const auto device = device_with(residents(test));
    Runner runner(*device, test);
    bool passes = false, hangs = false;
    sample_schedules(*device, 60, [&](std::uint64_t) {
        runner.run();
        for (const Finding& f : device->findings()) {
            passes = passes || f.message.find("it passes with phase") != std::string::npos;
            hangs = hangs || f.message.find("deadlock: CTA") != std::string::npos;
        }
        return !(passes && hangs);
    });
    CHECK(passes);
    CHECK(hangs);
}

TEST_CASE("each repaired twin runs clean and right") {
    for (const Case& test : cases()) {
        if (test.line) continue;
        INFO(test.name);
        for (const std::uint32_t resident : {1u, 2u, 3u, 8u}) {
            const auto device = device_with(resident * test.cluster);
            Runner runner(*device, test);
            sample_schedules(*device, 24, [&](std::uint64_t k) {
                const std::string wrong = runner.run();
                CHECK_MESSAGE(wrong.empty(),
                              test.name << ", " << resident << " resident, schedule " << k << ": " << wrong);
                return wrong.empty();
            });
        }
    }
}

TEST_CASE("every tile runs once under all schedules of small grids") {
    // dispatch against cancellation, completion, success or one spurious failure: all combinations there are
    std::uint64_t schedules = 0;
    const auto explore = [&](std::uint32_t grid, std::uint32_t resident, emulator::Points points) {
        Case test = read_case(PTXGEN_SOURCE_DIR "/tests/cases/clc/reference/clc_min.ptx");
        test.grid = grid;
        for (const std::size_t k : {0u, 1u}) test.arguments[k].count = 64 * grid - 4;
        test.arguments[3].value = 64 * grid - 4;
        test.arguments[4].count = grid;
        const auto device = device_with(resident);
        Runner runner(*device, test);
        const Exploration done = explore_schedules(
            *device,
            [&] {
                const std::string wrong = runner.run();
                CHECK_MESSAGE(wrong.empty(), grid << " CTAs, " << resident << " resident: " << wrong);
                return wrong.empty();
            },
            {emulator::ChoiceKind::dispatch, emulator::ChoiceKind::completion, emulator::ChoiceKind::outcome},
            100'000'000, points);
        CHECK(done.complete);
        schedules += done.schedules;
        MESSAGE(fmt::format("{} CTAs, {} resident, asked {}: {} schedules", grid, resident,
                            points == emulator::Points::all_wait ? "when all wait" : "at every event", done.schedules));
    };
    for (std::uint32_t grid = 1; grid <= 6; ++grid)
        for (const std::uint32_t resident : {1u, 2u}) {
            explore(grid, resident, emulator::Points::all_wait);
            // the other grids take minutes
            const bool all = resident == 1 || grid <= 3 || std::getenv("PTXGEN_FULL_PROOF");
            if (all) explore(grid, resident, emulator::Points::every_event);
        }
    CHECK(schedules > 100);
    // two clusters of two CTAs
    for (const std::uint32_t resident : {2u, 4u}) {
        Case test = read_case(PTXGEN_SOURCE_DIR "/tests/cases/clc/reference/clc_mc2.ptx");
        test.grid = 4;
        for (const std::size_t k : {0u, 1u}) test.arguments[k].count = 64 * 4 - 4;
        test.arguments[3].value = 64 * 4 - 4;
        test.arguments[4].count = 4;
        const auto device = device_with(resident);
        Runner runner(*device, test);
        const Exploration done = explore_schedules(*device, [&] {
            const std::string wrong = runner.run();
            CHECK_MESSAGE(wrong.empty(), resident << " resident: " << wrong);
            return wrong.empty();
        });
        CHECK(done.complete);
        MESSAGE("2 clusters, " << resident << " CTAs resident: " << done.schedules << " schedules");
    }
}

TEST_CASE("the reference loops run clean and right") {
    for (const auto* name : {"clc_min", "clc_mc2", "two_slots", "scheduler_warp"}) {
        const Case test = read_case(fmt::format(PTXGEN_SOURCE_DIR "/tests/cases/clc/reference/{}.ptx", name));
        for (const std::uint32_t resident : {1u, 2u, 4u}) {
            const auto device = device_with(resident * test.cluster);
            Runner runner(*device, test);
            sample_schedules(*device, 100, [&](std::uint64_t k) {
                const std::string wrong = runner.run();
                CHECK_MESSAGE(wrong.empty(), name << ", " << resident << " resident, schedule " << k << ": " << wrong);
                return wrong.empty();
            });
        }
    }
}

TEST_CASE("cluster launch control runs on several threads, and without checks") {
    for (const Case& test : cases()) {
        if (test.line) continue;
        for (const bool checks : {true, false})
            for (const unsigned threads : {1u, 4u}) {
                const auto device = device_with(residents(test) * threads, checks, threads);
                Runner runner(*device, test);
                for (int k = 0; k < 3; ++k) {
                    const std::string wrong = runner.run();
                    CHECK_MESSAGE(wrong.empty(), test.name << ", " << threads << " threads: " << wrong);
                }
            }
    }
}

TEST_CASE("a request fails when nothing is pending, and once in a while although something is") {
    Case test = read_case(PTXGEN_SOURCE_DIR "/tests/cases/clc/reference/clc_min.ptx");
    const auto device = device_with(1);
    Runner runner(*device, test);
    const auto count = [&](const std::vector<emulator::ChoiceKind>& kinds) {
        return explore_schedules(
                   *device, [&] { return runner.run().empty(); }, kinds)
            .schedules;
    };
    // one CTA claims all others, unless one of its five requests that could succeed fails: then the next CTA claims the
    // rest
    CHECK(count({}) == 1);
    CHECK(count({emulator::ChoiceKind::outcome}) == 6);
}

TEST_CASE("a response says nothing by its bytes, and they differ from launch to launch") {
    const auto device = device_with(1);
    const std::string text = module_of(R"(
.visible .entry k(.param .u64 out)
{
    .reg .pred %p;
    .reg .b32 %r<4>;
    .reg .b64 %to, %state;
    .shared .align 16 .b8 slot[16];
    .shared .align 8 .b64 bar;
    ld.param.u64 %to, [out];
    mov.u32 %r0, %ctaid.x;
    mad.wide.u32 %to, %r0, 16, %to;
    mbarrier.init.shared::cta.b64 [bar], 1;
    fence.mbarrier_init.release.cluster;
    clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [slot], [bar];
    mbarrier.arrive.expect_tx.shared::cta.b64 %state, [bar], 16;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %p, [bar], 0;
    @!%p bra WAIT;
    ld.shared.v4.b32 {%r0, %r1, %r2, %r3}, [slot];
    st.global.v4.b32 [%to], {%r0, %r1, %r2, %r3};
    ret;
}
)");
    auto module = device->load(text);
    REQUIRE(module.ok());
    auto kernel = (*module)->kernel("k");
    REQUIRE(kernel.ok());
    std::vector<std::vector<std::uint64_t>> seen;
    for (int k = 0; k < 3; ++k) {
        const Buffer out = upload(*device, std::vector<std::uint64_t>(2, 0));
        REQUIRE(device->stream().launch(**kernel, {.grid = {1}, .block = {1}}, {out.address()}).ok());
        const auto bytes = download<std::uint64_t>(*device, out, 2);
        CHECK(std::find(seen.begin(), seen.end(), bytes) == seen.end());
        CHECK(bytes[0] != 0);
        seen.push_back(bytes);
    }
}

TEST_CASE("ptxas and the verifier accept every case") {
    const char* ptxas = std::getenv("PTXGEN_PTXAS");
    if (!ptxas) fmt::print("[SKIP] ptxas accepts every case: PTXGEN_PTXAS is not set\n");
    int files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(PTXGEN_SOURCE_DIR "/tests/cases/clc")) {
        if (entry.path().extension() != ".ptx") continue;
        ++files;
        const Case test = read_case(entry.path());
        INFO(test.name);
        for (const Diagnostic& diagnostic : check_text(test.text).diagnostics)
            CHECK_MESSAGE(diagnostic.severity != Severity::error, to_string(diagnostic));
        if (!ptxas) continue;
        const auto target = test.text.find("sm_100a") != std::string::npos ? "sm_100a" : "sm_100";
        const auto command = fmt::format("'{}' -arch {} '{}' -o /dev/null", ptxas, target, entry.path().string());
        CHECK(std::system(command.c_str()) == 0);
    }
    CHECK(files >= 2 * 14);
}

TEST_CASE("every case has its twin") {
    const auto all = cases();
    for (const Case& test : all) {
        const bool repaired = test.name.size() > 6 && test.name.substr(test.name.size() - 6) == "_fixed";
        CHECK_MESSAGE(repaired == (test.line == 0), test.name);
        const std::string twin = repaired ? test.name.substr(0, test.name.size() - 6) : test.name + "_fixed";
        CHECK_MESSAGE(std::any_of(all.begin(), all.end(), [&](const Case& c) { return c.name == twin; }), test.name);
        CHECK_MESSAGE(!test.outcomes.empty(), test.name);
    }
}
