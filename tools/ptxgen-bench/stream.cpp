#include "tools/ptxgen-bench/measure.hpp"
#include "tools/ptxgen-bench/stream_kernels.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <vector>

namespace ptxgen::tools {
namespace {

constexpr std::uint32_t data_seed = 0x5EED1234;
constexpr std::uint32_t checked_tiles = 2048; ///< up to so many, the sum of all words is computed on the host too

/// 5 GB or half of what is free on a GPU, far more than caches hold; a little on the emulator, which is slow.
Result<std::uint64_t> default_bytes(Bench& bench) {
    if (bench.device.properties().is_emulator) return std::uint64_t{8} << 20;
    const auto memory = bench.device.memory_info();
    if (!memory) return memory.error();
    return std::min<std::uint64_t>(5'000'000'000, memory->free_bytes / 2);
}

class StreamBench {
public:
    static Result<StreamBench> create(Bench& bench, std::uint64_t bytes) {
        StreamBench self(bench);
        self.tiles_ = static_cast<std::uint32_t>(bytes / stream_tile_bytes);
        if (self.tiles_ == 0)
            return Error{fmt::format("cannot stream {} bytes: at least {} are needed", bytes, stream_tile_bytes)};
        const auto sms = bench.device.properties().multiprocessors;
        // As many threads as a multiprocessor holds.
        const auto resident = bench.device.properties().max_threads_per_multiprocessor / stream_threads;
        self.load_ctas_ = std::min(self.tiles_, sms * resident);
        self.bulk_ctas_ = std::min(self.tiles_, sms);
        auto data = bench.device.allocate(std::uint64_t{self.tiles_} * stream_tile_bytes);
        if (!data) return data.error();
        self.data_ = std::move(*data);
        auto sums = bench.device.allocate(std::size_t{4} * std::max(self.load_ctas_ * stream_threads, self.bulk_ctas_));
        if (!sums) return sums.error();
        self.sums_ = std::move(*sums);
        if (auto ok = self.load_module(stream_ptx(), self.loads_module_); !ok) return ok.error();
        if (auto ok = self.launch(self.loads_module_, "fill_random", self.load_ctas_, stream_threads, 0); !ok)
            return ok.error();
        return self;
    }

    std::uint64_t bytes() const { return std::uint64_t{tiles_} * stream_tile_bytes; }

    Result<Timing> time_loads() {
        auto timing = time("stream_loads", loads_module_, load_ctas_, stream_threads, 0);
        if (!timing || tiles_ > checked_tiles) return timing;
        std::uint32_t expected = 0;
        for (std::uint32_t i = 0; i < bytes() / 4; i++) expected ^= random_word(i, data_seed);
        if (auto ok = check_sums("stream_loads", load_ctas_ * stream_threads, expected); !ok) return ok.error();
        return timing;
    }
    Result<Timing> time_bulk() {
        if (auto ok = load_module(stream_bulk_ptx(), bulk_module_); !ok) return ok.error();
        auto timing = time("stream_bulk", bulk_module_, bulk_ctas_, 32, stream_bulk_shared);
        if (!timing) return timing;
        std::uint32_t expected = 0;
        for (std::uint32_t t = 0; t < tiles_; t++) expected ^= random_word(t * (stream_tile_bytes / 4), data_seed);
        if (auto ok = check_sums("stream_bulk", bulk_ctas_, expected); !ok) return ok.error();
        return timing;
    }
    bool has_bulk() const {
        const auto& properties = bench_.device.properties();
        return properties.target.provides(Target{90}) &&
               properties.shared_bytes_per_block_optin >= stream_bulk_shared + stream_stages * 8;
    }

private:
    explicit StreamBench(Bench& bench) : bench_(bench) {}

    Status load_module(const Result<std::string>& ptx, std::unique_ptr<runtime::LoadedModule>& module) {
        if (!ptx) return ptx.error();
        auto loaded = bench_.device.load(*ptx);
        if (!loaded) return loaded.error();
        module = std::move(*loaded);
        return {};
    }
    Status launch(std::unique_ptr<runtime::LoadedModule>& module, std::string_view name, std::uint32_t ctas,
                  std::uint32_t threads, std::uint32_t shared) {
        const auto kernel = module->kernel(name);
        if (!kernel) return kernel.error();
        return bench_.device.stream().launch(**kernel, {.grid = {ctas}, .block = {threads}, .shared_bytes = shared},
                                             {data_.address(), tiles_, data_seed, sums_.address()});
    }
    /// That what the last launch read is what was written.
    Status check_sums(std::string_view name, std::uint32_t count, std::uint32_t expected) {
        std::vector<std::uint32_t> sums(count);
        runtime::Stream& stream = bench_.device.stream();
        if (auto ok = stream.copy_to_host(sums.data(), sums_.address(), sums.size() * 4); !ok) return ok.error();
        if (auto ok = stream.synchronize(); !ok) return ok.error();
        std::uint32_t found = 0;
        for (const auto sum : sums) found ^= sum;
        if (found == expected) return {};
        return Error{fmt::format("{} read the wrong data: checksum {:#x}, expected {:#x}", name, found, expected)};
    }
    Result<Timing> time(std::string_view name, std::unique_ptr<runtime::LoadedModule>& module, std::uint32_t ctas,
                        std::uint32_t threads, std::uint32_t shared) {
        return time_on_device(bench_, [&](runtime::Stream&) { return launch(module, name, ctas, threads, shared); });
    }

    Bench& bench_;
    std::uint32_t tiles_ = 0, load_ctas_ = 0, bulk_ctas_ = 0;
    runtime::Buffer data_, sums_;
    std::unique_ptr<runtime::LoadedModule> loads_module_, bulk_module_;
};

double gb_per_s(std::uint64_t bytes, double microseconds) { return static_cast<double>(bytes) / microseconds * 1e-3; }

Report::Row row(std::string_view name, std::uint64_t bytes, const Timing& timing) {
    return {{"kernel", name},
            {"MB", static_cast<double>(bytes) * 1e-6},
            {"GB_per_s", gb_per_s(bytes, timing.median)},
            {"us", timing.median},
            {"us_min", timing.min},
            {"us_max", timing.max}};
}

} // namespace

Result<Ceiling> measure_ceiling(Bench& bench) {
    const auto bytes = default_bytes(bench);
    if (!bytes) return bytes.error();
    auto stream = StreamBench::create(bench, *bytes);
    if (!stream) return stream.error();
    const auto loads = stream->time_loads();
    if (!loads) return loads.error();
    double best = gb_per_s(stream->bytes(), loads->median);
    if (stream->has_bulk()) {
        const auto bulk = stream->time_bulk();
        if (!bulk) return bulk.error();
        best = std::max(best, gb_per_s(stream->bytes(), bulk->median));
    }
    bench.report.note("ceiling_GB_per_s", best);
    return Ceiling{best};
}

Result<runtime::Buffer> random_buffer(Bench& bench, std::uint64_t bytes, std::uint32_t seed) {
    const std::uint64_t tiles = (bytes + stream_tile_bytes - 1) / stream_tile_bytes;
    auto buffer = bench.device.allocate(tiles * stream_tile_bytes);
    if (!buffer) return buffer.error();
    const auto ptx = stream_ptx();
    if (!ptx) return ptx.error();
    auto module = bench.device.load(*ptx);
    if (!module) return module.error();
    const auto kernel = (*module)->kernel("fill_random");
    if (!kernel) return kernel.error();
    const auto ctas = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(tiles, std::uint64_t{bench.device.properties().multiprocessors} * 8));
    if (auto ok = bench.device.stream().launch(
            **kernel, {.grid = {ctas}, .block = {stream_threads}},
            {buffer->address(), static_cast<std::uint32_t>(tiles), seed, runtime::DevicePtr{0}});
        !ok)
        return ok.error();
    // The module must outlive the kernel.
    if (auto ok = bench.device.stream().synchronize(); !ok) return ok.error();
    return buffer;
}

void add_stream(CLI::App& app, const ExitWith& exit_with) {
    auto megabytes = std::make_shared<std::uint64_t>(0);
    auto* command = add_benchmark(
        app, exit_with, "stream", "Rate at which the device's memory is read: the ceiling of everything else",
        [megabytes](Bench& bench) -> Status {
            std::uint64_t bytes = *megabytes * 1'000'000;
            if (bytes == 0) {
                const auto fallback = default_bytes(bench);
                if (!fallback) return fallback.error();
                bytes = *fallback;
            }
            auto stream = StreamBench::create(bench, bytes);
            if (!stream) return stream.error();
            const auto loads = stream->time_loads();
            if (!loads) return loads.error();
            bench.report.add(row("16-byte loads", stream->bytes(), *loads));
            if (!stream->has_bulk()) {
                bench.report.note("bulk copies", "left out: they need sm_90 and 192 KB of shared memory");
                return {};
            }
            const auto bulk = stream->time_bulk();
            if (!bulk) return bulk.error();
            bench.report.add(row("bulk copies", stream->bytes(), *bulk));
            return {};
        });
    command
        ->add_option("--mb", *megabytes,
                     "Megabytes to read (default: 5000 on a GPU or half of what is free, 8 on the emulator)")
        ->check(CLI::Range(1, 1'000'000));
}

} // namespace ptxgen::tools
