#include "ptxgen/text/constant_expression.hpp"

#include <bit>

#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr int deepest = 64;

class Expression {
public:
    explicit Expression(Cursor& cursor) : cursor_(cursor) {}

    std::optional<Constant> binary(int lowest_precedence) {
        auto left = unary();
        while (left) {
            const auto [precedence, tokens] = operator_at_cursor();
            if (precedence < lowest_precedence) break;
            const Token& op = cursor_.peek();
            for (int i = 0; i < tokens; i++) cursor_.take();
            auto right = binary(precedence + 1);
            if (!right) return std::nullopt;
            if (left->kind != Constant::Kind::integer || right->kind != Constant::Kind::integer) {
                cursor_.error("constant", "only integers may be combined in a constant expression", op.location);
                return std::nullopt;
            }
            left = apply(op, tokens, left->value, right->value);
        }
        return left;
    }

private:
    /// Precedence as in C, and the number of tokens of the operator; 0 if there is none.
    std::pair<int, int> operator_at_cursor() const {
        const Token& token = cursor_.peek();
        if (token.kind != TokenKind::punctuation) return {0, 0};
        const Token& next = cursor_.peek(1);
        const bool doubled = next.kind == TokenKind::punctuation && next.text[0] == token.text[0] &&
                             next.text.data() == token.text.data() + 1;
        switch (token.text[0]) {
        case '|': return {1, 1};
        case '^': return {2, 1};
        case '&': return {3, 1};
        case '<':
        case '>': return doubled ? std::pair{4, 2} : std::pair{0, 0};
        case '+':
        case '-': return {5, 1};
        case '*':
        case '/':
        case '%': return {6, 1};
        default: return {0, 0};
        }
    }

    std::optional<Constant> apply(const Token& op, int tokens, std::int64_t left, std::int64_t right) {
        const auto a = std::bit_cast<std::uint64_t>(left), b = std::bit_cast<std::uint64_t>(right);
        std::uint64_t result = 0;
        switch (op.text[0]) {
        case '|': result = a | b; break;
        case '^': result = a ^ b; break;
        case '&': result = a & b; break;
        case '<': result = tokens == 2 && b < 64 ? a << b : 0; break;
        case '>': result = b < 64 ? std::bit_cast<std::uint64_t>(left >> b) : 0; break;
        case '+': result = a + b; break;
        case '-': result = a - b; break;
        case '*': result = a * b; break;
        default:
            if (right == 0 || (left == INT64_MIN && right == -1)) {
                cursor_.error("constant", "division by zero or overflow in a constant expression", op.location);
                return std::nullopt;
            }
            result = std::bit_cast<std::uint64_t>(op.text[0] == '/' ? left / right : left % right);
        }
        return Constant{Constant::Kind::integer, std::bit_cast<std::int64_t>(result)};
    }

    std::optional<Constant> unary() {
        if (depth_ >= deepest) {
            cursor_.error("constant", fmt::format("a constant expression may be nested {} deep at most", deepest));
            return std::nullopt;
        }
        const Token& token = cursor_.peek();
        if (token.is('-') || token.is('+') || token.is('~') || token.is('!')) {
            cursor_.take();
            depth_++;
            auto value = unary();
            depth_--;
            return value ? negate(token, *value) : std::nullopt;
        }
        if (cursor_.accept('(')) {
            depth_++;
            auto value = binary(1);
            depth_--;
            if (!value || !cursor_.expect(')', "in a constant expression")) return std::nullopt;
            return value;
        }
        if (token.kind == TokenKind::integer) return cursor_.take(), Constant{Constant::Kind::integer, token.value};
        if (token.kind == TokenKind::floating)
            return cursor_.take(),
                   Constant{token.single ? Constant::Kind::f32_bits : Constant::Kind::f64_bits, token.value};
        if (token.is(TokenKind::name, "WARP_SZ")) return cursor_.take(), Constant{Constant::Kind::integer, 32};
        cursor_.expected("a constant");
        return std::nullopt;
    }

    std::optional<Constant> negate(const Token& op, Constant value) {
        const auto bits = std::bit_cast<std::uint64_t>(value.value);
        if (op.is('+')) return value;
        if (value.kind == Constant::Kind::integer) {
            value.value = op.is('-')   ? std::bit_cast<std::int64_t>(0 - bits)
                          : op.is('~') ? ~value.value
                                       : value.value == 0;
            return value;
        }
        if (!op.is('-')) {
            cursor_.error("constant", fmt::format("{} takes an integer", quoted(op)), op.location);
            return std::nullopt;
        }
        const std::uint64_t sign = value.kind == Constant::Kind::f32_bits ? 0x80000000u : 0x8000000000000000u;
        value.value = std::bit_cast<std::int64_t>(bits ^ sign);
        return value;
    }

    Cursor& cursor_;
    int depth_ = 0;
};

} // namespace

bool starts_constant(const Token& token) {
    return token.kind == TokenKind::integer || token.kind == TokenKind::floating || token.is('-') || token.is('+') ||
           token.is('~') || token.is('(') || token.is(TokenKind::name, "WARP_SZ");
}

std::optional<Constant> parse_constant(Cursor& cursor) { return Expression(cursor).binary(1); }

std::optional<std::int64_t> parse_integer(Cursor& cursor, std::string_view what) {
    const auto location = cursor.peek().location;
    if (!starts_constant(cursor.peek())) {
        cursor.expected(what);
        return std::nullopt;
    }
    const auto constant = parse_constant(cursor);
    if (!constant) return std::nullopt;
    if (constant->kind != Constant::Kind::integer) {
        cursor.error("constant", fmt::format("expected {}, found a floating constant", what), location);
        return std::nullopt;
    }
    return constant->value;
}

} // namespace ptxgen
