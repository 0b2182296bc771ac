// A scheduling policy of one's own, joined with one from the library, around the f32 matmul; run on the emulator.

#include <kernels/matmul/matmul.hpp>
#include <policies/policies.hpp>
#include <runtime/emulator/emulator.hpp>

#include <cstdio>
#include <vector>

using namespace ptxgen;

// After every tile that it steals, a CTA becomes twice as reluctant: it asks once, twice, four times … before it takes
// the next.
struct BackOff {
    policies::State<u32> asks, wanted;

    void init(policies::PolicyContext& context) {
        asks = context.state<u32>(0);
        wanted = context.state<u32>(1);
    }
    policies::Answer should_try_steal(policies::PolicyContext&) {
        const Val<u32> ask = asks.get() + 1;
        asks.set(ask);
        return {ask >= wanted.get(), policies::Decision::steal, policies::Decision::delay};
    }
    policies::KeepGoing keep_going_after_success(policies::PolicyContext& context) {
        wanted.set(wanted.get() << 1U);
        asks.set(context.k.imm<u32>(0));
        return true;
    }
    std::string text() const { return "back_off"; }
};

Result<std::vector<std::uint32_t>> run(const kernels::Generated& kernel, const kernels::Grid& grid) {
    constexpr std::uint32_t n = 100;
    runtime::EmulatorOptions options;
    options.target = {100, TargetVariant::arch}; // what it presents: a device with cluster launch control
    options.resident = 3;                        // CTAs at once; the others wait, and may be stolen
    const auto device = runtime::create_emulator(options);
    auto& stream = device->stream();
    const auto text = print(kernel.module);
    if (!text) return text.error();
    auto module = device->load(*text);
    if (!module) return module.error();
    auto loaded = (*module)->kernel(kernel.name());
    if (!loaded) return loaded.error();

    std::vector<float> a(n * n), b(n * n), c(n * n);
    for (std::uint32_t i = 0; i < n * n; i++) {
        a[i] = static_cast<float>(i % 7);
        b[i] = static_cast<float>(i % 5);
    }
    auto da = device->allocate(4 * n * n), db = device->allocate(4 * n * n), dc = device->allocate(4 * n * n);
    auto counters = device->allocate(4 * policies::counter_count);
    if (!da || !db || !dc || !counters) return Error{"no memory"};
    runtime::LaunchConfig config;
    config.grid = {grid.x};
    config.block = {kernel.launch.block_x};
    std::vector<std::uint32_t> counts(policies::counter_count);
    for (const Status& step :
         {stream.copy_to_device(da->address(), a.data(), 4 * n * n),
          stream.copy_to_device(db->address(), b.data(), 4 * n * n),
          stream.fill(counters->address(), 0, 4 * policies::counter_count),
          stream.launch(**loaded, config, {da->address(), db->address(), dc->address(), n, n, n, counters->address()}),
          stream.copy_to_host(c.data(), dc->address(), 4 * n * n),
          stream.copy_to_host(counts.data(), counters->address(), 4 * policies::counter_count), stream.synchronize()})
        if (!step) return step.error();
    for (std::uint32_t row = 0; row < n; row++)
        for (std::uint32_t column = 0; column < n; column++) {
            float sum = 0; // small integers: exact
            for (std::uint32_t k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column];
            if (c[row * n + column] != sum) return Error{"a wrong product"};
        }
    return counts;
}

int main() {
    kernels::MatmulConfig shape;
    shape.tile_m = shape.tile_n = 16;
    shape.thread_m = shape.thread_n = 2;
    const policies::Policy policy = policies::MaxSteals{6} && BackOff{};
    policies::ScheduleOptions options;
    options.scheduler = policies::Scheduler::clc;
    options.counters = true;
    const auto kernel =
        kernels::schedule(kernels::matmul_tile(shape), policy, options, Target{100, TargetVariant::arch});
    if (!kernel) {
        std::fprintf(stderr, "%s\n", kernel.error().message.c_str());
        return 1;
    }
    const auto counts = run(*kernel, kernels::matmul_grid(shape, 100, 100));
    if (!counts) {
        std::fprintf(stderr, "%s\n", counts.error().message.c_str());
        return 1;
    }
    std::printf("%s: %u tiles at a CTA's start, %u stolen, %u asks declined, %u requests failed\n",
                policy.text().c_str(), (*counts)[0], (*counts)[1], (*counts)[2], (*counts)[3]);
    return (*counts)[0] + (*counts)[1] == 49 ? 0 : 1;
}
