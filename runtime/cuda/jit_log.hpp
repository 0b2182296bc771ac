#pragma once

#include <string>
#include <string_view>

namespace ptxgen::cuda {

/// A PTX compiler's log with, below each message that names a line ("line 12; error : ..."), that line of `ptx`:
///
///     ptxas application ptx input, line 12; error   : Arguments mismatch for instruction 'add'
///         12 | add.f32 %r1, %r2, %r3;
///
/// Blank lines are left out; of a long log the first 40 messages are kept.
std::string annotate_log(std::string_view log, std::string_view ptx);

/// The operands of the module's `.version` and `.target` directives, empty where it has none.
struct PtxHeader {
    std::string_view version;
    std::string_view target;
};
PtxHeader read_ptx_header(std::string_view ptx);

} // namespace ptxgen::cuda
