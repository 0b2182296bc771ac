#include "runtime/inference/jinja/ast.hpp"
#include "runtime/inference/jinja/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>

namespace ptxgen::jinja {

namespace {

using Kind = Expression::Kind;

class Parser {
public:
    explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

    Body run() {
        Body body = statements({});
        if (peek().kind != TokenKind::end) fail(fmt::format("unexpected tag '{}'", tokens_[at_ + 1].text));
        return body;
    }

private:
    // Deep nesting would overflow the stack here, in evaluation or in destruction.
    static constexpr int depth_limit = 200;
    struct Nesting {
        explicit Nesting(Parser& owner) : parser(owner) {
            if (++parser.depth_ > depth_limit) parser.fail("nested too deeply");
        }
        ~Nesting() { --parser.depth_; }
        Nesting(const Nesting&) = delete;
        Nesting& operator=(const Nesting&) = delete;
        Parser& parser;
    };

    const Token& peek() const { return tokens_[at_]; }
    Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
    [[noreturn]] void fail(std::string_view message) const {
        throw Failure{fmt::format("line {}: {}", peek().line, message)};
    }
    bool is_symbol(std::string_view text) const { return peek().kind == TokenKind::symbol && peek().text == text; }
    bool is_name(std::string_view text) const { return peek().kind == TokenKind::name && peek().text == text; }
    bool accept_symbol(std::string_view text) { return is_symbol(text) && (take(), true); }
    bool accept_name(std::string_view text) { return is_name(text) && (take(), true); }
    void expect_symbol(std::string_view text) {
        if (!accept_symbol(text)) fail(fmt::format("expected '{}', found '{}'", text, peek().text));
    }
    void expect(TokenKind kind, std::string_view what) {
        if (peek().kind != kind) fail(fmt::format("expected {}, found '{}'", what, peek().text));
        take();
    }
    std::string identifier() {
        if (peek().kind != TokenKind::name) fail(fmt::format("expected a name, found '{}'", peek().text));
        return take().text;
    }
    /// Whether the next tag is one of these; `{%` is still to be taken.
    bool at_tag(std::initializer_list<std::string_view> names) const {
        return peek().kind == TokenKind::block_begin && tokens_[at_ + 1].kind == TokenKind::name &&
               std::find(names.begin(), names.end(), tokens_[at_ + 1].text) != names.end();
    }
    /// Takes `{% name`.
    void begin_tag(std::string_view name) {
        if (!at_tag({name})) fail(fmt::format("expected {{% {} %}}", name));
        take();
        take();
    }
    void end_tag() { expect(TokenKind::block_end, "%}"); }

    ExpressionPtr make(Kind kind, std::string text = {}) const {
        auto out = std::make_unique<Expression>();
        out->kind = kind;
        out->line = peek().line;
        out->text = std::move(text);
        return out;
    }
    template <class... Children>
    ExpressionPtr make_of(Kind kind, std::string text, Children... children) const {
        auto out = make(kind, std::move(text));
        (adopt(*out, std::move(children)), ...);
        return out;
    }
    void grow(Expression& parent, const ExpressionPtr& child) const {
        if (!child) return;
        parent.height = std::max(parent.height, child->height + 1);
        if (parent.height > depth_limit) fail("an expression is nested too deeply");
    }
    void adopt(Expression& parent, ExpressionPtr child) const {
        grow(parent, child);
        parent.children.push_back(std::move(child));
    }
    void adopt(Expression& parent, std::vector<Argument> arguments) const {
        for (const Argument& argument : arguments) grow(parent, argument.value);
        parent.arguments = std::move(arguments);
    }

    Body statements(std::initializer_list<std::string_view> until) {
        const Nesting nesting(*this);
        Body body;
        while (peek().kind != TokenKind::end && !at_tag(until)) {
            if (peek().kind == TokenKind::text) {
                Statement statement(Statement::Kind::text, peek().line);
                statement.text = take().text;
                body.push_back(std::move(statement));
            } else if (peek().kind == TokenKind::output_begin) {
                take();
                Statement statement(Statement::Kind::output, peek().line);
                statement.expression = expression_or_tuple();
                expect(TokenKind::output_end, "}}");
                body.push_back(std::move(statement));
            } else {
                block(body);
            }
        }
        return body;
    }

    void block(Body& body) {
        expect(TokenKind::block_begin, "{%");
        const std::size_t line = peek().line;
        const std::string tag = identifier();
        if (tag == "if")
            body.push_back(condition(line));
        else if (tag == "for")
            body.push_back(loop(line));
        else if (tag == "set")
            body.push_back(set(line));
        else if (tag == "macro")
            body.push_back(macro(line));
        else if (tag == "generation" || tag == "endgeneration") // marks what to train on, prints nothing
            end_tag();
        else
            fail(fmt::format("the tag '{}' is not supported here", tag));
    }

    Statement condition(std::size_t line) {
        Statement out(Statement::Kind::condition, line);
        ExpressionPtr test = expression();
        end_tag();
        while (true) {
            Body body = statements({"elif", "else", "endif"});
            out.branches.push_back({std::move(test), std::move(body)});
            if (at_tag({"elif"})) {
                begin_tag("elif");
                test = expression();
                end_tag();
                continue;
            }
            if (at_tag({"else"})) {
                begin_tag("else");
                end_tag();
                out.branches.push_back({nullptr, statements({"endif"})});
            }
            begin_tag("endif");
            end_tag();
            return out;
        }
    }

    Statement loop(std::size_t line) {
        Statement out(Statement::Kind::loop, line);
        const bool bracket = accept_symbol("(");
        do out.names.push_back(identifier());
        while (accept_symbol(","));
        if (bracket) expect_symbol(")");
        if (!accept_name("in")) fail("expected 'in'");
        out.expression = disjunction();
        if (accept_name("if")) out.filter = expression();
        end_tag();
        out.body = statements({"else", "endfor"});
        if (at_tag({"else"})) {
            begin_tag("else");
            end_tag();
            out.otherwise = statements({"endfor"});
        }
        begin_tag("endfor");
        end_tag();
        return out;
    }

    Statement set(std::size_t line) {
        Statement out(Statement::Kind::set, line);
        out.names.push_back(identifier());
        if (accept_symbol(".")) out.attribute = identifier();
        while (accept_symbol(",")) out.names.push_back(identifier());
        if (accept_symbol("=")) {
            out.expression = expression_or_tuple();
            end_tag();
            return out;
        }
        out.kind = Statement::Kind::capture;
        end_tag();
        out.body = statements({"endset"});
        begin_tag("endset");
        end_tag();
        return out;
    }

    Statement macro(std::size_t line) {
        Statement out(Statement::Kind::macro, line);
        out.text = identifier();
        expect_symbol("(");
        while (!accept_symbol(")")) {
            Argument parameter{identifier(), nullptr};
            if (accept_symbol("=")) parameter.value = expression();
            out.parameters.push_back(std::move(parameter));
            if (!is_symbol(")")) expect_symbol(",");
        }
        end_tag();
        out.body = statements({"endmacro"});
        begin_tag("endmacro");
        end_tag();
        return out;
    }

    ExpressionPtr expression_or_tuple() {
        ExpressionPtr first = expression();
        if (!is_symbol(",")) return first;
        auto list = make(Kind::list);
        adopt(*list, std::move(first));
        while (accept_symbol(",")) adopt(*list, expression());
        return list;
    }

    ExpressionPtr expression() {
        const Nesting nesting(*this);
        ExpressionPtr value = disjunction();
        while (accept_name("if")) {
            ExpressionPtr test = disjunction();
            ExpressionPtr other = accept_name("else") ? expression() : nullptr;
            value = make_of(Kind::conditional, "", std::move(value), std::move(test), std::move(other));
        }
        return value;
    }

    ExpressionPtr disjunction() {
        ExpressionPtr left = conjunction();
        while (accept_name("or")) left = make_of(Kind::binary, "or", std::move(left), conjunction());
        return left;
    }

    ExpressionPtr conjunction() {
        ExpressionPtr left = negation();
        while (accept_name("and")) left = make_of(Kind::binary, "and", std::move(left), negation());
        return left;
    }

    ExpressionPtr negation() {
        const Nesting nesting(*this);
        if (accept_name("not")) return make_of(Kind::unary, "not", negation());
        return comparison();
    }

    ExpressionPtr comparison() {
        ExpressionPtr first = sum();
        ExpressionPtr chain;
        while (true) {
            std::string op;
            if (peek().kind == TokenKind::symbol) {
                for (const std::string_view symbol : {"==", "!=", "<=", ">=", "<", ">"})
                    if (is_symbol(symbol)) op = symbol;
                if (op.empty()) break;
                take();
            } else if (is_name("not") && tokens_[at_ + 1].kind == TokenKind::name && tokens_[at_ + 1].text == "in") {
                take();
                take();
                op = "not in";
            } else if (accept_name("in")) {
                op = "in";
            } else {
                break;
            }
            if (!chain) chain = make_of(Kind::comparison, "", std::move(first));
            chain->operators.push_back(op);
            adopt(*chain, sum());
        }
        return chain ? std::move(chain) : std::move(first);
    }

    ExpressionPtr sum() {
        ExpressionPtr left = concatenation();
        while (is_symbol("+") || is_symbol("-")) {
            const std::string op = take().text;
            left = make_of(Kind::binary, op, std::move(left), concatenation());
        }
        return left;
    }

    ExpressionPtr concatenation() {
        ExpressionPtr left = product();
        while (accept_symbol("~")) left = make_of(Kind::binary, "~", std::move(left), product());
        return left;
    }

    ExpressionPtr product() {
        ExpressionPtr left = unary();
        while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
            const std::string op = take().text;
            left = make_of(Kind::binary, op, std::move(left), unary());
        }
        return left;
    }

    ExpressionPtr unary() {
        const Nesting nesting(*this);
        if (is_symbol("-") || is_symbol("+")) {
            const std::string op = take().text;
            return make_of(Kind::unary, op, unary());
        }
        return postfix(primary());
    }

    ExpressionPtr primary() {
        const Token token = take();
        if (token.kind == TokenKind::string) {
            std::string text = token.text;
            while (peek().kind == TokenKind::string) text += take().text;
            return literal(Value(std::move(text)));
        }
        if (token.kind == TokenKind::number) return number(token.text);
        if (token.kind == TokenKind::name) {
            if (token.text == "true" || token.text == "True") return literal(Value(true));
            if (token.text == "false" || token.text == "False") return literal(Value(false));
            if (token.text == "none" || token.text == "None") return literal(Value(Value::None{}));
            return make(Kind::name, token.text);
        }
        if (token.kind == TokenKind::symbol && token.text == "(") {
            if (accept_symbol(")")) return make(Kind::list);
            ExpressionPtr inner = expression();
            if (is_symbol(",")) {
                auto tuple = make_of(Kind::list, "", std::move(inner));
                while (accept_symbol(",") && !is_symbol(")")) adopt(*tuple, expression());
                inner = std::move(tuple);
            }
            expect_symbol(")");
            return inner;
        }
        if (token.kind == TokenKind::symbol && token.text == "[") {
            auto list = make(Kind::list);
            while (!accept_symbol("]")) {
                adopt(*list, expression());
                if (!is_symbol("]")) expect_symbol(",");
            }
            return list;
        }
        if (token.kind == TokenKind::symbol && token.text == "{") {
            auto dict = make(Kind::dict);
            while (!accept_symbol("}")) {
                adopt(*dict, expression());
                expect_symbol(":");
                adopt(*dict, expression());
                if (!is_symbol("}")) expect_symbol(",");
            }
            return dict;
        }
        fail(fmt::format("expected an expression, found '{}'", token.text));
    }

    ExpressionPtr literal(Value value) const {
        auto out = make(Kind::literal);
        out->value = std::move(value);
        return out;
    }

    ExpressionPtr number(const std::string& text) const {
        if (text.find('.') != std::string::npos) return literal(Value(std::strtod(text.c_str(), nullptr)));
        if (text.size() > 18) fail("a number is too large");
        return literal(Value(static_cast<std::int64_t>(std::strtoll(text.c_str(), nullptr, 10))));
    }

    ExpressionPtr postfix(ExpressionPtr value) {
        while (true) {
            if (accept_symbol(".")) {
                if (peek().kind == TokenKind::number)
                    value = make_of(Kind::item, "", std::move(value), number(take().text));
                else
                    value = make_of(Kind::attribute, identifier(), std::move(value));
            } else if (accept_symbol("[")) {
                value = subscript(std::move(value));
            } else if (is_symbol("(")) {
                value = make_of(Kind::call, "", std::move(value));
                adopt(*value, arguments());
            } else if (accept_symbol("|")) {
                value = make_of(Kind::filter, identifier(), std::move(value));
                if (is_symbol("(")) adopt(*value, arguments());
            } else if (accept_name("is")) {
                const bool negated = accept_name("not");
                value = make_of(Kind::test, identifier(), std::move(value));
                if (is_symbol("("))
                    adopt(*value, arguments());
                else if (starts_test_argument())
                    adopt(*value, single_argument(postfix(primary())));
                if (negated) value = make_of(Kind::unary, "not", std::move(value));
            } else {
                return value;
            }
        }
    }

    static std::vector<Argument> single_argument(ExpressionPtr value) {
        std::vector<Argument> out;
        out.push_back({"", std::move(value)});
        return out;
    }

    bool starts_test_argument() const {
        if (peek().kind == TokenKind::string || peek().kind == TokenKind::number) return true;
        if (peek().kind == TokenKind::symbol) return peek().text == "[" || peek().text == "{";
        if (peek().kind != TokenKind::name) return false;
        for (const std::string_view word : {"else", "or", "and", "is", "if", "in", "not"})
            if (peek().text == word) return false;
        return true;
    }

    ExpressionPtr subscript(ExpressionPtr value) {
        ExpressionPtr parts[3];
        int colons = 0;
        while (!is_symbol("]")) {
            if (accept_symbol(":")) {
                if (++colons > 2) fail("too many ':' in a slice");
            } else {
                if (parts[colons]) fail(fmt::format("expected ']', found '{}'", peek().text));
                parts[colons] = expression();
            }
        }
        take();
        if (colons == 0) {
            if (!parts[0]) fail("expected an index, found ']'");
            return make_of(Kind::item, "", std::move(value), std::move(parts[0]));
        }
        return make_of(Kind::slice, "", std::move(value), std::move(parts[0]), std::move(parts[1]),
                       std::move(parts[2]));
    }

    std::vector<Argument> arguments() {
        std::vector<Argument> out;
        expect_symbol("(");
        while (!accept_symbol(")")) {
            Argument argument;
            if (peek().kind == TokenKind::name && tokens_[at_ + 1].kind == TokenKind::symbol &&
                tokens_[at_ + 1].text == "=") {
                argument.name = identifier();
                take();
            }
            argument.value = expression();
            out.push_back(std::move(argument));
            if (!is_symbol(")")) expect_symbol(",");
        }
        return out;
    }

    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

} // namespace

Body parse(std::string_view source) { return Parser(source).run(); }

} // namespace ptxgen::jinja
