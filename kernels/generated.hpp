#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <string>

namespace ptxgen::kernels {

/// How a launch of a generated kernel is shaped; what emit prints into the header comment and the manifest.
struct LaunchShape {
    /// CTAs along x, y, z as text over the kernel's parameters: "ceil(rows / 4)", "tokens", "1".
    std::string grid_x = "1", grid_y = "1", grid_z = "1";
    std::uint32_t block_x = 1, block_y = 1, block_z = 1;
    std::uint32_t dynamic_shared_bytes = 0;
    bool cooperative = false;
    std::uint32_t cluster_x = 1, cluster_y = 1, cluster_z = 1; ///< CTAs of a cluster, which the kernel itself says
};

/// CTAs of one launch: LaunchShape's formulas with numbers put in. Each kernel's header has a function for it.
struct Grid {
    std::uint32_t x = 1, y = 1, z = 1;
    bool operator==(const Grid&) const = default;
};

/// A kernel that was built: verified module (one kernel) and how to launch it. The kernel's parameters with types and
/// meaning stand in module.functions[0].parameters.
struct Generated {
    Module module;
    LaunchShape launch;
    std::string policy, scheduler; ///< under which it was scheduled; empty: it was not

    const std::string& name() const { return module.functions[0].name; }
};

/// Ends a module of one kernel. The error names the kernel and lists all diagnostics of severity error.
Result<Generated> finish(ModuleBuilder&& builder, LaunchShape launch);

/// The value for a kernel's `name` when it must lie in [min, max]; the error says so.
Status check_range(std::string_view name, std::uint64_t value, std::uint64_t min, std::uint64_t max);

constexpr std::uint32_t ceil_div(std::uint32_t a, std::uint32_t b) { return a / b + (a % b != 0); }

} // namespace ptxgen::kernels
