#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"
#include "tools/ptxgen-bench/benchmarks.hpp"
#include "tools/ptxgen-bench/report.hpp"

#include <functional>
#include <memory>
#include <string>

namespace ptxgen::tools {

/// Options that every benchmark has.
struct CommonOptions {
    std::string device = "auto"; ///< of those that run on a device
    int gpu = 0;
    unsigned threads = 0; ///< host threads of the emulator, 0: all cores
    unsigned runs = 15;   ///< measured; the median is what counts
    unsigned warm_up = 3; ///< runs before them that are not measured
    std::string json;     ///< see Report
};

/// What a benchmark works with.
struct Bench {
    runtime::Device& device;
    const CommonOptions& options;
    Report& report;
};

/// Subcommand `name` with the common options; the caller adds its own. When it is given, the device is opened and
/// `body` runs; an error is printed and ends the program with exit code 1.
CLI::App* add_benchmark(CLI::App& app, const ExitWith& exit_with, const std::string& name, const std::string& summary,
                        std::function<Status(Bench&)> body);
/// The same for what needs no device, or opens its own: no --device and --gpu.
CLI::App* add_host_benchmark(CLI::App& app, const ExitWith& exit_with, const std::string& name,
                             const std::string& summary, std::function<Status(const CommonOptions&, Report&)> body);

} // namespace ptxgen::tools
