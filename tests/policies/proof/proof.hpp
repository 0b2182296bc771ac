#pragma once

#include "runtime/emulator/emulator.hpp"
#include "tests/policies/proof/workload.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>

namespace ptxgen::test {

/// A kernel on the emulator that is launched many times, each time under another schedule and from fresh buffers.
class Proof {
public:
    struct Case {
        kernels::Generated kernel;
        Workload workload;
        kernels::Grid grid;                       ///< of tiles
        std::optional<std::uint32_t> static_ctas; ///< launched, for the scheduler static
    };

    /// `resident`: CTAs at once.
    Proof(Target target, std::uint32_t resident);

    runtime::EmulatedDevice& device() { return *device_; }

    void load(const Case& tested);
    /// One launch under the device's schedule. What is wrong with it, in one line: a finding, a tile that ran never or
    /// twice, another result than the plain kernel's, tickets that are not reset, counters that do not add up. Empty:
    /// nothing.
    std::string launch();
    /// The counters of the last launch.
    const std::array<std::uint32_t, 4>& counters() const { return counters_; }

private:
    Target target_;
    std::unique_ptr<runtime::EmulatedDevice> device_;
    std::unique_ptr<runtime::LoadedModule> module_;
    runtime::Kernel* kernel_ = nullptr;
    runtime::LaunchConfig config_;
    std::uint32_t tiles_ = 0;
    bool has_tickets_ = false, has_counters_ = false, one_cta_a_tile_ = true;
    std::vector<std::uint32_t> plain_; ///< what the plain kernel gives
    runtime::Buffer out_, claims_, costs_, tickets_, counts_;
    std::array<std::uint32_t, 4> counters_{};
};

/// Policies that everything is proven for: the examples of all named ones, some joined, and some that none of them
/// covers, such as one that does not go on after a success.
std::vector<policies::Policy> proven_policies();

/// Whether PTXGEN_FULL_PROOF is set: ten times the schedules, and larger grids in all schedules.
bool full_proof();
inline std::uint32_t schedules_of_a_case() { return full_proof() ? 1000 : 100; }

} // namespace ptxgen::test
