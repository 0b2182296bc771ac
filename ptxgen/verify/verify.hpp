#pragma once

#include "ptxgen/ir/ir.hpp"

#include <vector>

namespace ptxgen {

struct VerifyOptions {
    bool parsed = false; ///< text by others: a register read before any assignment is a warning, not an error
};

/// All findings about a module; no finding of severity error means that ptxas will take its printed text.
std::vector<Diagnostic> verify(const Module& module, const VerifyOptions& options = {});

bool has_errors(const std::vector<Diagnostic>& diagnostics);

} // namespace ptxgen
