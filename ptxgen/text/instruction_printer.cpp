#include "ptxgen/text/instruction_printer.hpp"

#include "ptxgen/text/text.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>

namespace ptxgen {
namespace {

const std::string unknown = "?";

const std::string& name_at(const std::vector<std::string>& names, std::uint32_t id) {
    return id < names.size() ? names[id] : unknown;
}

void append_integer(std::string& out, std::int64_t value, int base = 10) {
    std::array<char, 24> digits; // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr);
}

void append_constant(std::string& out, std::int64_t value) {
    constexpr std::int64_t largest_decimal = 99999;
    if (value <= largest_decimal) return append_integer(out, value);
    out += "0x";
    append_integer(out, value, 16);
}

// ptxas reads [r+-4] but not [r-4].
void append_offset(std::string& out, std::int64_t offset) {
    if (offset == 0) return;
    out += '+';
    append_integer(out, offset);
}

} // namespace

std::string integer_text(std::int64_t value) {
    std::string text;
    append_constant(text, value);
    return text;
}

std::string InstructionPrinter::symbol_name(SymbolScope scope, std::uint32_t id) const {
    switch (scope) {
    case SymbolScope::module_variable: return id < module_.variables.size() ? module_.variables[id].name : unknown;
    case SymbolScope::local_variable: return id < function_.variables.size() ? function_.variables[id].name : unknown;
    case SymbolScope::function: return id < module_.functions.size() ? module_.functions[id].name : unknown;
    case SymbolScope::parameter: {
        if (id < function_.parameters.size()) return function_.parameters[id].name;
        const std::size_t result = id - function_.parameters.size();
        return result < function_.returns.size() ? function_.returns[result].name : unknown;
    }
    }
    return unknown;
}

void InstructionPrinter::append(std::string& out, const Operand& operand) const {
    if (operand.negated) out += '!';
    switch (operand.kind) {
    case Operand::Kind::none: break;
    case Operand::Kind::reg: out += name_at(names().registers, operand.id); break;
    case Operand::Kind::integer: append_constant(out, operand.value); break;
    case Operand::Kind::f32_bits: out += fmt::format("0f{:08X}", static_cast<std::uint32_t>(operand.value)); break;
    case Operand::Kind::f64_bits: out += fmt::format("0d{:016X}", static_cast<std::uint64_t>(operand.value)); break;
    case Operand::Kind::special:
        out += operand.id < special_registers().size() ? special_registers()[operand.id].name : "?";
        break;
    case Operand::Kind::symbol:
        out += symbol_name(operand.scope, operand.id);
        append_offset(out, operand.value);
        break;
    case Operand::Kind::label: out += name_at(names().labels, operand.id); break;
    case Operand::Kind::sink: out += '_'; break;
    case Operand::Kind::vector:
        out += '{';
        for (std::size_t i = 0; i < operand.elements.size(); i++) {
            if (i != 0) out += ", ";
            append(out, operand.elements[i]);
        }
        out += '}';
        break;
    case Operand::Kind::address:
        out += '[';
        if (operand.base == Operand::Kind::reg || operand.base == Operand::Kind::symbol) {
            if (operand.base == Operand::Kind::reg)
                out += name_at(names().registers, operand.id);
            else
                out += symbol_name(operand.scope, operand.id);
            append_offset(out, operand.value);
        } else {
            append_constant(out, operand.value);
        }
        out += ']';
        break;
    }
}

void InstructionPrinter::append_operands(std::string& out, const Instruction& instruction) const {
    const bool raw = instruction.form == raw_form || instruction.form >= forms().size();
    const auto specs = raw ? std::span<const OperandSpec>{} : instruction.row().operands;
    bool first = true;
    bool join = false;
    for (std::size_t i = 0; i < instruction.operands.size(); i++) {
        const auto& operand = instruction.operands[i];
        if (operand.kind == Operand::Kind::none) {
            join = raw;
            continue;
        }
        if (i < specs.size() && specs[i].joined) join = true;
        out += first ? " " : join ? "|" : ", ";
        const bool list = i < specs.size() && specs[i].kind == OperandKind::list;
        const bool braces = i < specs.size() && specs[i].braces && operand.kind != Operand::Kind::vector;
        if (braces) out += '{';
        const auto begin = out.size();
        append(out, operand);
        if (braces) out += '}';
        if (list && out.size() >= begin + 2) out[begin] = '(', out.back() = ')';
        first = join = false;
    }
}

void InstructionPrinter::append(std::string& out, const Instruction& instruction) const {
    if (instruction.guard) {
        out += '@';
        append(out, *instruction.guard);
        out += ' ';
    }
    if (instruction.form == raw_form)
        out += instruction.raw_mnemonic;
    else if (instruction.form < forms().size() && are_words(instruction.row(), instruction.choices))
        append_mnemonic(out, instruction.row(), instruction.choices);
    else
        out += '?';
    append_operands(out, instruction);
    out += ';';
}

std::string print(const Function& function, const Instruction& instruction, const Module& module) {
    std::string out;
    InstructionPrinter(module, function).append(out, instruction);
    return out;
}

} // namespace ptxgen
