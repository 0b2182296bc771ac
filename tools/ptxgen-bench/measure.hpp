#pragma once

#include "tools/ptxgen-bench/frame.hpp"

#include <functional>
#include <vector>

namespace ptxgen::tools {

/// Times of measured runs, in microseconds.
struct Timing {
    double median = 0, min = 0, max = 0;
};
/// Sorts the times of at least one run.
Timing summarise(std::vector<double> microseconds);

/// Times what `work` queues on the device's stream, between two device events (of the emulator, by the host's clock),
/// after the warm-up. With `repeats` it is
/// queued so often for each run, and the time is that of one: for work that takes no longer than an event is exact.
Result<Timing> time_on_device(Bench& bench, const std::function<Status(runtime::Stream&)>& work, unsigned repeats = 1);

/// The rate at which this device reads memory: the larger of the two of `stream`. What a kernel's rate is divided by,
/// measured in the same run.
struct Ceiling {
    double gb_per_s = 0; ///< 1e9 bytes a second
};
/// Measures it, and notes it in the report.
Result<Ceiling> measure_ceiling(Bench& bench);

/// Device memory full of random bits, the same for the same seed. Zeros would be read faster.
Result<runtime::Buffer> random_buffer(Bench& bench, std::uint64_t bytes, std::uint32_t seed);

} // namespace ptxgen::tools
