#pragma once

#include "ptxgen/isa/target.hpp"
#include "ptxgen/isa/types.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// The instruction table as read from ptxgen/isa/table/*.isa: the same data as ptxgen/isa/form.hpp, which cannot be
/// included here because it includes this program's output.
namespace isa_gen {

using Minima = std::vector<ptxgen::Minimum>;

struct Word {
    std::string text;
    Minima minimum;

    ptxgen::Type type() const;
    ptxgen::Space space() const;
    unsigned count() const; ///< of `v4` or `x4`; 0 for other words
};

struct Slot {
    std::string name;
    std::vector<Word> words;
    bool optional = false;
    bool fixed = false; ///< written as a word in the row
    bool in_method_name = false;
    int fallback = -1;
};

struct Operand {
    std::string name;
    std::string kind = "value"; ///< enumerator of OperandKind
    bool written = false;
    ptxgen::Type type = ptxgen::Type::none;
    int type_slot = -1;
    bool doubled = false;
    bool wider_ok = false;
    unsigned count = 1;
    bool braces = false;
    int count_slot = -1;
    bool optional = false;
    int if_slot = -1;
    bool joined = false;
    bool sink_ok = false;
    bool negatable = false;
    ptxgen::Space space = ptxgen::Space::generic;
    int space_slot = -1;
    unsigned alignment = 0;
    std::int64_t min = INT64_MIN;
    std::int64_t max = INT64_MAX;
};

struct Condition {
    unsigned slot;
    std::uint64_t choices;
    bool operator==(const Condition&) const = default;
};

struct Clause {
    std::vector<Condition> when, require;
    Minima minimum;
    bool never = false;
    std::string text;
};

struct Effect {
    std::string kind;
    int operand = -1;
};

struct Form {
    std::string opcode, family, section;
    std::vector<Slot> slots;
    std::vector<Operand> operands;
    std::vector<Clause> clauses;
    std::vector<Effect> effects;
    Minima minimum;
    Minima removed; ///< empty or one
    bool custom = false;

    std::string head() const { return opcode.substr(0, opcode.find('.')); }
};

/// A mistake in the table.
struct Problem {
    std::string file;
    unsigned line = 0, column = 0;
    std::string message;
};

/// Appends the rows of one file. Goes on after a mistake with the next line.
void read_family(const std::string& file, const std::string& family, const std::string& text, std::vector<Form>& forms,
                 std::vector<Problem>& problems);

/// Groups rows by the first word of their opcode, then by opcode.
void sort_rows(std::vector<Form>& forms);

/// The opcode as an enumerator: "shfl_sync", "and_".
std::string identifier(const std::string& text);
std::string to_string(const Minima& minima); ///< "PTX 8.6, sm_100a or PTX 8.7, sm_120a"
/// The syntax of a row as the manual writes it; `word` is put in place of the slot in the method's name.
std::string syntax(const Form& form, const std::string& word);

// Contents of the generated files.
std::string write_ops(const std::vector<Form>& forms);
std::string write_table(const std::vector<Form>& forms);
std::string write_methods(const std::vector<Form>& forms);
std::string write_modifiers(const std::vector<Form>& forms);
std::string write_page(const std::vector<Form>& forms);

} // namespace isa_gen
