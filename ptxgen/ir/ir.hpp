#pragma once

#include "ptxgen/base/diagnostic.hpp"
#include "ptxgen/base/result.hpp"
#include "ptxgen/isa/form.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ptxgen {

/// Index of a register in its function.
struct Register {
    std::uint32_t index = 0;
    constexpr bool operator==(const Register&) const = default;
};

/// A declared register. Built code uses `.pred` and bit types; parsed code keeps the declared type.
struct RegisterInfo {
    Type type = Type::b32;
    std::string name; ///< with `%`; empty: the printer numbers it by its type (%p1, %h1, %r1, %rd1, %q1)
};

enum class SymbolScope : std::uint8_t { module_variable, parameter, local_variable, function };

/// One operand of an instruction. Positions follow the form's operand specs; a position that is left out is `none`.
struct Operand {
    enum class Kind : std::uint8_t {
        none,
        reg,      ///< `id` is a register index
        integer,  ///< `value`
        f32_bits, ///< `value` holds the bits, printed as 0fXXXXXXXX
        f64_bits, ///< likewise, 0dXXXXXXXXXXXXXXXX
        special,  ///< `id` indexes special_registers()
        symbol,   ///< address of a symbol + `value`
        label,    ///< `id` indexes Function::labels
        sink,     ///< `_`
        vector,   ///< `elements`
        address,  ///< [base + value]; base is none, reg or symbol
    };

    Kind kind = Kind::none;
    Kind base = Kind::none;                           ///< of an address
    bool negated = false;                             ///< `!p`
    SymbolScope scope = SymbolScope::module_variable; ///< of a symbol or symbol base
    std::uint32_t id = 0;   ///< register, special register, label or symbol index; parameters count
                            ///< through Function::parameters, then Function::returns
    std::int64_t value = 0; ///< immediate, or byte offset
    std::vector<Operand> elements;

    static Operand reg(Register r, bool negated = false);
    static Operand integer(std::int64_t value);
    static Operand f32(float value);
    static Operand f64(double value);
    static Operand special(std::uint16_t index);
    static Operand symbol(SymbolScope scope, std::uint32_t index, std::int64_t offset = 0);
    static Operand label(std::uint32_t index);
    static Operand sink();
    static Operand vector(std::vector<Operand> elements);
    static Operand address(Register base, std::int64_t offset = 0);
    static Operand address(SymbolScope scope, std::uint32_t index, std::int64_t offset = 0);
    static Operand absolute(std::int64_t address);

    bool operator==(const Operand&) const = default;
};

/// `form` of an instruction that the table does not have (`KernelBuilder::raw`).
inline constexpr std::uint16_t raw_form = 0xffff;

struct Instruction {
    std::uint16_t form = 0; ///< index in forms(), or raw_form
    Choices choices{};
    std::optional<Operand> guard;  ///< @p or @!p: a register operand, `negated` for `!`
    std::vector<Operand> operands; ///< as many as the form has operand specs
    std::string comment;           ///< printed on its own line before the instruction
    std::string pragma;            ///< strings of a `.pragma` before it: "\"nounroll\"" at the head of a loop
    SourceLocation location;
    /// raw_form only: the mnemonic with modifiers, and what it was said to need. A `none` operand stands for the '|'
    /// that joins its neighbours.
    std::string raw_mnemonic;
    Minimum raw_minimum{};

    const Form& row() const { return forms()[form]; }
    bool is(Op op) const { return form != raw_form && row().op == op; }
};

/// A label stands before the instruction at `position`; `position` may be the number of instructions.
struct Label {
    std::string name; ///< with `$` or letters, as printed; empty: $L<index>
    std::uint32_t position = 0;
    bool placed = false;
};

enum class Linkage : std::uint8_t { internal, visible, external, weak };

/// A variable at module scope, or one declared in a function (shared, local).
struct Variable {
    std::string name;
    Space space = Space::global;
    Type type = Type::b8;
    std::optional<std::uint64_t> count; ///< array elements; nothing: a scalar; 0 with `external`: dynamic shared memory
    std::uint32_t alignment = 0;        ///< bytes; 0: that of the type
    Linkage linkage = Linkage::internal;
    std::vector<std::uint64_t> initial; ///< bits of the leading elements; the rest is zero
    std::string comment;
    SourceLocation location;

    std::uint64_t byte_size() const { return ptxgen::byte_size(type) * count.value_or(1); }
};

struct Parameter {
    std::string name;
    Type type = Type::u64;
    std::optional<std::uint64_t> count; ///< `.b8 name[N]`: a structure by value
    std::uint32_t alignment = 0;        ///< of an array parameter
    bool pointer = false;               ///< `.ptr`
    Space pointer_space = Space::generic;
    std::uint32_t pointer_alignment = 0; ///< of what it points to
    std::string comment;                 ///< meaning, for people
    SourceLocation location;

    std::uint64_t byte_size() const { return ptxgen::byte_size(type) * count.value_or(1); }
};

struct Function {
    std::string name;
    bool is_kernel = true;       ///< .entry, else .func
    bool is_declaration = false; ///< a prototype without a body
    Linkage linkage = Linkage::visible;
    std::vector<Parameter> parameters;
    std::vector<Parameter> returns; ///< of a .func
    /// Performance directives in print order: "maxntid" -> {256, 1, 1}, "reqnctapercluster", "minnctapersm", …
    std::vector<std::pair<std::string, std::vector<std::uint32_t>>> directives;
    std::vector<RegisterInfo> registers;
    std::vector<Variable> variables; ///< declared inside: shared, local
    std::vector<Label> labels;
    std::vector<Instruction> body;
    std::string comment;
    SourceLocation location;
};

/// A translation unit. Plain data: anything may be built here, the verifier says what is wrong with it.
struct Module {
    std::optional<PtxVersion> version; ///< nothing: the lowest that the instructions need
    std::optional<Target> target;      ///< nothing: the lowest that the instructions need
    std::string comment;               ///< header, one or more lines
    std::vector<Variable> variables;
    std::vector<Function> functions;

    const Function* find_function(std::string_view name) const; ///< the definition rather than a prototype
};

/// Version and target that a module is printed for: what it says itself, completed by the lowest that its instructions
/// need. An error names the first instruction that the given pair is too low for, and what it needs.
Result<Minimum> resolve_target(const Module& module);

} // namespace ptxgen
