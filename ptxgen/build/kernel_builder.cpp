#include "ptxgen/build/kernel_builder.hpp"

#include <fmt/format.h>

namespace ptxgen {
namespace {

/// A guard is a register: conditions that are none are computed first.
Operand guard_register(FunctionState& state, const Pred& p) {
    Operand operand = p.operand();
    if (operand.kind == Operand::Kind::reg) return operand;
    return state.copy(operand, Type::pred);
}

void branch(FunctionState& state, std::uint32_t label, std::optional<Operand> guard) {
    static const auto bra = find_form("bra", 1);
    Instruction instruction;
    std::tie(instruction.form, instruction.choices) = bra;
    instruction.operands = {Operand::label(label)};
    instruction.guard = std::move(guard);
    state.append(std::move(instruction));
}

Operand inverted(Operand condition) {
    condition.negated = !condition.negated;
    return condition;
}

// Longer conditions are not worth repeating at the end of the loop.
constexpr std::size_t max_repeated_guard = 8;

} // namespace

Loop::Loop(FunctionState& state)
    : state_(&state), head_(state.new_label("loop")), end_(state.new_label("endloop")), next_(state.new_label("next")) {
    state.place_label(head_);
    start_ = state.function().body.size();
}

void Loop::break_if(const Pred& p) {
    const Operand condition = guard_register(*state_, p);
    auto& function = state_->function();
    bool straight = !condition_ && function.body.size() - start_ <= max_repeated_guard;
    for (const auto& label : function.labels) straight = straight && (!label.placed || label.position <= start_);
    for (auto i = start_; i < function.body.size(); i++) straight = straight && !function.body[i].guard;
    if (straight) guard_.assign(function.body.begin() + static_cast<std::ptrdiff_t>(start_), function.body.end());
    branch(*state_, end_, condition);
    if (straight) {
        body_ = state_->new_label("body");
        state_->place_label(body_);
        condition_ = condition;
    }
}

void Loop::break_() { branch(*state_, end_, std::nullopt); }

void Loop::continue_if(const Pred& p) {
    next_used_ = true;
    branch(*state_, next_, guard_register(*state_, p));
}

void Loop::close() {
    auto& body = state_->function().body;
    if (next_used_) state_->place_label(next_);
    // The way back is a conditional branch: the CUDA 13.0 JIT was seen to drop rounds of loops that close with an
    // unconditional one.
    if (condition_) {
        for (auto instruction : guard_) {
            instruction.comment.clear();
            state_->append(std::move(instruction));
        }
        branch(*state_, body_, inverted(*condition_));
    } else if (!next_used_ && body.size() > start_ && body.back().is(Op::bra) && body.back().guard &&
               body.back().operands[0].id == end_) {
        body.back().operands[0].id = head_;
        body.back().guard->negated = !body.back().guard->negated;
        for (auto& label : state_->function().labels)
            if (label.placed && label.position == body.size()) label.position = static_cast<std::uint32_t>(body.size());
    } else {
        branch(*state_, head_, std::nullopt);
    }
    state_->place_label(end_);
    auto& labels = state_->function().labels;
    if (!next_used_) labels[next_].placed = false;
}

void KernelBuilder::directive(std::string_view name, std::vector<std::uint32_t> values) {
    for (auto& [known, old] : function().directives)
        if (known == name) {
            old = std::move(values);
            return;
        }
    function().directives.emplace_back(std::string(name), std::move(values));
}

void KernelBuilder::bra_if(const Pred& p, LabelRef target) {
    branch(*state_, target.index(), guard_register(*state_, p));
}

void KernelBuilder::ret_if(const Pred& p) {
    const auto condition = guard_register(*state_, p);
    state_->append("ret", {});
    function().body.back().guard = condition;
}

void KernelBuilder::exit_if(const Pred& p) {
    const auto condition = guard_register(*state_, p);
    state_->append("exit", {});
    function().body.back().guard = condition;
}

Operand KernelBuilder::declare_parameter(Parameter parameter) {
    for (const auto& other : function().parameters)
        if (other.name == parameter.name)
            state_->error("duplicate-name", fmt::format("parameter '{}' is declared twice", parameter.name));
    const Type type = parameter.type;
    const bool to_global = parameter.pointer && parameter.pointer_space == Space::global;
    function().parameters.push_back(std::move(parameter));
    const auto index = static_cast<std::uint32_t>(function().parameters.size() - 1);

    const Type loaded = type_class(type) == TypeClass::bits ? bits_type(bit_width(type)) : type;
    const Register target = state_->new_register(type);
    const auto emit_prologue = [&](std::string_view mnemonic, std::vector<Operand> operands) {
        Instruction instruction;
        std::tie(instruction.form, instruction.choices) = find_form(mnemonic, operands.size());
        instruction.operands = std::move(operands);
        instruction.operands.resize(instruction.row().operands.size());
        state_->append_prologue(std::move(instruction));
    };
    // f16 and bf16 have no ld of their own.
    const Type moved = is_floating(loaded) && bit_width(loaded) == 16 ? Type::b16 : loaded;
    emit_prologue(fmt::format("ld.param.{}", to_string(moved)),
                  {Operand::reg(target), Operand::address(SymbolScope::parameter, index)});
    if (!to_global) return Operand::reg(target);
    const Register global_address = state_->new_register(type);
    emit_prologue("cvta.to.global.u64", {Operand::reg(global_address), Operand::reg(target)});
    return Operand::reg(global_address);
}

Operand KernelBuilder::declare_variable(std::string_view name, Space space, Type type, std::uint64_t count,
                                        Alignment alignment) {
    Variable variable;
    variable.name = name;
    variable.space = space;
    variable.type = type_class(type) == TypeClass::bits || is_floating(type) ? bits_type(bit_width(type)) : type;
    variable.count = count;
    variable.alignment = alignment.bytes;
    function().variables.push_back(std::move(variable));
    return Operand::symbol(SymbolScope::local_variable, static_cast<std::uint32_t>(function().variables.size() - 1));
}

Operand KernelBuilder::declare_dynamic_shared(std::string_view name, Type type, Alignment alignment) {
    auto& variables = state_->module().variables;
    for (std::uint32_t i = 0; i < variables.size(); i++)
        if (variables[i].name == name && variables[i].linkage == Linkage::external) {
            variables[i].alignment = std::max(variables[i].alignment, alignment.bytes);
            return Operand::symbol(SymbolScope::module_variable, i);
        }
    Variable variable;
    variable.name = name;
    variable.space = Space::shared;
    variable.type = bits_type(bit_width(type));
    variable.count = 0;
    variable.alignment = alignment.bytes;
    variable.linkage = Linkage::external;
    variables.push_back(std::move(variable));
    return Operand::symbol(SymbolScope::module_variable, static_cast<std::uint32_t>(variables.size() - 1));
}

Operand KernelBuilder::find_module_variable(std::string_view name) {
    const auto& variables = state_->module().variables;
    for (std::uint32_t i = 0; i < variables.size(); i++)
        if (variables[i].name == name) return Operand::symbol(SymbolScope::module_variable, i);
    state_->error("unknown-symbol", fmt::format("the module has no variable '{}'", name));
    return Operand::integer(0);
}

Operand KernelBuilder::guard_operand(const Pred& p) { return guard_register(*state_, p); }

void KernelBuilder::raw_line(std::string_view line, std::vector<Operand> operands, std::optional<Minimum> unknown) {
    auto instruction = parse_instruction(line, state_->module(), function(), operands, unknown);
    if (!instruction) return state_->error("raw", fmt::format("raw(\"{}\"): {}", line, instruction.error().message));
    state_->append(std::move(*instruction));
}

Val<u64> KernelBuilder::generic_from(const Val<u64>& address, Space space) {
    if (space == Space::generic) return address;
    const Register target = state_->new_register(Type::u64);
    state_->append(fmt::format("cvta.{}.u64", to_string(space)), {Operand::reg(target), address.operand()});
    return {*state_, Operand::reg(target)};
}

} // namespace ptxgen
