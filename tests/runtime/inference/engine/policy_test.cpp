// The graph engine's matrix products under scheduling policies: the same logits and ids bit for bit.
#include "policies/policies.hpp"
#include "runtime/emulator/emulator.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/faulty_device.hpp"

#include <bit>

using namespace ptxgen;
using policies::Scheduler;

namespace {

/// An emulator whose grids have more CTAs than are resident, so that there are tiles to be stolen.
std::unique_ptr<runtime::EmulatedDevice> crowded_emulator(Target target) {
    runtime::EmulatorOptions options;
    options.target = target;
    options.resident = 2;
    return runtime::create_emulator(options);
}

constexpr Target hopper{90, TargetVariant::arch}, blackwell{100, TargetVariant::arch};

EngineOptions under(std::string_view policy, Scheduler scheduler) {
    EngineOptions options{.context = 40, .chunk = 8};
    auto parsed = policies::parse_policy(policy);
    REQUIRE_MESSAGE(parsed.ok(), parsed.error().message);
    options.policy = std::move(*parsed);
    options.scheduler = scheduler;
    return options;
}

/// What an engine says to 11 tokens and then draws.
struct Behaviour {
    std::vector<std::uint32_t> logits; ///< bits
    std::vector<TokenId> ids;
    std::uint64_t instructions = 0;
    bool operator==(const Behaviour& other) const { return logits == other.logits && ids == other.ids; }
};

Behaviour behaviour(runtime::EmulatedDevice& device, const Model& model, const EngineOptions& options) {
    const auto engine = test::make_engine(device, model, options);
    const std::uint64_t before = device.executed_instructions();
    Behaviour found;
    for (const float logit : test::every_logit(*engine, test::tiny_prompt(model.shape.vocab, 11)))
        found.logits.push_back(std::bit_cast<std::uint32_t>(logit));
    // One graph, launched again and again.
    const auto drawn = engine->generate(1, 4, {}, [&](TokenId id) {
        found.ids.push_back(id);
        return true;
    });
    REQUIRE_MESSAGE(drawn.ok(), drawn.error().message);
    found.instructions = device.executed_instructions() - before;
    CHECK(device.findings().empty());
    return found;
}

std::string refusal(runtime::Device& device, const Model& model, const EngineOptions& options) {
    const auto engine = create_engine(device, model, options);
    REQUIRE_FALSE(engine.ok());
    return engine.error().message;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("logits and ids under a policy are those without, bit for bit, under every scheduler") {
    const test::TemporaryFolder folder;
    const auto ticket_device = crowded_emulator(hopper), clc_device = crowded_emulator(blackwell);
    for (const char* name : {"qwen2", "gemma3-k"}) {
        const Model model = test::load_tiny(folder, test::tiny_model(name));
        const EngineOptions plain{.context = 40, .chunk = 8};
        const Behaviour expected = behaviour(*ticket_device, model, plain);
        REQUIRE(expected.ids.size() == 4);
        const auto check = [&](runtime::EmulatedDevice& device, std::string_view policy, Scheduler scheduler) {
            CAPTURE(name);
            CAPTURE(policy);
            CAPTURE(policies::to_string(scheduler));
            const Behaviour found = behaviour(device, model, under(policy, scheduler));
            CHECK(found == expected);
            CHECK(found.instructions > expected.instructions); // the scheduler's own are among them
        };
        for (const char* policy : {"greedy", "max_steals(2)", "every_nth(2)"}) {
            check(*ticket_device, policy, Scheduler::ticket);
            check(*clc_device, policy, Scheduler::clc);
        }
        check(*ticket_device, "greedy", Scheduler::static_);
    }
}

TEST_CASE("the scheduler is chosen by the device and said once") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2"));
    const auto notes_on = [&](Target target, Scheduler scheduler) {
        EngineOptions options = under("greedy", scheduler);
        std::vector<std::string> notes;
        options.on_note = [&](std::string_view note) { notes.emplace_back(note); };
        const auto device = crowded_emulator(target);
        const auto engine = create_engine(*device, model, options);
        CHECK_MESSAGE(engine.ok(), engine.error().message);
        return notes;
    };
    const auto hopper_notes = notes_on(hopper, Scheduler::automatic);
    REQUIRE(hopper_notes.size() == 1);
    CHECK(has(hopper_notes[0], "scheduler: ticket, as sm_90a"));
    const auto blackwell_notes = notes_on(blackwell, Scheduler::automatic);
    REQUIRE(blackwell_notes.size() == 1);
    CHECK(has(blackwell_notes[0], "scheduler: clc, which sm_100a has"));
    CHECK(notes_on(hopper, Scheduler::ticket).empty());
}

TEST_CASE("a policy makes activations f32 on a GPU too, and its tickets are counted as memory") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2"));
    const auto inner = crowded_emulator(hopper);
    test::FaultyDevice gpu(*inner);
    gpu.seem_a_gpu();
    const EngineOptions options = under("greedy", Scheduler::ticket);
    EngineOptions exact{.activations = ActivationFormat::f32, .context = 40, .chunk = 8};
    CHECK(graph_engine_bytes(model, options, gpu.properties()) ==
          graph_engine_bytes(model, exact, gpu.properties()) + 8);
    const auto ids = test::tiny_prompt(model.shape.vocab, 9);
    const auto with = create_engine(gpu, model, options), without = create_engine(gpu, model, exact);
    REQUIRE_MESSAGE(with.ok(), with.error().message);
    REQUIRE_MESSAGE(without.ok(), without.error().message);
    CHECK(test::every_logit(**with, ids) == test::every_logit(**without, ids));
}

TEST_CASE("policies that an engine cannot have are refused before any work") {
    const test::TemporaryFolder folder;
    const Model model = test::load_tiny(folder, test::tiny_model("qwen2"));
    const auto inner = crowded_emulator(hopper);
    test::FaultyDevice device(*inner);
    const std::string clc = refusal(device, model, under("greedy", Scheduler::clc));
    CHECK(has(clc, "'clc' needs sm_100"));
    CHECK(has(clc, "sm_90a"));
    CHECK(has(refusal(device, model, under("max_steals(2)", Scheduler::static_)), "cannot honour 'max_steals(2)'"));
    EngineOptions options = under("greedy", Scheduler::ticket);
    options.activations = ActivationFormat::q8_1;
    CHECK(has(refusal(device, model, options), "policy 'greedy' needs f32 activations"));
    options.kind = EngineKind::persistent;
    CHECK(has(refusal(device, model, options), "the graph engine"));
    options = {};
    options.scheduler = Scheduler::ticket;
    CHECK(has(refusal(device, model, options), "needs a policy"));
    CHECK(device.allocations() == 0);
}
