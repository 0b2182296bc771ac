#pragma once

#include "kernels/registry.hpp"

namespace ptxgen::kernels {

/// What a launch needs, in lines for the header comment of the text: grid, block, shared memory, parameters in order.
std::string launch_comment(const Generated& generated);

/// Shared memory that the module's kernel declares statically, in bytes, alignment included.
std::uint64_t static_shared_bytes(const Module& module);

} // namespace ptxgen::kernels
