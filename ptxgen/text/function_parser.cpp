#include "ptxgen/text/function_parser.hpp"

#include "ptxgen/text/names.hpp"

#include <unordered_set>
#include <utility>

#include <fmt/format.h>

namespace ptxgen {
namespace {
constexpr std::size_t deepest_scope = 64;
}

FunctionParser::FunctionParser(Cursor& cursor, const ModuleNames& module_names, Function& function)
    : cursor_(cursor), module_names_(module_names), function_(function) {}

void FunctionParser::parse_body() {
    find_labels();
    open_scope();
    auto& outer = scopes_.back();
    const auto add_parameters = [&](const std::vector<Parameter>& parameters, std::size_t first) {
        for (std::size_t i = 0; i < parameters.size(); i++)
            outer.names.emplace(parameters[i].name,
                                Operand::symbol(SymbolScope::parameter, static_cast<std::uint32_t>(first + i)));
    };
    add_parameters(function_.parameters, 0);
    add_parameters(function_.returns, function_.parameters.size());
    while (!scopes_.empty()) {
        if (cursor_.at_end()) {
            cursor_.expected("'}' at the end of the function");
            break;
        }
        parse_statement();
    }
    cursor_.drop_comments();
    make_names_unique();
}

void FunctionParser::find_labels() {
    const std::size_t begin = cursor_.index();
    std::vector<std::size_t> open;
    do {
        const Token& token = cursor_.peek();
        if (token.is('{')) open.push_back(cursor_.index());
        if (token.is('}')) open.pop_back();
        if (token.kind == TokenKind::name && cursor_.peek(1).is(':')) {
            auto& scope = labels_[open.back()];
            scope.emplace_back(token.text, static_cast<std::uint32_t>(function_.labels.size()));
            function_.labels.push_back({std::string(token.text), 0, false});
        }
        cursor_.take();
    } while (!open.empty() && !cursor_.at_end());
    cursor_.go_to(begin);
}

void FunctionParser::open_scope() {
    const auto labels = labels_.find(cursor_.index());
    cursor_.take();
    scopes_.emplace_back();
    if (labels != labels_.end())
        for (const auto& [name, id] : labels->second) scopes_.back().names.emplace(name, Operand::label(id));
}

void FunctionParser::parse_statement() {
    const Token& token = cursor_.peek();
    if (token.is('{')) {
        if (scopes_.size() < deepest_scope) return open_scope();
        cursor_.error("syntax", fmt::format("scopes may be nested {} deep at most", deepest_scope));
        cursor_.skip_block();
    } else if (token.is('}')) {
        cursor_.take();
        scopes_.pop_back();
    } else if (token.is(';')) {
        cursor_.take();
    } else if (token.kind == TokenKind::name && cursor_.peek(1).is(':')) {
        parse_label();
    } else if (token.kind == TokenKind::dotted) {
        if (!parse_directive()) cursor_.skip_statement();
    } else if (token.kind == TokenKind::name || token.is('@')) {
        parse_instruction();
    } else {
        cursor_.expected("an instruction, label or declaration");
        cursor_.take();
        cursor_.skip_statement();
    }
}

bool FunctionParser::parse_directive() {
    const Token& token = cursor_.peek();
    if (token.text == ".loc" || token.text == ".file") {
        cursor_.take();
        cursor_.skip_line();
        return true;
    }
    if (cursor_.accept_word(".pragma")) return parse_pragma();
    if (cursor_.accept_word(".reg")) {
        cursor_.drop_comments();
        std::vector<RegisterDeclaration> declarations;
        const bool ok = parse_registers(cursor_, declarations);
        for (const auto& declaration : declarations) declare(declaration);
        (void)cursor_.take_trailing_comment();
        return ok;
    }
    Linkage linkage = Linkage::internal;
    if (cursor_.accept_word(".extern")) linkage = Linkage::external;
    if (const auto space = declared_space(cursor_.peek())) {
        cursor_.take();
        std::vector<Variable> variables;
        const std::size_t first = function_.variables.size();
        const bool ok = parse_variables(cursor_, *space, linkage, variables);
        for (std::size_t i = 0; i < variables.size(); i++) {
            function_.variables.push_back(std::move(variables[i]));
            const auto& variable = function_.variables.back();
            const auto id = static_cast<std::uint32_t>(first + i);
            declare(names_pool_.emplace_back(variable.name), Operand::symbol(SymbolScope::local_variable, id),
                    variable.location);
        }
        return ok;
    }
    cursor_.error("unknown-directive", fmt::format("directive {} is not supported here", quoted(token)));
    return false;
}

bool FunctionParser::parse_pragma() {
    do {
        if (cursor_.peek().kind != TokenKind::string) {
            cursor_.expected("a string behind '.pragma'");
            return false;
        }
        pragma_ += fmt::format("{}\"{}\"", pragma_.empty() ? "" : ", ", cursor_.take().text);
    } while (cursor_.accept(','));
    return cursor_.expect_semicolon("after a pragma");
}

void FunctionParser::parse_label() {
    const Token& name = cursor_.take();
    cursor_.take();
    const auto found = scopes_.back().names.find(name.text);
    if (found == scopes_.back().names.end()) return;
    Label* label = found->second.kind == Operand::Kind::label ? &function_.labels[found->second.id] : nullptr;
    if (!label || label->placed) {
        cursor_.error("duplicate-name", fmt::format("'{}' is already declared in this scope", name.text),
                      name.location);
    } else {
        label->placed = true;
        label->position = static_cast<std::uint32_t>(function_.body.size());
    }
    if (cursor_.peek().is(TokenKind::dotted, ".branchtargets") ||
        cursor_.peek().is(TokenKind::dotted, ".calltargets") ||
        cursor_.peek().is(TokenKind::dotted, ".callprototype")) {
        cursor_.error("unknown-directive", fmt::format("directive {} is not supported", quoted(cursor_.peek())));
        cursor_.skip_statement();
    }
}

void FunctionParser::parse_instruction() {
    Instruction instruction;
    instruction.comment = cursor_.take_comments();
    if (!parse_instruction_text(cursor_, *this, function_, {}, std::nullopt, false, instruction)) return;
    if (const auto comment = cursor_.take_trailing_comment(); !comment.empty())
        instruction.comment += (instruction.comment.empty() ? "" : "\n") + comment;
    instruction.pragma = std::exchange(pragma_, {});
    function_.body.push_back(std::move(instruction));
}

void FunctionParser::declare(std::string_view name, const Operand& operand, SourceLocation location) {
    auto& scope = scopes_.back();
    const auto split = split_number(name);
    const auto range = split.ranged ? scope.ranges.find(split.prefix) : scope.ranges.end();
    const bool in_range = range != scope.ranges.end() && split.number < range->second.count;
    if (!scope.names.emplace(name, operand).second || in_range)
        cursor_.error("duplicate-name", fmt::format("'{}' is already declared in this scope", name), location);
}

void FunctionParser::declare(const RegisterDeclaration& declaration) {
    if (declaration.count) {
        if (!scopes_.back().ranges.try_emplace(declaration.name, Range{declaration.type, *declaration.count}).second)
            cursor_.error("duplicate-name",
                          fmt::format("registers '{}<N>' are already declared in this scope", declaration.name),
                          declaration.location);
        return;
    }
    const auto id = static_cast<std::uint32_t>(function_.registers.size());
    function_.registers.push_back({declaration.type, std::string(declaration.name)});
    declare(declaration.name, Operand::reg({id}), declaration.location);
}

std::optional<Operand> FunctionParser::resolve(std::string_view name) {
    const auto split = split_number(name);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
        if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
        if (!split.ranged) continue;
        const auto range = scope->ranges.find(split.prefix);
        if (range == scope->ranges.end() || split.number >= range->second.count) continue;
        // Registers of a range come to be when they are first used.
        const auto id = static_cast<std::uint32_t>(function_.registers.size());
        function_.registers.push_back({range->second.type, std::string(name)});
        return scope->names.emplace(name, Operand::reg({id})).first->second;
    }
    const auto found = module_names_.find(name);
    return found == module_names_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Operand> FunctionParser::undeclared_label(std::string_view name) {
    const auto id = static_cast<std::uint32_t>(function_.labels.size());
    function_.labels.push_back({std::string(name), 0, false});
    scopes_.front().names.emplace(name, Operand::label(id));
    return Operand::label(id);
}

std::vector<std::string_view> FunctionParser::names() const {
    constexpr std::size_t most = 2000;
    std::vector<std::string_view> all;
    for (const auto& scope : scopes_)
        for (const auto& [name, operand] : scope.names)
            if (all.size() < most) all.push_back(name);
    for (const auto& [name, operand] : module_names_)
        if (all.size() < most) all.push_back(name);
    return all;
}

void FunctionParser::make_names_unique() {
    std::unordered_set<std::string> wanted, taken;
    std::unordered_map<std::string, unsigned> last;
    for (const auto& [name, operand] : module_names_) taken.emplace(name);
    for (const auto& parameter : function_.parameters) taken.insert(parameter.name);
    for (const auto& parameter : function_.returns) taken.insert(parameter.name);
    std::vector<std::string*> names;
    for (auto& variable : function_.variables) names.push_back(&variable.name);
    for (auto& label : function_.labels) names.push_back(&label.name);
    for (auto& info : function_.registers) names.push_back(&info.name);
    for (const auto* name : names) wanted.insert(*name);
    for (auto* name : names) {
        if (taken.insert(*name).second) continue;
        auto& number = last[*name];
        std::string fresh;
        do fresh = fmt::format("{}_{}", *name, ++number);
        while (wanted.count(fresh) != 0 || !taken.insert(fresh).second);
        *name = std::move(fresh);
    }
}

} // namespace ptxgen
