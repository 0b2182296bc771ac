#pragma once

#include "ptxgen/isa/target.hpp"
#include "ptxgen/isa/types.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ptxgen {

/// Instructions by opcode and the modifiers that every form of it has: `Op::mad`, `Op::shfl_sync`,
/// `Op::mbarrier_try_wait`. Generated from the table (ptxgen/isa/table/*.isa).
enum class Op : std::uint16_t {
#include "ptxgen/isa/generated/ops.inc"
};

/// One alternative of a modifier slot.
struct Word {
    std::string_view text;                 ///< without the leading dot; may span dots: "f32.f16.f16.f32"
    Type type = Type::none;                ///< the type that the word names, `none` if it names none
    Space space = Space::generic;          ///< the state space that it names
    std::uint8_t count = 0;                ///< vector elements of `v2`, `v4`, `v8`; 0 for other words
    std::span<const Minimum> minimum = {}; ///< any one of these; empty: no more than the form needs
};

/// A place for at most one modifier.
struct Slot {
    std::string_view name; ///< "T", "SEM"; for a fixed modifier its own text
    std::span<const Word> words;
    bool optional = false;
    bool in_method_name = false; ///< the builder has one method per word (setp_lt, atom_add)
    std::int8_t fallback = -1;   ///< word that the builder takes when the caller names none, -1: none
};

/// Which word of every slot an instruction has: 0 absent, i + 1 for word i.
inline constexpr std::size_t max_slots = 14;
using Choices = std::array<std::uint8_t, max_slots>;

enum class OperandKind : std::uint8_t {
    value,     ///< register, immediate, special register or symbol address (mov)
    reg,       ///< register only
    predicate, ///< predicate register
    address,   ///< [register + offset], [symbol + offset], [immediate]
    immediate, ///< integer constant
    label,     ///< branch target
    symbol,    ///< name of a function or variable
    list,      ///< parameters of a call in parentheses: a vector operand
    sink,      ///< always `_`
};

/// One operand position.
struct OperandSpec {
    std::string_view name;
    OperandKind kind = OperandKind::value;
    bool written = false;         ///< destination; everything else is read
    Type type = Type::none;       ///< fixed element type, used if `type_slot` < 0
    std::int8_t type_slot = -1;   ///< slot whose word gives the element type
    bool doubled = false;         ///< twice the width of the slot's type (`mul.wide`)
    bool wider_ok = false;        ///< a wider register is accepted (integer ld, st, cvt)
    std::uint8_t count = 1;       ///< elements in braces if > 1 (fragments)
    bool braces = false;          ///< in braces also if it is one element, which is no vector operand then
    std::int8_t count_slot = -1;  ///< slot whose word gives the number of elements (`.v4`)
    bool optional = false;        ///< may be left out
    std::int8_t if_slot = -1;     ///< present exactly when this slot is
    bool joined = false;          ///< written behind the previous operand with '|' (`d|p`)
    bool sink_ok = false;         ///< `_` is accepted
    bool negatable = false;       ///< `!p` is accepted
    Space space = Space::generic; ///< of an address, used if `space_slot` < 0
    std::int8_t space_slot = -1;  ///< slot whose word gives the state space of an address
    std::uint8_t alignment = 0; ///< of an address in bytes, 0: the size of what is accessed; of a constant: divides it
    std::int64_t min = INT64_MIN; ///< range of an integer constant, of kind immediate or value
    std::int64_t max = INT64_MAX;
};

/// The slot's choice is among these: bit 0 absent, bit i + 1 word i.
struct Condition {
    std::uint8_t slot;
    std::uint64_t choices;
};

/// Legality across slots: where all of `when` hold, all of `require` must hold too, or `never`, or the minimum applies.
struct Clause {
    std::span<const Condition> when;
    std::span<const Condition> require;
    std::span<const Minimum> minimum;
    bool never = false;
    std::string_view text; ///< as written in the table, for messages
};

enum class EffectKind : std::uint8_t {
    read,
    write,
    read_write, ///< memory at an address operand
    converge,   ///< waits for the lanes in an operand's mask, for all lanes if `operand` < 0
    barrier,    ///< waits for other warps of the CTA or cluster
    branch,
    exit, ///< changes control flow; ends the thread
    fence,
    async_read,
    async_write,    ///< later, by the asynchronous proxy, at an address operand
    tx,             ///< completes on the mbarrier at an address operand
    clc,            ///< cluster launch control
    volatile_value, ///< result differs between executions (clocks, active masks)
};

struct Effect {
    EffectKind kind;
    std::int8_t operand = -1;
};

/// One row of the instruction table: an opcode, its modifier slots and one operand shape.
struct Form {
    Op op;
    std::string_view opcode;  ///< "mad", "shfl.sync"
    std::string_view family;  ///< as in the manual's table of contents: "integer"
    std::string_view section; ///< of the PTX ISA manual: "9.7.1.4"
    std::span<const Slot> slots;
    std::span<const OperandSpec> operands;
    std::span<const Clause> clauses;
    std::span<const Effect> effects;
    std::span<const Minimum> minimum; ///< any one of these
    std::optional<Minimum> removed;   ///< gone from this version on for targets that provide this one
    bool custom = false;              ///< needs hand-written code beside its row

    bool has_effect(EffectKind kind) const {
        for (const auto& effect : effects)
            if (effect.kind == kind) return true;
        return false;
    }
};

/// All rows, grouped by opcode.
std::span<const Form> forms();
/// Rows of an opcode's first word ("mad", "shfl"); empty for an unknown one.
std::span<const Form> forms_of(std::string_view head);
std::string_view to_string(Op op); ///< "shfl.sync"

/// Index of the named slot, -1 if the form has none.
constexpr int slot_index(const Form& form, std::string_view name) {
    for (std::size_t i = 0; i < form.slots.size(); i++)
        if (form.slots[i].name == name) return static_cast<int>(i);
    return -1;
}

/// Whether every choice is a word of its slot or an absence.
constexpr bool are_words(const Form& form, const Choices& choices) {
    for (std::size_t i = 0; i < max_slots; i++)
        if (choices[i] > (i < form.slots.size() ? form.slots[i].words.size() : 0)) return false;
    return true;
}

// What follows compares no addresses where it may run at compile time: g++'s -fsanitize=undefined makes that no
// constant expression (GCC bug 71962).

constexpr bool is_chosen(const Choices& choices, int slot) {
    return slot >= 0 && choices[static_cast<std::size_t>(slot)] != 0;
}

/// The word of a slot that has one.
constexpr const Word& word_of(const Form& form, const Choices& choices, int slot) {
    return form.slots[static_cast<std::size_t>(slot)].words[choices[static_cast<std::size_t>(slot)] - 1u];
}

/// The chosen word of a slot, nullptr if absent.
constexpr const Word* chosen(const Form& form, const Choices& choices, int slot) {
    return is_chosen(choices, slot) ? &word_of(form, choices, slot) : nullptr;
}

/// The text of the chosen word of the named slot, "" if absent or no such slot.
constexpr std::string_view chosen_word(const Form& form, const Choices& choices, std::string_view name) {
    const int slot = slot_index(form, name);
    return is_chosen(choices, slot) ? word_of(form, choices, slot).text : std::string_view{};
}

/// Element type of an operand under these choices.
constexpr Type element_type(const Form& form, const Choices& choices, const OperandSpec& operand) {
    if (operand.type_slot < 0) return operand.type;
    if (!is_chosen(choices, operand.type_slot)) return Type::none;
    const Type type = word_of(form, choices, operand.type_slot).type;
    return operand.doubled ? doubled(type) : type;
}

/// Number of elements of an operand under these choices (1: a scalar).
constexpr unsigned element_count(const Form& form, const Choices& choices, const OperandSpec& operand) {
    if (operand.count_slot < 0) return operand.count;
    if (!is_chosen(choices, operand.count_slot)) return 1;
    const unsigned count = word_of(form, choices, operand.count_slot).count;
    return count ? count : 1u;
}

constexpr Space address_space(const Form& form, const Choices& choices, const OperandSpec& operand) {
    if (operand.space_slot < 0) return operand.space;
    return is_chosen(choices, operand.space_slot) ? word_of(form, choices, operand.space_slot).space : Space::generic;
}

/// Whether an operand position is filled under these choices; optional ones may also be left out.
constexpr bool is_present(const Choices& choices, const OperandSpec& operand) {
    return operand.if_slot < 0 || choices[static_cast<std::size_t>(operand.if_slot)] != 0;
}

constexpr bool holds(const Condition& condition, const Choices& choices) {
    return (condition.choices >> choices[condition.slot]) & 1u;
}

/// Number of the first clause that forbids these choices, -1 if they are legal.
constexpr int violated_clause_index(const Form& form, const Choices& choices) {
    for (std::size_t i = 0; i < form.clauses.size(); i++) {
        const Clause& clause = form.clauses[i];
        bool applies = true;
        for (const auto& condition : clause.when) applies = applies && holds(condition, choices);
        if (!applies) continue;
        bool broken = clause.never;
        for (const auto& condition : clause.require) broken = broken || !holds(condition, choices);
        if (broken) return static_cast<int>(i);
    }
    return -1;
}

/// The clause itself, nullptr if they are legal.
inline const Clause* violated_clause(const Form& form, const Choices& choices) {
    const int index = violated_clause_index(form, choices);
    return index < 0 ? nullptr : &form.clauses[static_cast<std::size_t>(index)];
}

/// Everything that an instruction with these choices asks of version and target: one entry per part (form, words,
/// clauses), each satisfied by any one of its alternatives.
using Requirements = std::array<std::span<const Minimum>, max_slots + 8>;
Requirements requirements(const Form& form, const Choices& choices);

/// Nothing if the instruction exists for this version and target; else the alternatives of the part that does not.
std::optional<std::span<const Minimum>> unmet(const Form& form, const Choices& choices, PtxVersion version,
                                              Target target);

/// The mnemonic with its modifiers: "ld.global.v4.f32".
std::string mnemonic(const Form& form, const Choices& choices);
void append_mnemonic(std::string& out, const Form& form, const Choices& choices);

/// Assigns modifiers, in any order, to the slots of a form. On failure says at which modifier, or which is missing.
struct ModifierMatch {
    bool ok = false;
    Choices choices{};
    std::size_t failed_at = 0;      ///< index of the first modifier that found no slot; their number if one is missing
    std::string_view missing;       ///< name of the slot left empty, if that is the failure
    const Clause* clause = nullptr; ///< the clause that is violated, if that is the failure
};
ModifierMatch match_modifiers(const Form& form, std::span<const std::string_view> modifiers);

/// Special registers (PTX ISA 10), with `%` and component: "%tid.x".
struct SpecialRegister {
    std::string_view name;
    Type type;
    Minimum minimum;
    bool varies = false; ///< may differ between two reads by one thread (clocks, timers)
};
std::span<const SpecialRegister> special_registers();
std::optional<std::uint16_t> find_special_register(std::string_view name);

} // namespace ptxgen
