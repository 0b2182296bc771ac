#include "ptxgen/text/operand_parser.hpp"

#include "ptxgen/base/nearest.hpp"
#include "ptxgen/text/constant_expression.hpp"

#include <bit>

#include <fmt/format.h>

namespace ptxgen {
namespace {
constexpr int deepest = 4;                    // vectors and lists in each other
constexpr std::size_t most_suggestions = 200; // errors of a text that get a "did you mean"
} // namespace

std::string describe(const Operand& operand) {
    switch (operand.kind) {
    case Operand::Kind::none: return "nothing";
    case Operand::Kind::reg: return "a register";
    case Operand::Kind::integer: return "an integer constant";
    case Operand::Kind::f32_bits:
    case Operand::Kind::f64_bits: return "a floating constant";
    case Operand::Kind::special: return "a special register";
    case Operand::Kind::symbol: return operand.scope == SymbolScope::function ? "a function" : "a variable";
    case Operand::Kind::label: return "a label";
    case Operand::Kind::sink: return "'_'";
    case Operand::Kind::vector: return fmt::format("a vector of {}", operand.elements.size());
    case Operand::Kind::address: return "an address";
    }
    return "?";
}

std::optional<std::vector<ParsedOperand>> OperandParser::parse_list(bool branches) {
    branches_ = branches;
    std::vector<ParsedOperand> operands;
    if (cursor_.peek().is(';') || cursor_.at_end()) return operands;
    depth_ = 0;
    bool joined = false;
    while (true) {
        ParsedOperand parsed;
        parsed.location = cursor_.peek().location;
        parsed.joined = joined;
        parsed.list = cursor_.peek().is('(') && cursor_.peek(1).kind == TokenKind::name;
        auto operand = parsed.list ? (cursor_.take(), parse_vector(')')) : parse_operand();
        if (!operand) return std::nullopt;
        parsed.operand = std::move(*operand);
        operands.push_back(std::move(parsed));
        joined = cursor_.accept('|');
        if (!joined && !cursor_.accept(',')) return operands;
    }
}

std::optional<Operand> OperandParser::parse_guard() {
    const bool negated = cursor_.accept('!');
    const auto location = cursor_.peek().location;
    std::optional<Operand> operand;
    if (cursor_.peek().is('{'))
        operand = parse_placeholder();
    else if (cursor_.peek().kind == TokenKind::name)
        operand = parse_name();
    else
        cursor_.expected("a predicate register behind '@'");
    if (!operand) return std::nullopt;
    if (operand->kind != Operand::Kind::reg) {
        cursor_.error("guard-type",
                      fmt::format("expected a predicate register behind '@', found {}", describe(*operand)), location);
        return std::nullopt;
    }
    operand->negated = operand->negated != negated;
    return operand;
}

std::optional<Operand> OperandParser::parse_operand() {
    const Token& token = cursor_.peek();
    if (token.is('!')) {
        cursor_.take();
        if (cursor_.peek().is('!')) {
            cursor_.expected("a register behind '!'");
            return std::nullopt;
        }
        auto operand = parse_operand();
        if (operand && operand->kind != Operand::Kind::reg) {
            cursor_.error("operand-kind",
                          fmt::format("'!' goes before a predicate register, not {}", describe(*operand)),
                          token.location);
            return std::nullopt;
        }
        if (operand) operand->negated = !operand->negated;
        return operand;
    }
    if (token.is('{')) {
        if (!placeholders_.empty() && cursor_.peek(1).kind == TokenKind::integer && cursor_.peek(2).is('}'))
            return parse_placeholder();
        cursor_.take();
        return parse_vector('}');
    }
    if (token.is('[')) return parse_address();
    if (starts_constant(token)) {
        const auto constant = parse_constant(cursor_);
        if (!constant) return std::nullopt;
        Operand operand = Operand::integer(constant->value);
        if (constant->kind == Constant::Kind::f32_bits) operand.kind = Operand::Kind::f32_bits;
        if (constant->kind == Constant::Kind::f64_bits) operand.kind = Operand::Kind::f64_bits;
        return operand;
    }
    if (token.is(TokenKind::name, "_")) return cursor_.take(), Operand::sink();
    if (token.kind == TokenKind::name) {
        auto operand = parse_name();
        if (operand && operand->kind == Operand::Kind::symbol && !parse_offset(*operand)) return std::nullopt;
        return operand;
    }
    cursor_.expected("an operand");
    return std::nullopt;
}

std::optional<Operand> OperandParser::parse_name() {
    const Token& token = cursor_.take();
    if (auto operand = names_.resolve(token.text)) return operand;
    std::string name(token.text);
    if (token.text[0] == '%') {
        while (cursor_.peek().kind == TokenKind::dotted &&
               cursor_.peek().text.data() == cursor_.previous().text.data() + cursor_.previous().text.size())
            name += cursor_.take().text;
        if (const auto special = find_special_register(name)) return Operand::special(*special);
    } else if (branches_) {
        if (auto operand = names_.undeclared_label(token.text)) return operand;
    }
    std::string hint;
    if (cursor_.error_count() < most_suggestions) {
        auto candidates = names_.names();
        for (const auto& special : special_registers()) candidates.push_back(special.name);
        hint = did_you_mean(name, candidates);
    }
    cursor_.error("unknown-name", fmt::format("'{}' is not declared{}", name.substr(0, 60), hint), token.location);
    return std::nullopt;
}

std::optional<Operand> OperandParser::parse_vector(char close) {
    if (depth_ >= deepest) {
        cursor_.error("syntax", fmt::format("vectors may be nested {} deep at most", deepest));
        return std::nullopt;
    }
    depth_++;
    Operand vector = Operand::vector({});
    while (true) {
        auto element = parse_operand();
        if (!element) return std::nullopt;
        vector.elements.push_back(std::move(*element));
        if (!cursor_.accept(',')) break;
    }
    depth_--;
    if (!cursor_.expect(close, "after the elements of a vector")) return std::nullopt;
    return vector;
}

std::optional<Operand> OperandParser::parse_address() {
    cursor_.take();
    Operand address = Operand::absolute(0);
    const Token& token = cursor_.peek();
    if (token.kind == TokenKind::name || token.is('{')) {
        auto base = token.is('{') ? parse_placeholder() : parse_name();
        if (!base) return std::nullopt;
        if (base->kind == Operand::Kind::address) {
            address = *base;
        } else if (base->kind == Operand::Kind::integer) {
            address.value = base->value;
        } else if ((base->kind == Operand::Kind::reg && !base->negated) || base->kind == Operand::Kind::symbol) {
            address = *base;
            address.base = base->kind;
            address.kind = Operand::Kind::address;
        } else {
            cursor_.error(
                "address",
                fmt::format("expected a register, variable or constant as an address, found {}", describe(*base)),
                token.location);
            return std::nullopt;
        }
        if (!parse_offset(address)) return std::nullopt;
    } else {
        const auto value = parse_integer(cursor_, "a register, variable or constant as an address");
        if (!value) return std::nullopt;
        address.value = *value;
    }
    if (!cursor_.expect(']', "after an address")) return std::nullopt;
    return address;
}

bool OperandParser::parse_offset(Operand& operand) {
    if (!cursor_.peek().is('+') && !cursor_.peek().is('-')) return true;
    cursor_.accept('+');
    const auto offset = parse_integer(cursor_, "a byte offset");
    if (!offset) return false;
    operand.value = std::bit_cast<std::int64_t>(std::bit_cast<std::uint64_t>(operand.value) +
                                                std::bit_cast<std::uint64_t>(*offset));
    return true;
}

std::optional<Operand> OperandParser::parse_placeholder() {
    const auto location = cursor_.take().location;
    const auto number = parse_integer(cursor_, "the number of an operand");
    if (!number || !cursor_.expect('}', "after the number of an operand")) return std::nullopt;
    if (*number < 0 || static_cast<std::uint64_t>(*number) >= placeholders_.size()) {
        cursor_.error("placeholder",
                      fmt::format("{{{}}} names no operand: {} were given", *number, placeholders_.size()), location);
        return std::nullopt;
    }
    return placeholders_[static_cast<std::size_t>(*number)];
}

} // namespace ptxgen
