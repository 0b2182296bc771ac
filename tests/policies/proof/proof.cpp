#include "tests/policies/proof/proof.hpp"

#include "policies/policies.hpp"

#include <cstdlib>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ptxgen::test {
namespace {

using namespace policies;

void check(const Status& status) {
    if (!status) FAIL(status.error().message);
}

/// Takes one tile more for each launched CTA and says so only after it has got it.
struct OneSuccess {
    Answer should_try_steal(PolicyContext&) const { return Decision::steal; }
    KeepGoing keep_going_after_success(PolicyContext&) const { return false; }
    std::string text() const { return "one_success"; }
};

/// Goes on after every other success; its state lies in a register.
struct EveryOtherSuccess {
    State<u32> successes;
    void init(PolicyContext& context) { successes = context.state<u32>(1, Placement::leader_register); }
    Answer should_try_steal(PolicyContext&) const { return Decision::steal; }
    KeepGoing keep_going_after_success(PolicyContext&) const {
        const Val<u32> before = successes.get();
        const Val<u32> after = before ^ 1U;
        successes.set(after);
        return after == 0U;
    }
    std::string text() const { return "every_other_success"; }
};

/// All three answers, by turns.
struct Changing {
    State<u32> asks;
    void init(PolicyContext& context) {
        const Val<u32> cta = context.launched_cta();
        asks = context.state<u32>(cta & 3U);
    }
    Answer should_try_steal(PolicyContext& context) const {
        const Val<u32> ask = asks.get() + 1;
        asks.set(ask);
        const Val<u32> turn = ask & 1U; // DELAY at every other ask …
        const Val<u32> end = context.k.imm<u32>(2);
        return context.k.selp(end, turn, ask > 8U); // … and EXIT in the end
    }
    std::string text() const { return "changing"; }
};

} // namespace

std::vector<Policy> proven_policies() {
    std::vector<Policy> all;
    const auto add = [&](const std::string& text) {
        auto policy = parse_policy(text);
        if (!policy) FAIL(policy.error().message);
        all.push_back(std::move(*policy));
    };
    for (const auto& spec : policy_registry())
        for (const auto& example : spec.examples) add(example);
    for (const char* text : {"max_steals(8) && every_nth(2)", "max_steals(1) || every_nth(3)",
                             "time_budget(3000) && (first_half || every_nth(2))", "never_steal || max_steals(2)",
                             "every_nth(2) && every_nth(3)", "every_nth(2) || never_steal"})
        add(text);
    all.emplace_back(OneSuccess{});
    all.emplace_back(EveryOtherSuccess{});
    all.emplace_back(Changing{});
    all.push_back(OneSuccess{} || EveryOtherSuccess{});
    all.push_back(EveryNth{2} && EveryOtherSuccess{});
    return all;
}

bool full_proof() { return std::getenv("PTXGEN_FULL_PROOF") != nullptr; } // NOLINT(concurrency-mt-unsafe)

Proof::Proof(Target target, std::uint32_t resident) : target_(target) {
    runtime::EmulatorOptions options;
    options.target = target;
    options.threads = 1;
    options.resident = resident;
    options.memory_bytes = 16 << 20;
    options.stall_seconds = 10;
    device_ = runtime::create_emulator(options);
}

void Proof::load(const Case& tested) {
    auto& stream = device_->stream();
    tiles_ = tested.grid.x * tested.grid.y * tested.grid.z;
    const std::uint32_t results = tiles_ * workload_threads;
    const auto buffer = [&](std::size_t words) {
        auto made = device_->allocate(words * 4);
        if (!made) FAIL(made.error().message);
        return std::move(*made);
    };
    out_ = buffer(results);
    claims_ = buffer(tiles_);
    costs_ = buffer(tiles_);
    tickets_ = buffer(2);
    counts_ = buffer(4);
    const auto costs = workload_costs(tiles_);
    check(stream.copy_to_device(costs_.address(), costs.data(), costs.size() * 4));
    check(stream.fill(tickets_.address(), 0, 8));

    const auto load_kernel = [&](const kernels::Generated& generated) {
        const auto text = print(generated.module);
        if (!text) FAIL(text.error().message);
        auto module = device_->load(*text);
        if (!module) FAIL(module.error().message);
        module_ = std::move(*module);
        auto kernel = module_->kernel(generated.name());
        if (!kernel) FAIL(kernel.error().message);
        kernel_ = *kernel;
    };
    config_ = {};
    config_.grid = {tested.grid.x, tested.grid.y, tested.grid.z};
    config_.block = {workload_threads, 1, 1};
    const auto plain = workload_plain(tested.workload, tested.grid, target_);
    if (!plain) FAIL(plain.error().message);
    load_kernel(*plain);
    device_->set_schedule(runtime::Schedule::in_order, 1);
    check(stream.fill(claims_.address(), 0, tiles_ * 4));
    check(stream.launch(*kernel_, config_, {out_.address(), claims_.address(), costs_.address()}));
    plain_.resize(results);
    check(stream.copy_to_host(plain_.data(), out_.address(), results * 4));
    REQUIRE(plain_ == workload_results(tested.workload, tiles_));

    load_kernel(tested.kernel);
    has_tickets_ = has_counters_ = false;
    for (const auto& parameter : tested.kernel.module.functions[0].parameters) {
        has_tickets_ = has_tickets_ || parameter.name == "tickets";
        has_counters_ = has_counters_ || parameter.name == "counters";
    }
    const auto& shape = tested.kernel.launch;
    const auto rounded = [](std::uint32_t ctas, std::uint32_t step) { return (ctas + step - 1) / step * step; };
    config_.grid = {rounded(tested.grid.x, shape.cluster_x), rounded(tested.grid.y, shape.cluster_y),
                    rounded(tested.grid.z, shape.cluster_z)};
    one_cta_a_tile_ = !tested.static_ctas;
    if (tested.static_ctas) config_.grid = {*tested.static_ctas, 1, 1};
}

std::string Proof::launch() {
    auto& stream = device_->stream();
    device_->clear_findings();
    check(stream.fill(claims_.address(), 0, tiles_ * 4));
    check(stream.fill(out_.address(), 0xee, plain_.size() * 4));
    check(stream.fill(counts_.address(), 0, 16));
    std::vector<runtime::KernelArg> arguments{out_.address(), claims_.address(), costs_.address()};
    if (has_tickets_) arguments.emplace_back(tickets_.address());
    if (has_counters_) arguments.emplace_back(counts_.address());
    const auto launched = stream.launch(*kernel_, config_, std::span<const runtime::KernelArg>(arguments));
    if (!device_->findings().empty()) return to_string(device_->findings()[0]);
    if (!launched) return launched.error().message;

    std::vector<std::uint32_t> claims(tiles_), out(plain_.size()), tickets(2);
    check(stream.copy_to_host(claims.data(), claims_.address(), tiles_ * 4));
    check(stream.copy_to_host(out.data(), out_.address(), out.size() * 4));
    check(stream.copy_to_host(tickets.data(), tickets_.address(), 8));
    check(stream.copy_to_host(counters_.data(), counts_.address(), 16));
    for (std::uint32_t tile = 0; tile < tiles_; tile++)
        if (claims[tile] != 1) return fmt::format("tile {} ran {} times", tile, claims[tile]);
    if (out != plain_) return "the results are not those of the plain kernel";
    if (tickets[0] != 0 || tickets[1] != 0)
        return fmt::format("the tickets were left at {} draws, {} exits", tickets[0], tickets[1]);
    const std::uint32_t ctas = config_.grid.x * config_.grid.y * config_.grid.z;
    const std::uint32_t counted = counters_[0] + counters_[1], expected = one_cta_a_tile_ ? ctas : tiles_;
    if (has_counters_ && counted != expected)
        return fmt::format("{} tiles launched and {} stolen, of {}", counters_[0], counters_[1], expected);
    return {};
}

} // namespace ptxgen::test
