#include "tools/ptxgen-bench/measure.hpp"

#include <algorithm>
#include <chrono>

namespace ptxgen::tools {

Timing summarise(std::vector<double> microseconds) {
    std::sort(microseconds.begin(), microseconds.end());
    const std::size_t middle = microseconds.size() / 2;
    const bool even = microseconds.size() % 2 == 0;
    const double median = even ? (microseconds[middle - 1] + microseconds[middle]) / 2 : microseconds[middle];
    return {median, microseconds.front(), microseconds.back()};
}

Result<Timing> time_on_device(Bench& bench, const std::function<Status(runtime::Stream&)>& work, unsigned repeats) {
    auto start = bench.device.create_event();
    if (!start) return start.error();
    auto end = bench.device.create_event();
    if (!end) return end.error();
    runtime::Stream& stream = bench.device.stream();
    // The emulator's events count operations; its operations are done when the call returns.
    const bool by_host = bench.device.properties().is_emulator;
    std::vector<double> times;
    for (unsigned run = 0; run < bench.options.warm_up + bench.options.runs; run++) {
        const auto before = std::chrono::steady_clock::now();
        if (auto ok = stream.record(**start); !ok) return ok.error();
        for (unsigned i = 0; i < repeats; i++)
            if (auto ok = work(stream); !ok) return ok.error();
        if (auto ok = stream.record(**end); !ok) return ok.error();
        if (auto ok = stream.synchronize(); !ok) return ok.error();
        const std::chrono::duration<double, std::micro> on_host = std::chrono::steady_clock::now() - before;
        const auto took = (*start)->elapsed_ms(**end);
        if (!took) return took.error();
        const double microseconds = by_host ? on_host.count() : double{*took} * 1e3;
        if (run >= bench.options.warm_up) times.push_back(microseconds / repeats);
    }
    return summarise(std::move(times));
}

} // namespace ptxgen::tools
