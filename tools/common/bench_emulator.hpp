#pragma once

#include <string>

namespace ptxgen::tools {

struct EmulatorBenchOptions {
    unsigned threads = 1; ///< host threads; 0: all cores
    unsigned runs = 15;   ///< measured launches of each kernel, after one that is not
    bool json = false;
};

/// Thread instructions per second of the emulator, with checks on and off, on the Q4_1 GEMV and on kernels whose
/// accesses are coalesced, gathered, and whose branches diverge: the median of `runs`. Writes the report to `out`.
/// Returns the process's exit code; an error goes to `error`.
int bench_emulator(const EmulatorBenchOptions& options, std::string& out, std::string& error);

} // namespace ptxgen::tools
