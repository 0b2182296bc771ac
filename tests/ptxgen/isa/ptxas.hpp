#pragma once

#include "cases.hpp"

#include <optional>
#include <string>
#include <vector>

namespace isa_test {

/// What ptxas says about each of some instructions that stand in one kernel.
struct Verdict {
    bool accepted = true;
    std::vector<std::string> messages;
};

/// The assembler for the tests: $PTXGEN_PTXAS, else ptxas on the PATH; nothing if there is none.
std::optional<std::string> find_ptxas();

/// A module of one kernel of these lines, which begin at line `first_line`.
std::string module_text(const Setting& setting, const std::vector<std::string>& lines, unsigned& first_line);

/// Assembles one kernel of these lines. A parsing error hides what stands behind it, so the lines are then split.
std::vector<Verdict> assemble(const std::string& ptxas, const Setting& setting, const std::vector<std::string>& lines);

} // namespace isa_test
