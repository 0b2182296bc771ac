#pragma once

#include "ptxgen/ir/ir.hpp"

#include <string>
#include <vector>

namespace ptxgen {

/// What the verifier checks, by rule:
/// - structure: ids, modifier choices and operand counts that name nothing (built code)
/// - duplicate-name, invalid-name: of registers, variables, parameters, labels and functions
/// - variable-type, alignment, initialiser, array-size, memory-limit: declarations; static shared memory, constant
///   memory and kernel parameters against the target's limits
/// - directive: unknown, in the wrong place, wrong number or range of arguments, in conflict
/// - modifier-combination: clauses of the instruction table
/// - operand-kind, operand-type, operand-count: kinds, register types by ptxas's compatibility matrix, vector sizes
/// - immediate: constants out of an operand's range (error) or wider than it (warning); floating constants
/// - guard-type, undefined-label, special-register
/// - address-type, state-space, misaligned, out-of-bounds, parameter-write: addresses as far as they are constant
/// - call: direct calls against the function's results and parameters, in number and size
/// - unavailable, target: what the module's version and target lack
/// - uninitialised: registers read before any assignment on some path; assignments under a predicate count for reads
///   under the same predicate, and for the edges of branches on it
/// - missing-exit: control that runs off the end of a function
///
/// Not yet: indirect calls, fragment layouts, wgmma and tcgen05 descriptors, races, barrier uniformity,
/// values of addresses that live in registers.
struct VerifyOptions {
    bool parsed = false; ///< text by others: a register read before any assignment is a warning, not an error
    /// Functions of which the parser could not read everything: their control and data flow is not judged.
    std::vector<std::string> incomplete = {};
};

/// All findings about a module; no finding of severity error means that ptxas will take its printed text.
std::vector<Diagnostic> verify(const Module& module, const VerifyOptions& options = {});

bool has_errors(const std::vector<Diagnostic>& diagnostics);

/// A text parsed and verified in one go.
struct Checked {
    Module module;
    std::vector<Diagnostic> diagnostics; ///< of parser and verifier, in the order of the text
};
Checked check_text(std::string_view text);

} // namespace ptxgen
