#include "ptxgen/ptxgen.hpp"
#include "tools/ptxgen-bench/measure.hpp"
#include "tools/ptxgen-bench/stream_kernels.hpp"

#include <fmt/format.h>
#include <memory>
#include <vector>

namespace ptxgen::tools {
namespace {

constexpr std::uint32_t barrier_threads = 128;
constexpr std::uint32_t max_polls = 1U << 22; ///< seconds
constexpr std::uint32_t words_of_tile = stream_tile_bytes / 4;

struct Arguments {
    Val<global_ptr<u32>> counter; ///< [2]: arrivals, zero at the launch; and whether a wait ran out of polls
    Val<u32> rounds;
    Val<global_ptr<u32>> data; ///< what is streamed meanwhile
    Val<u32> tiles;
    Val<global_ptr<u32>> copied; ///< tiles, by CTA
};

Arguments arguments(KernelBuilder& k) {
    const auto counter = k.param<global_ptr<u32>>("counter");
    const auto rounds = k.param<u32>("rounds");
    const auto data = k.param<global_ptr<u32>>("data", "", align(16));
    const auto tiles = k.param<u32>("tiles");
    const auto copied = k.param<global_ptr<u32>>("copied");
    return {counter, rounds, data, tiles, copied};
}

/// `rounds` barriers of all CTAs: the CTA's threads meet, one of them announces it with a release, and polls with
/// acquires until all have; the counter only grows. After a wait that runs out of polls no more waits are made.
void emit_rounds(KernelBuilder& k, const Arguments& a, const Val<u32>& thread) {
    const Val<u32> ctas = k.nctaid.x;
    auto wanted = k.var<u32>(0), polls_left = k.var<u32>(max_polls);
    k.for_<u32>(0U, a.rounds, 1U, [&](Var<u32>&) {
        wanted += ctas;
        k.bar_sync(1, barrier_threads);
        k.if_(thread == 0U, [&] {
            k.red_add(a.counter, 1U, release, gpu);
            k.loop([&](Loop& loop) {
                const auto arrived = k.ld(a.counter, acquire, gpu);
                loop.break_if(arrived >= wanted);
                const auto ran_out = polls_left == 0U;
                k.predicated(ran_out, [&] { k.st(a.counter + 1, 1U); });
                loop.break_if(ran_out);
                polls_left -= 1U;
            });
        });
        k.bar_sync(1, barrier_threads);
        k.predicated(polls_left != 0U, [&] { polls_left = max_polls; });
    });
}

/// Keeps a ring of bulk copies going until `done`.
void emit_stream(KernelBuilder& k, const Arguments& a, const Val<shared_ptr<u32>>& ring,
                 const Val<shared_ptr<u64>>& full, const Val<shared_ptr<u32>>& done) {
    const Val<u32> first = k.ctaid.x, ctas = k.nctaid.x;
    auto next = k.var<u32>(first), copied = k.var<u32>(0), in_flight = k.var<u32>(0);
    const auto copy = [&](const Val<shared_ptr<u32>>& stage, const Val<shared_ptr<u64>>& barrier) {
        k.mbarrier_arrive_expect_tx(barrier, stream_tile_bytes);
        const auto from = k.mad_wide(next, stream_tile_bytes, a.data.as<u64>()).as<global_ptr<u32>>();
        k.cp_async_bulk(stage, from, stream_tile_bytes, barrier);
        in_flight += 1U;
        next += ctas;
        k.predicated(next >= a.tiles, [&] { next = first; });
    };
    for (std::uint32_t s = 0; s < stream_stages; s++) copy(ring + s * words_of_tile, full + s);
    auto parity = k.var<u32>(0), stage = k.var<u32>(0);
    k.loop([&](Loop& loop) {
        loop.break_if(in_flight == 0U);
        const Val<shared_ptr<u64>> barrier = full + stage;
        const Val<shared_ptr<u32>> place = ring + stage * words_of_tile;
        const LabelRef wait = k.label("wait");
        k.place(wait);
        const auto arrived = k.mbarrier_try_wait_parity(barrier, parity);
        k.bra_if(!arrived, wait);
        in_flight -= 1U;
        copied += 1U;
        const auto stop = k.ld(done, relaxed, cta);
        k.if_(stop == 0U, [&] { copy(place, barrier); });
        stage += 1U;
        k.if_(stage == stream_stages, [&] {
            stage = 0U;
            parity = parity ^ 1U;
        });
    });
    k.st(a.copied + first, copied);
}

void emit_idle(KernelBuilder k) {
    k.max_threads(barrier_threads);
    const auto a = arguments(k);
    emit_rounds(k, a, k.tid.x);
}

/// A fifth warp streams while the others meet.
void emit_loaded(KernelBuilder k) {
    k.max_threads(barrier_threads + 32);
    const auto a = arguments(k);
    const auto ring = k.dynamic_shared<u32>("ring", align(128));
    const auto full = k.shared<u64>("full", stream_stages);
    const auto done = k.shared<u32>("done", 1);
    const Val<u32> thread = k.tid.x;
    k.if_(thread == 0U, [&] {
        for (std::uint32_t s = 0; s < stream_stages; s++) k.mbarrier_init(full + s, 1U);
        k.fence_mbarrier_init(release, cluster);
        k.st(done, 0U);
    });
    k.bar_sync(0);
    k.if_(
        thread < barrier_threads,
        [&] {
            emit_rounds(k, a, thread);
            k.if_(thread == 0U, [&] { k.st(done, 1U, relaxed, cta); });
        },
        [&] { k.if_(thread == barrier_threads, [&] { emit_stream(k, a, ring, full, done); }); });
}

Result<std::string> ptx(bool loaded) {
    ModuleBuilder module;
    if (loaded) {
        emit_loaded(module.kernel("barrier_loaded"));
    } else {
        emit_idle(module.kernel("barrier_idle"));
        module.kernel("empty");
    }
    return std::move(module).ptx();
}

class BarrierBench {
public:
    static Result<std::unique_ptr<BarrierBench>> create(Bench& bench) {
        auto self = std::unique_ptr<BarrierBench>(new BarrierBench(bench));
        auto counter = bench.device.allocate(8);
        if (!counter) return counter.error();
        self->counter_ = std::move(*counter);
        auto copied = bench.device.allocate(std::size_t{4} * self->ctas_);
        if (!copied) return copied.error();
        self->copied_ = std::move(*copied);
        return self;
    }

    /// Microseconds a barrier: what `rounds` more of them take.
    Status measure_idle(std::uint32_t rounds) {
        if (auto ok = load(false); !ok) return ok;
        return measure("barrier, memory idle", "barrier_idle", rounds, barrier_threads, 0);
    }
    Status measure_loaded(std::uint32_t rounds, std::uint64_t bytes) {
        auto data = random_buffer(bench_, bytes, 1);
        if (!data) return data.error();
        data_ = std::move(*data);
        if (auto ok = load(true); !ok) return ok;
        return measure("barrier, memory streamed", "barrier_loaded", rounds, barrier_threads + 32, stream_bulk_shared);
    }
    Status measure_launches(std::uint32_t count) {
        if (auto ok = load(false); !ok) return ok;
        const auto kernel = module_->kernel("empty");
        if (!kernel) return kernel.error();
        const auto launch = [&](runtime::Stream& stream) {
            return stream.launch(**kernel, {.grid = {1}, .block = {32}}, {});
        };
        const auto one_by_one = time_on_device(bench_, launch, count);
        if (!one_by_one) return one_by_one.error();
        add("empty kernel, launched", *one_by_one);

        runtime::Stream& stream = bench_.device.stream();
        if (auto ok = stream.begin_capture(); !ok) return ok;
        for (std::uint32_t i = 0; i < count; i++)
            if (auto ok = launch(stream); !ok) return ok;
        auto graph = stream.end_capture();
        if (!graph) return graph.error();
        auto replayed = time_on_device(bench_, [&](runtime::Stream& s) { return s.launch(**graph); });
        if (!replayed) return replayed.error();
        add(fmt::format("empty kernel, of {} in a graph", count), divided(*replayed, count));
        return {};
    }

private:
    explicit BarrierBench(Bench& bench) : bench_(bench), ctas_(bench.device.properties().multiprocessors) {}

    static Timing divided(const Timing& t, double by) { return {t.median / by, t.min / by, t.max / by}; }
    void add(std::string_view what, const Timing& t) {
        bench_.report.add({{"what", what}, {"us", t.median}, {"us_min", t.min}, {"us_max", t.max}});
    }
    Status load(bool loaded) {
        const auto text = ptx(loaded);
        if (!text) return text.error();
        auto module = bench_.device.load(*text);
        if (!module) return module.error();
        module_ = std::move(*module);
        return {};
    }
    Status measure(std::string_view what, std::string_view name, std::uint32_t rounds, std::uint32_t threads,
                   std::uint32_t shared) {
        const auto kernel = module_->kernel(name);
        if (!kernel) return kernel.error();
        const runtime::LaunchConfig config{
            .grid = {ctas_}, .block = {threads}, .shared_bytes = shared, .cooperative = true};
        const auto tiles = static_cast<std::uint32_t>(data_.size() / stream_tile_bytes);
        const auto time = [&](std::uint32_t n) {
            return time_on_device(bench_, [&](runtime::Stream& stream) -> Status {
                if (auto ok = stream.fill(counter_.address(), 0, 8); !ok) return ok;
                return stream.launch(**kernel, config,
                                     {counter_.address(), n, data_.address(), tiles, copied_.address()});
            });
        };
        // Launch, start and end cancel out.
        const auto without = time(1);
        if (!without) return without.error();
        const auto with = time(1 + rounds);
        if (!with) return with.error();
        if (auto ok = check_counter(1 + rounds); !ok) return ok;
        add(what, {(with->median - without->median) / rounds, (with->min - without->median) / rounds,
                   (with->max - without->median) / rounds});
        if (!data_) return {};
        std::vector<std::uint32_t> copied(ctas_);
        if (auto ok = read(copied, copied_); !ok) return ok;
        double bytes = 0;
        for (const auto tiles_of_cta : copied) bytes += double{stream_tile_bytes} * tiles_of_cta;
        bench_.report.note("GB_per_s streamed meanwhile", bytes / with->median * 1e-3);
        return {};
    }
    Status read(std::vector<std::uint32_t>& to, const runtime::Buffer& from) {
        runtime::Stream& stream = bench_.device.stream();
        if (auto ok = stream.copy_to_host(to.data(), from.address(), to.size() * 4); !ok) return ok;
        return stream.synchronize();
    }
    Status check_counter(std::uint32_t rounds) {
        std::vector<std::uint32_t> counter(2);
        if (auto ok = read(counter, counter_); !ok) return ok;
        if (counter[1] != 0) return Error{fmt::format("a CTA gave up after {} polls of the barrier", max_polls)};
        if (counter[0] == rounds * ctas_) return {};
        return Error{fmt::format("the barrier counted {} arrivals instead of {}", counter[0], rounds * ctas_)};
    }

    Bench& bench_;
    std::uint32_t ctas_;
    runtime::Buffer counter_, copied_, data_;
    std::unique_ptr<runtime::LoadedModule> module_;
};

Status bench_barrier(Bench& bench, std::uint32_t rounds) {
    const bool on_gpu = !bench.device.properties().is_emulator;
    if (rounds == 0) rounds = on_gpu ? 2000 : 20;
    auto barrier = BarrierBench::create(bench);
    if (!barrier) return barrier.error();
    if (auto ok = (*barrier)->measure_launches(on_gpu ? 200 : 10); !ok) return ok;
    if (!bench.device.properties().cooperative_launch) return Error{"this device has no cooperative launch"};
    if (auto ok = (*barrier)->measure_idle(rounds); !ok) return ok;
    // The emulator would copy for minutes.
    if (!on_gpu || !bench.device.properties().target.provides(Target{90})) {
        bench.report.note("barrier, memory streamed", "left out: it takes a GPU with bulk copies, sm_90");
        return {};
    }
    return (*barrier)->measure_loaded(rounds, 4'000'000'000);
}

} // namespace

void add_barrier(CLI::App& app, const ExitWith& exit_with) {
    auto rounds = std::make_shared<std::uint32_t>(0);
    auto* command = add_benchmark(app, exit_with, "barrier",
                                  "What a barrier of all CTAs costs, idle and beside a stream, and an empty kernel",
                                  [rounds](Bench& bench) { return bench_barrier(bench, *rounds); });
    command->add_option("--rounds", *rounds, "Barriers in a launch (default 2000; 20 on the emulator)")
        ->check(CLI::Range(1, 1'000'000));
    command->footer("One CTA on each multiprocessor, launched cooperatively.\nExample:\n  ptxgen-bench barrier");
}

} // namespace ptxgen::tools
