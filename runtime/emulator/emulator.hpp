#pragma once

#include "runtime/device.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ptxgen::runtime {

namespace emulator {
class Choices;
}

/// Something that a kernel did wrong, as compute-sanitizer would say it.
struct Finding {
    std::string rule;    ///< memcheck, initcheck, synccheck, asynccheck, clccheck, trap, deadlock
    std::string message; ///< what happened, without the rule
    std::string kernel;
    std::uint32_t line = 0;    ///< of the instruction in the PTX text
    std::string instruction;   ///< that line, without indentation
    Dim3 cta;                  ///< %ctaid
    Dim3 thread;               ///< %tid
    std::uint64_t address = 0; ///< of a memory access; 0 otherwise
    std::uint64_t seed = 0;    ///< EmulatorOptions::seed of the run
};

/// "memcheck: … (kernel k, line 12: 'ld.global.f32 …', CTA (0,0,0), thread (5,0,0), seed 1)"
std::string to_string(const Finding& finding);

/// Which build of the interpreter runs: `native` is the widest that this processor has.
enum class VectorLevel : std::uint8_t { native, baseline, avx2, avx512 };

/// In which order things happen that a kernel leaves open: CTAs and warps, the start of clusters, the completion of
/// asynchronous operations.
enum class Schedule : std::uint8_t {
    in_order,    ///< the quickest to emulate; operations complete when somebody waits for them
    random,      ///< each option as likely as the others
    adversarial, ///< extremes, for a while each: CTAs starve, clusters start in reverse, operations take their time
};

struct EmulatorOptions {
    Target target{90, TargetVariant::arch}; ///< what the device presents
    PtxVersion ptx_version{9, 0};           ///< the newest it presents
    std::uint32_t multiprocessors = 4;
    unsigned threads = 0; ///< host threads; 0: all cores; 1: reproducible. Other schedules than in_order take one
    bool checks = true;   ///< memcheck, initcheck, synccheck, asynccheck, clccheck; deadlocks are always found
    Schedule schedule = Schedule::in_order;
    std::uint64_t seed = 1;         ///< of the schedule: the same seed and the same launches are the same run
    std::uint32_t resident = 0;     ///< CTAs that are resident at once; 0: as many as fit on the multiprocessors
    std::uint64_t memory_bytes = 0; ///< of the device; 0: three quarters of what this process may have
    double stall_seconds = 30;      ///< a launch that changes no memory for so long is a deadlock
    VectorLevel vector_level = VectorLevel::native;
    std::function<void(const Finding&)> on_finding; ///< called on the launching thread, after the launch
};

/// The device that runs PTX on the CPU. Streams execute at once; a launch returns when the grid has run.
class EmulatedDevice : public Device {
public:
    /// Findings since the last clear_findings(); a launch stops at its first.
    virtual const std::vector<Finding>& findings() const = 0;
    virtual void clear_findings() = 0;
    /// Instructions that threads executed, over all launches so far.
    virtual std::uint64_t executed_instructions() const = 0;
    /// Puts launches from now on under another schedule.
    virtual void set_schedule(Schedule schedule, std::uint64_t seed) = 0;
    /// Puts them under these choices (runtime/emulator/choices.hpp): a script, or all schedules one after the other.
    virtual void set_choices(std::shared_ptr<emulator::Choices> choices) = 0;
};

/// Never fails; memory is reserved at the first allocation.
std::unique_ptr<EmulatedDevice> create_emulator(EmulatorOptions options = {});

} // namespace ptxgen::runtime
