#include "kernels/matmul/matmul.hpp"
#include "policies/policies.hpp"
#include "tools/ptxgen-bench/measure.hpp"

#include <fmt/format.h>
#include <memory>

namespace ptxgen::tools {
namespace {

struct PolicyOptions {
    std::vector<std::string> policies;
    std::string scheduler = "auto";
    std::uint32_t waves = 24, depth = 1024, heavy = 8;
};

/// Which tiles cost more: none, or a run of neighbours, an eighth of all.
enum class Load : std::uint8_t { balanced, clustered_heavy };

/// The tile of matmul, computed `heavy` times over where it is one of the first eighth.
kernels::TileKernel with_load(const kernels::MatmulConfig& config, Load load, std::uint32_t heavy) {
    kernels::TileKernel kernel = kernels::matmul_tile(config);
    if (load == Load::balanced) return kernel;
    const auto inner = kernel.prologue;
    kernel.prologue = [inner, heavy](KernelBuilder& builder) {
        policies::TileCode code = inner(builder);
        const auto tile = code.tile;
        const auto grid = code.grid;
        code.tile = [tile, grid, heavy, k = builder](const policies::TileId& id) mutable {
            const Val<u32> tiles = grid()[0];
            const Val<u32> heavy_tiles = tiles >> 3U;
            const Val<u32> many = k.imm<u32>(heavy);
            const Val<u32> rounds = k.selp(many, 1U, id.x < heavy_tiles);
            auto round = k.var<u32>(0);
            const LabelRef again = k.label("again");
            k.place(again);
            tile(id);
            round += 1U;
            k.bar_sync(0U);
            k.bra_if(round < rounds, again);
        };
        return code;
    };
    return kernel;
}

/// The same without a scheduler: a CTA for each tile.
Result<kernels::Generated> plain(const kernels::TileKernel& kernel, Target target) {
    ModuleBuilder module(target);
    KernelBuilder k = module.kernel(kernel.name);
    k.max_threads(kernel.max_threads);
    const policies::TileCode code = kernel.prologue(k);
    const Val<u32> none = k.imm<u32>(0);
    code.tile({k.ctaid.x, none, none});
    return kernels::finish(std::move(module), kernel.launch);
}

class PolicyBench {
public:
    PolicyBench(Bench& bench, const PolicyOptions& options) : bench_(bench), options_(options) {}

    Status run() {
        if (auto ok = prepare(); !ok) return ok;
        const auto scheduler = policies::parse_scheduler(options_.scheduler);
        if (!scheduler) return scheduler.error();
        for (const Load load : {Load::balanced, Load::clustered_heavy}) {
            const auto kernel = with_load(config_, load, options_.heavy);
            const auto without = plain(kernel, target());
            if (!without) return without.error();
            double baseline = 0;
            if (auto ok = time(load, "none", *without, baseline); !ok) return ok;
            for (const auto& text : options_.policies) {
                const auto policy = policies::parse_policy(text);
                if (!policy) return policy.error();
                policies::ScheduleOptions schedule;
                schedule.scheduler = *scheduler;
                schedule.counters = false;
                auto scheduled = kernels::schedule(kernel, *policy, schedule, target());
                if (!scheduled) return scheduled.error();
                if (auto ok = time(load, text, *scheduled, baseline); !ok) return ok;
            }
        }
        return {};
    }

private:
    Target target() const { return bench_.device.properties().target; }

    /// Sizes the product so that the plain grid is so many waves of resident CTAs.
    Status prepare() {
        const auto& properties = bench_.device.properties();
        if (properties.is_emulator) {
            config_ = {16, 16, 8, 2, 2};
            depth_ = std::min(options_.depth, 16u);
        } else {
            depth_ = options_.depth;
        }
        const auto generated = kernels::matmul(config_, target());
        if (!generated) return generated.error();
        const auto text = print(generated->module);
        if (!text) return text.error();
        auto module = bench_.device.load(*text);
        if (!module) return module.error();
        const auto kernel = (*module)->kernel(generated->name());
        if (!kernel) return kernel.error();
        const auto resident = (*kernel)->occupancy(config_.threads(), 0);
        if (!resident) return resident.error();
        resident_ = std::max(1u, *resident * properties.multiprocessors);
        const std::uint64_t wanted = std::uint64_t{options_.waves} * resident_;
        std::uint32_t side = 1; // tiles along m and n
        while (std::uint64_t{side} * side < wanted) side++;
        m_ = side * config_.tile_m;
        n_ = side * config_.tile_n;
        tiles_ = side * side;
        bench_.report.note("resident_ctas", resident_);
        bench_.report.note("tiles", tiles_);
        bench_.report.note("m", m_);
        bench_.report.note("n", n_);
        bench_.report.note("k", depth_);
        auto a = random_floats(std::uint64_t{m_} * depth_, a_);
        if (!a) return a;
        auto b = random_floats(std::uint64_t{depth_} * n_, b_);
        if (!b) return b;
        for (auto [buffer, bytes] : {std::pair{&c_, std::size_t{m_} * n_ * 4}, {&tickets_, std::size_t{8}}}) {
            auto made = bench_.device.allocate(bytes);
            if (!made) return made.error();
            *buffer = std::move(*made);
        }
        expected_.resize(std::size_t{m_} * n_);
        return bench_.device.stream().fill(tickets_.address(), 0, 8);
    }

    /// Numbers from -1 to 1: random bits would hold NaN, whose sums cannot be compared.
    Status random_floats(std::uint64_t count, runtime::Buffer& buffer) {
        std::vector<float> values(count);
        std::uint32_t state = 12345;
        for (float& value : values) {
            state = state * 1664525 + 1013904223;
            value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f;
        }
        auto made = bench_.device.allocate(count * 4);
        if (!made) return made.error();
        buffer = std::move(*made);
        return bench_.device.stream().copy_to_device(buffer.address(), values.data(), count * 4);
    }

    Status time(Load load, const std::string& policy, const kernels::Generated& generated, double& baseline) {
        const auto text = print(generated.module);
        if (!text) return text.error();
        auto module = bench_.device.load(*text);
        if (!module) return module.error();
        const auto kernel = (*module)->kernel(generated.name());
        if (!kernel) return kernel.error();
        const auto attributes = (*kernel)->attributes();
        if (!attributes) return attributes.error();
        runtime::LaunchConfig launch;
        launch.grid = {generated.scheduler == "static" ? std::min(resident_, tiles_) : tiles_};
        launch.block = {generated.launch.block_x};
        std::vector<runtime::KernelArg> arguments{a_.address(), b_.address(), c_.address(), m_, n_, depth_};
        if (generated.scheduler == "ticket") arguments.emplace_back(tickets_.address());
        const auto timing = time_on_device(bench_, [&](runtime::Stream& stream) {
            return stream.launch(**kernel, launch, std::span<const runtime::KernelArg>(arguments));
        });
        if (!timing) return timing.error();
        auto same = compare(policy == "none");
        if (!same) return same.error();
        if (policy == "none") baseline = timing->median;
        bench_.report.add({{"load", load == Load::balanced ? "balanced" : "clustered heavy"},
                           {"policy", policy},
                           {"scheduler", policy == "none" ? "none" : generated.scheduler},
                           {"registers", attributes->registers},
                           {"us", timing->median},
                           {"us_min", timing->min},
                           {"us_max", timing->max},
                           {"overhead_percent", 100 * (timing->median / baseline - 1)},
                           {"same_result", *same}});
        return {};
    }

    /// The product of the last launch with the plain kernel's, bit for bit; the first time it is kept.
    Result<bool> compare(bool keep) {
        std::vector<float> found(expected_.size());
        auto& stream = bench_.device.stream();
        if (auto ok = stream.copy_to_host(found.data(), c_.address(), found.size() * 4); !ok) return ok.error();
        if (auto ok = stream.synchronize(); !ok) return ok.error();
        if (auto ok = stream.fill(c_.address(), 0xff, found.size() * 4); !ok) return ok.error();
        if (keep) expected_ = found;
        if (found == expected_) return true;
        return Error{"the product under a policy differs from the plain kernel's"};
    }

    Bench& bench_;
    const PolicyOptions& options_;
    kernels::MatmulConfig config_;
    std::uint32_t resident_ = 1, tiles_ = 1, m_ = 0, n_ = 0, depth_ = 0;
    runtime::Buffer a_, b_, c_, tickets_;
    std::vector<float> expected_;
};

} // namespace

void add_policy(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<PolicyOptions>();
    options->policies = {"greedy",
                         "never_steal",
                         "max_steals(8)",
                         "every_nth(2)",
                         "first_half",
                         "time_budget(1000000)",
                         "max_steals(8) && every_nth(2)"};
    auto* command = add_benchmark(app, exit_with, "policy", "The f32 matmul plain and under scheduling policies",
                                  [options](Bench& bench) { return PolicyBench(bench, *options).run(); });
    command->add_option("--policy", options->policies, "Policies to time, one or more (default: all)");
    command->add_option("--scheduler", options->scheduler, "clc, ticket, static or auto (default)");
    command->add_option("--waves", options->waves, "Tiles, in multiples of the CTAs that are resident (default 24)")
        ->check(CLI::Range(1, 1000));
    command->add_option("-k", options->depth, "Depth of the product (default 1024; at most 16 on the emulator)")
        ->check(CLI::Range(1, 65536));
    command->add_option("--heavy", options->heavy, "Clustered heavy: how often a heavy tile is computed (default 8)")
        ->check(CLI::Range(1, 1000));
}

} // namespace ptxgen::tools
