#pragma once

#include "runtime/cuda/context.hpp"
#include "runtime/cuda/module_cache.hpp"
#include "runtime/device.hpp"

#include <optional>
#include <string_view>

namespace ptxgen::cuda {

/// Compiles PTX with the driver's compiler for the device of `properties` and loads it into `context`, or loads the
/// compiled form from `cache`. The error carries the compiler's log with the lines that it names.
Result<abi::Module> load_ptx(const Context& context, const runtime::DeviceProperties& properties,
                             const std::optional<ModuleCache>& cache, std::string_view ptx);

/// The CUjit_target of a device: its real compute capability, the architecture-specific one where it has that.
unsigned jit_target(const Target& target);

} // namespace ptxgen::cuda
