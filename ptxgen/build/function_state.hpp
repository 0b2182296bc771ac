#pragma once

#include "ptxgen/ir/ir.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// What the typed builder writes to: one function under construction. Everything here is untyped and out of line, so
/// that the templates stay thin.
class FunctionState {
public:
    FunctionState(Module& module, std::vector<Diagnostic>& diagnostics, std::size_t function)
        : module_(&module), diagnostics_(&diagnostics), function_(function) {}

    Function& function() { return module_->functions[function_]; }
    Module& module() { return *module_; }

    Register new_register(Type type);
    std::uint32_t new_label(std::string_view name);
    void place_label(std::uint32_t label);

    /// Appends an instruction under the current guard; `operands` follow the form's specs.
    Instruction& append(std::uint16_t form, const Choices& choices, std::vector<Operand> operands);
    void append(Instruction instruction);
    /// Appends the row of an opcode that has these modifiers ("add.u32").
    void append(std::string_view mnemonic, std::vector<Operand> operands);

    /// `mov` into a register; nothing if it is the same register.
    void move(Register target, const Operand& source, Type type);
    /// `target = source + its pending byte offset`, in one instruction.
    void assign_sum(Register target, const Operand& source, Type type);
    /// A new register with the current value of `source`.
    Operand copy(const Operand& source, Type type);
    /// An operand that instructions take as a plain register or immediate: symbols, pointer offsets and negations are
    /// computed into a register first.
    Operand materialise(const Operand& operand, Type type);
    /// The value of a special register, read at the start of the function.
    Operand special(std::string_view name);
    /// Appends at the start of the function: loads of parameters, special registers.
    void append_prologue(Instruction instruction);

    /// Makes the last instruction write `target` instead of the register of `value`. False if that is not possible.
    bool retarget_last(const Operand& value, Register target);

    template <class N>
    Operand immediate(Type type, N value) {
        if constexpr (std::is_floating_point_v<N>)
            return immediate_float(type, static_cast<double>(value));
        else if constexpr (std::is_unsigned_v<N>)
            return immediate_unsigned(type, static_cast<std::uint64_t>(value));
        else
            return immediate_signed(type, static_cast<std::int64_t>(value));
    }
    Operand immediate_float(Type type, double value);
    Operand immediate_signed(Type type, std::int64_t value);
    Operand immediate_unsigned(Type type, std::uint64_t value);

    /// Guard of the instructions that follow; nothing: none.
    std::optional<Operand> guard;
    /// Comment of the next instruction.
    std::string next_comment;

    void error(std::string rule, std::string message);
    /// Joins prologue and body. Called once, when the module is taken.
    void finish();

private:
    /// What every appended instruction gets: the guard, the comment.
    void complete(Instruction& instruction);
    void append_sum(Register target, const Operand& plain, std::int64_t offset, Type type);

    Module* module_;
    std::vector<Diagnostic>* diagnostics_;
    std::size_t function_;
    std::vector<Instruction> prologue_;
    /// Rows and choices of `mov` by Type, once they have been looked up.
    std::array<std::optional<std::pair<std::uint16_t, Choices>>, static_cast<std::size_t>(Type::e5m2x2) + 1> moves_;
    std::map<std::string, Operand, std::less<>> specials_;
    std::map<std::pair<std::uint8_t, std::uint32_t>, Operand> symbol_addresses_;
};

/// Rows and choices of a mnemonic such as "ld.param.u64"; asserts that it exists, so only for fixed texts.
std::pair<std::uint16_t, Choices> find_form(std::string_view mnemonic, std::size_t operands);

} // namespace ptxgen
