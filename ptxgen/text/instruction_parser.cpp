#include "ptxgen/text/function_parser.hpp"
#include "ptxgen/text/names.hpp"
#include "ptxgen/text/text.hpp"

#include <fmt/format.h>

namespace ptxgen {
namespace {

bool takes_labels(std::string_view head) { return head == "bra"; }

bool any_form_matches(const InstructionText& text) {
    std::vector<std::string_view> words;
    for (const auto* token : text.modifiers) words.push_back(token->text.substr(1));
    for (const auto& form : forms_of(text.head->text))
        if (match_modifiers(form, words).ok) return true;
    return false;
}

void make_raw(const InstructionText& text, Minimum minimum, Instruction& out) {
    out.form = raw_form;
    out.raw_minimum = minimum;
    out.raw_mnemonic = text.head->text;
    for (const auto* token : text.modifiers) out.raw_mnemonic += token->text;
    for (const auto& operand : text.operands) {
        if (operand.joined) out.operands.emplace_back();
        out.operands.push_back(operand.operand);
    }
}

/// Names of a function that is being built, looked up by the first name: a line may do with placeholders.
class BuiltNames : public NameResolver {
public:
    BuiltNames(const Module& module, const Function& function) : module_(module), function_(function) {}

    std::optional<Operand> resolve(std::string_view name) override {
        const auto& known = operands();
        const auto found = known.find(name);
        return found == known.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<Operand> undeclared_label(std::string_view) override { return std::nullopt; }
    std::vector<std::string_view> names() const override {
        std::vector<std::string_view> all;
        for (const auto& [name, operand] : operands()) all.push_back(name);
        return all;
    }

private:
    using Operands = std::unordered_map<std::string_view, Operand>;

    const Operands& operands() const {
        if (!printed_) {
            printed_.emplace(function_);
            collect(module_, function_, *printed_);
        }
        return operands_;
    }

    void collect(const Module& module, const Function& function, const FunctionNames& printed) const {
        for (std::size_t i = 0; i < module.variables.size(); i++)
            add(module.variables[i].name, Operand::symbol(SymbolScope::module_variable, static_cast<std::uint32_t>(i)));
        for (std::size_t i = 0; i < module.functions.size(); i++)
            add(module.functions[i].name, Operand::symbol(SymbolScope::function, static_cast<std::uint32_t>(i)));
        for (std::size_t i = 0; i < function.parameters.size(); i++)
            add(function.parameters[i].name, Operand::symbol(SymbolScope::parameter, static_cast<std::uint32_t>(i)));
        for (std::size_t i = 0; i < function.returns.size(); i++)
            add(function.returns[i].name,
                Operand::symbol(SymbolScope::parameter, static_cast<std::uint32_t>(function.parameters.size() + i)));
        for (std::size_t i = 0; i < function.variables.size(); i++)
            add(function.variables[i].name,
                Operand::symbol(SymbolScope::local_variable, static_cast<std::uint32_t>(i)));
        for (std::size_t i = 0; i < printed.registers.size(); i++)
            add(printed.registers[i], Operand::reg({static_cast<std::uint32_t>(i)}));
        for (std::size_t i = 0; i < printed.labels.size(); i++)
            add(printed.labels[i], Operand::label(static_cast<std::uint32_t>(i)));
    }

    void add(std::string_view name, const Operand& operand) const {
        if (!name.empty()) operands_.insert_or_assign(name, operand); // inner names hide outer ones
    }

    const Module& module_;
    const Function& function_;
    mutable std::optional<FunctionNames> printed_;
    mutable Operands operands_;
};

} // namespace

bool parse_instruction_text(Cursor& cursor, NameResolver& names, const Function& function,
                            std::span<const Operand> placeholders, std::optional<Minimum> unknown_minimum,
                            bool semicolon_optional, Instruction& out) {
    OperandParser parser(cursor, names, placeholders);
    if (cursor.accept('@')) {
        out.guard = parser.parse_guard();
        if (!out.guard) return cursor.skip_statement(), false;
    }
    InstructionText text;
    text.head = &cursor.peek();
    if (text.head->kind != TokenKind::name) {
        cursor.expected("an instruction");
        return cursor.skip_statement(), false;
    }
    cursor.take();
    while (cursor.peek().kind == TokenKind::dotted) text.modifiers.push_back(&cursor.take());
    out.location = text.head->location;
    if (forms_of(text.head->text).empty() && !unknown_minimum) {
        select_form(cursor, function, text, out);
        return cursor.skip_statement(), false;
    }
    auto operands = parser.parse_list(takes_labels(text.head->text));
    if (!operands) return cursor.skip_statement(), false;
    text.operands = std::move(*operands);
    const bool ended = cursor.accept(';') || (semicolon_optional && cursor.at_end());
    if (!ended && !cursor.expect_semicolon(fmt::format("after the operands of '{}'", text.head->text)))
        return cursor.skip_statement(), false;
    if (unknown_minimum && !any_form_matches(text)) return make_raw(text, *unknown_minimum, out), true;
    return select_form(cursor, function, text, out);
}

Result<Instruction> parse_instruction(std::string_view line, const Module& module, const Function& function,
                                      std::span<const Operand> operands, std::optional<Minimum> unknown_minimum) {
    const auto tokens = tokenize(line);
    std::vector<Diagnostic> diagnostics;
    Cursor cursor(tokens, diagnostics);
    BuiltNames names(module, function);
    Instruction instruction;
    const bool read = parse_instruction_text(cursor, names, function, operands, unknown_minimum, true, instruction);
    if (read && diagnostics.empty() && !cursor.at_end()) cursor.expected("the end of the line after one instruction");
    if (!diagnostics.empty()) {
        const auto& first = diagnostics.front();
        return Error{fmt::format("column {} of \"{}\": {}", first.location.column, line, first.message)};
    }
    instruction.location = {};
    return instruction;
}

} // namespace ptxgen
