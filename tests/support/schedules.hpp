#pragma once

#include "runtime/emulator/choices.hpp"
#include "runtime/emulator/emulator.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace ptxgen::test {

struct Exploration {
    std::uint64_t schedules = 0;       ///< that were run
    bool complete = false;             ///< all that there are
    std::vector<std::uint32_t> script; ///< of the one at which `run` said stop; for Choices::scripted
};

/// Calls run() once for every schedule of a launch: all combinations of the choices of `kinds`, depth first; everything
/// else happens in order. `run` launches on `device` from fresh arguments, and says whether to go on. At most `limit`
/// schedules. With Points::all_wait (runtime/emulator/choices.hpp) there are far fewer. Leaves the device in order.
Exploration
explore_schedules(runtime::EmulatedDevice& device, const std::function<bool()>& run,
                  const std::vector<runtime::emulator::ChoiceKind>& kinds = {runtime::emulator::ChoiceKind::dispatch,
                                                                             runtime::emulator::ChoiceKind::completion,
                                                                             runtime::emulator::ChoiceKind::outcome},
                  std::uint64_t limit = 1'000'000,
                  runtime::emulator::Points points = runtime::emulator::Points::every_event);

/// Calls run(k) under `count` schedules: the first in order, then random and adversarial ones in turn, with the seeds
/// first_seed, first_seed + 1, …. Stops when `run` says so; how many ran. Leaves the device in order.
std::uint64_t sample_schedules(runtime::EmulatedDevice& device, std::uint64_t count,
                               const std::function<bool(std::uint64_t)>& run, std::uint64_t first_seed = 1);

} // namespace ptxgen::test
