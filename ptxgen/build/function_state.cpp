#include "ptxgen/build/function_state.hpp"

#include "ptxgen/build/value_types.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

namespace ptxgen {

std::pair<std::uint16_t, Choices> find_form(std::string_view mnemonic, std::size_t operands) {
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at <= mnemonic.size();) {
        const auto dot = std::min(mnemonic.find('.', at), mnemonic.size());
        words.push_back(mnemonic.substr(at, dot - at));
        at = dot + 1;
    }
    const auto rows = forms_of(words[0]);
    for (const auto& row : rows) {
        const auto match = match_modifiers(row, std::span(words).subspan(1));
        if (!match.ok) continue;
        // Operands that may be left out stand behind the others in the rows used here.
        const auto required = std::count_if(row.operands.begin(), row.operands.end(), [&](const OperandSpec& spec) {
            return !spec.optional && is_present(match.choices, spec);
        });
        if (static_cast<std::size_t>(required) == operands)
            return {static_cast<std::uint16_t>(&row - forms().data()), match.choices};
    }
    assert(!"a fixed mnemonic of the builder is missing from the instruction table");
    return {};
}

Register FunctionState::new_register(Type type) {
    auto& registers = function().registers;
    registers.push_back({register_type(type), {}});
    return {static_cast<std::uint32_t>(registers.size() - 1)};
}

std::uint32_t FunctionState::new_label(std::string_view name) {
    auto& labels = function().labels;
    const auto index = static_cast<std::uint32_t>(labels.size());
    std::string unique(name.empty() ? "L" : name);
    labels.push_back({fmt::format("{}_{}", unique, index), 0, false});
    return index;
}

void FunctionState::place_label(std::uint32_t label) {
    auto& target = function().labels[label];
    if (target.placed) return error("duplicate-label", fmt::format("label '{}' is placed twice", target.name));
    target.placed = true;
    target.position = static_cast<std::uint32_t>(function().body.size());
}

Instruction& FunctionState::append(std::uint16_t form, const Choices& choices, std::vector<Operand> operands) {
    Instruction& instruction = function().body.emplace_back();
    instruction.form = form;
    instruction.choices = choices;
    instruction.operands = std::move(operands);
    complete(instruction);
    return instruction;
}

void FunctionState::append(Instruction instruction) { complete(function().body.emplace_back(std::move(instruction))); }

void FunctionState::complete(Instruction& instruction) {
    if (guard) {
        if (instruction.guard)
            error("nested-guard",
                  "an instruction with a guard of its own stands inside predicated(); use if_ around it");
        instruction.guard = guard;
    }
    instruction.comment.clear();
    instruction.comment.swap(next_comment);
    if (instruction.form != raw_form) instruction.operands.resize(instruction.row().operands.size());
}

void FunctionState::append(std::string_view text, std::vector<Operand> operands) {
    const auto [form, choices] = find_form(text, operands.size());
    append(form, choices, std::move(operands));
}

void FunctionState::move(Register target, const Operand& source, Type type) {
    const Operand from = materialise(source, type);
    if (from.kind == Operand::Kind::reg && from.id == target.index) return;
    auto& known = moves_[static_cast<std::size_t>(type)];
    if (!known) {
        // Bit types carry every class; integers of 32 and 64 bits read better as unsigned.
        const bool as_unsigned = type_class(type) == TypeClass::unsigned_integer && bit_width(type) >= 16;
        known = find_form(fmt::format("mov.{}", to_string(as_unsigned ? type : register_type(type))), 2);
    }
    append(known->first, known->second, {Operand::reg(target), from});
}

void FunctionState::append_sum(Register target, const Operand& plain, std::int64_t offset, Type type) {
    static const auto narrow = find_form("add.s32", 3), wide = find_form("add.s64", 3);
    const auto& [form, choices] = bit_width(type) == 64 ? wide : narrow;
    append(form, choices, {Operand::reg(target), plain, Operand::integer(offset)});
}

void FunctionState::assign_sum(Register target, const Operand& source, Type type) {
    if (source.kind != Operand::Kind::reg || source.value == 0) return move(target, source, type);
    append_sum(target, Operand::reg(Register{source.id}), source.value, type);
}

Operand FunctionState::copy(const Operand& source, Type type) {
    const Register target = new_register(type);
    move(target, source, type);
    return Operand::reg(target);
}

Operand FunctionState::materialise(const Operand& operand, Type type) {
    if (operand.kind == Operand::Kind::symbol) {
        const auto key = std::pair{static_cast<std::uint8_t>(operand.scope), operand.id};
        auto found = symbol_addresses_.find(key);
        if (found == symbol_addresses_.end()) {
            const Register address = new_register(type);
            const auto [form, choices] = find_form(bit_width(type) == 64 ? "mov.u64" : "mov.u32", 2);
            Instruction instruction;
            instruction.form = form;
            instruction.choices = choices;
            instruction.operands = {Operand::reg(address), Operand::symbol(operand.scope, operand.id)};
            append_prologue(std::move(instruction));
            found = symbol_addresses_.emplace(key, Operand::reg(address)).first;
        }
        Operand base = found->second;
        base.value = operand.value;
        return materialise(base, type);
    }
    if (operand.kind == Operand::Kind::reg && operand.negated) {
        const Register result = new_register(Type::pred);
        Operand plain = operand;
        plain.negated = false;
        append("not.pred", {Operand::reg(result), plain});
        return Operand::reg(result);
    }
    if (operand.kind == Operand::Kind::reg && operand.value != 0) {
        const Register result = new_register(type);
        Operand plain = operand;
        plain.value = 0;
        append_sum(result, plain, operand.value, type);
        return Operand::reg(result);
    }
    return operand;
}

Operand FunctionState::special(std::string_view name) {
    if (const auto found = specials_.find(name); found != specials_.end()) return found->second;
    const auto index = find_special_register(name);
    assert(index);
    const Type type = special_registers()[*index].type;
    const Register target = new_register(type);
    const auto [form, choices] = find_form(fmt::format("mov.{}", to_string(type)), 2);
    Instruction instruction;
    instruction.form = form;
    instruction.choices = choices;
    instruction.operands = {Operand::reg(target), Operand::special(*index)};
    append_prologue(std::move(instruction));
    return specials_.emplace(std::string(name), Operand::reg(target)).first->second;
}

void FunctionState::append_prologue(Instruction instruction) { prologue_.push_back(std::move(instruction)); }

bool FunctionState::retarget_last(const Operand& value, Register target) {
    auto& body = function().body;
    if (body.empty() || value.kind != Operand::Kind::reg || value.value != 0 || value.negated) return false;
    for (const auto& label : function().labels)
        if (label.placed && label.position == body.size()) return false;
    Instruction& last = body.back();
    if (last.form == raw_form || last.guard != guard) return false;
    const auto specs = last.row().operands;
    for (std::size_t i = 0; i < specs.size(); i++) {
        if (!specs[i].written || specs[i].kind == OperandKind::address) continue;
        auto& operand = last.operands[i];
        const auto rename = [&](Operand& element) {
            if (element.kind != Operand::Kind::reg || element.id != value.id) return false;
            element.id = target.index;
            return true;
        };
        if (operand.kind == Operand::Kind::vector) {
            for (auto& element : operand.elements)
                if (rename(element)) return true;
        } else if (rename(operand)) {
            return true;
        }
    }
    return false;
}

Operand FunctionState::immediate_float(Type type, double value) {
    switch (type) {
    case Type::f32: return Operand::f32(static_cast<float>(value));
    case Type::f64: return Operand::f64(value);
    default:
        error("immediate-type", fmt::format("a floating immediate ({}) stands where a {} is expected; convert it first",
                                            value, to_string(type)));
        return Operand::integer(0);
    }
}

Operand FunctionState::immediate_signed(Type type, std::int64_t value) {
    if (type == Type::f32 || type == Type::f64) return immediate_float(type, static_cast<double>(value));
    const unsigned width = bit_width(type); // 0: an immediate of the instruction, whose range the verifier knows
    if (width > 0 && width < 64) {
        const std::int64_t low = -(std::int64_t{1} << (width - 1));
        const std::int64_t high = (std::int64_t{1} << width) - 1;
        if (value < low || value > high)
            error("immediate-range", fmt::format("immediate {} does not fit a {}", value, to_string(type)));
    }
    return Operand::integer(value);
}

Operand FunctionState::immediate_unsigned(Type type, std::uint64_t value) {
    if (type == Type::f32 || type == Type::f64) return immediate_float(type, static_cast<double>(value));
    const unsigned width = bit_width(type);
    if (width > 0 && width < 64 && value >> width != 0)
        error("immediate-range", fmt::format("immediate {} does not fit a {}", value, to_string(type)));
    return Operand::integer(static_cast<std::int64_t>(value));
}

void FunctionState::error(std::string rule, std::string message) {
    diagnostics_->push_back({Severity::error,
                             std::move(rule),
                             std::move(message),
                             function().name,
                             static_cast<int>(function().body.size()),
                             {}});
}

void FunctionState::finish() {
    auto& body = function().body;
    const auto shift = static_cast<std::uint32_t>(prologue_.size());
    for (auto& label : function().labels) label.position += shift;
    body.insert(body.begin(), std::make_move_iterator(prologue_.begin()), std::make_move_iterator(prologue_.end()));
    prologue_.clear();
    specials_.clear();
    symbol_addresses_.clear();
}

} // namespace ptxgen
