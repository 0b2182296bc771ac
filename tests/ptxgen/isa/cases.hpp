#pragma once

#include "ptxgen/ir/ir.hpp"

#include <string>
#include <vector>

/// Instructions made from the table's rows, as PTX text.
namespace isa_test {

/// What stands at each operand position of an instruction.
enum class Filling : std::uint8_t { left_out, normal, literal, sink, negated };

struct Case {
    const ptxgen::Form* form = nullptr;
    ptxgen::Choices choices{};
    std::vector<Filling> fillings; ///< one for each operand position
    const ptxgen::Clause* breaks = nullptr;

    ptxgen::Instruction instruction() const; ///< in the only function of scaffold()
    std::string text() const;                ///< what the printer makes of it: "ld.global.f32 %r1, [%rd40];"
};

/// A module with the registers and variables that instructions of cases use.
const ptxgen::Module& scaffold();

/// A version and a target to assemble for.
struct Setting {
    ptxgen::PtxVersion version;
    ptxgen::Target target;
    auto operator<=>(const Setting&) const = default;
};

/// Legal instructions: every pair of words of different slots that some legal instruction has, every optional operand,
/// literals, sinks and negations.
std::vector<Case> accepted_cases(const ptxgen::Form& form);
/// Instructions with all combinations of words, legal or not, up to `most`; a fixed pseudo-random choice of more.
std::vector<Case> all_cases(const ptxgen::Form& form, std::size_t most);
/// For every clause instructions that break this one alone.
std::vector<Case> rejected_cases(const ptxgen::Form& form);

/// Lowest settings that provide the case: one for each combination of alternatives that differ in their target.
std::vector<Setting> lowest_settings(const Case& c);
/// Whether the table says that the case assembles there.
bool is_provided(const Case& c, const Setting& setting);
/// Whether another row of the same opcode has these modifiers: then what this row forbids may be legal all the same.
bool is_in_another_row(const Case& c);
/// All PTX ISA versions there have been, ascending.
const std::vector<ptxgen::PtxVersion>& versions();

} // namespace isa_test
