#include "tests/support/schedules.hpp"

namespace ptxgen::test {

using runtime::Schedule;
using runtime::emulator::Choices;

Exploration explore_schedules(runtime::EmulatedDevice& device, const std::function<bool()>& run,
                              const std::vector<runtime::emulator::ChoiceKind>& kinds, std::uint64_t limit,
                              runtime::emulator::Points points) {
    Exploration done;
    const auto choices = Choices::scripted({}, kinds, points);
    while (done.schedules < limit) {
        device.set_choices(choices);
        ++done.schedules;
        if (!run()) {
            for (const auto& choice : choices->taken()) done.script.push_back(choice.chosen);
            break;
        }
        if (!choices->advance()) {
            done.complete = true;
            break;
        }
    }
    device.set_schedule(Schedule::in_order, 1);
    return done;
}

std::uint64_t sample_schedules(runtime::EmulatedDevice& device, std::uint64_t count,
                               const std::function<bool(std::uint64_t)>& run, std::uint64_t first_seed) {
    std::uint64_t k = 0;
    for (bool more = true; k < count && more; ++k) {
        device.set_schedule(k == 0       ? Schedule::in_order
                            : k % 2 == 1 ? Schedule::random
                                         : Schedule::adversarial,
                            first_seed + k);
        more = run(k);
    }
    device.set_schedule(Schedule::in_order, 1);
    return k;
}

} // namespace ptxgen::test
