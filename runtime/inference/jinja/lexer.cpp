#include "runtime/inference/jinja/lexer.hpp"

#include "runtime/inference/jinja/value.hpp"
#include "runtime/inference/tokenizer/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace ptxgen::jinja {

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
public:
    explicit Lexer(std::string_view source) {
        // Jinja reads every kind of line end as "\n" and drops one at the end of the file.
        for (std::size_t i = 0; i < source.size(); ++i) {
            if (source[i] != '\r')
                source_.push_back(source[i]);
            else if (i + 1 == source.size() || source[i + 1] != '\n')
                source_.push_back('\n');
        }
        if (!source_.empty() && source_.back() == '\n') source_.pop_back();
    }

    std::vector<Token> run() {
        while (at_ < source_.size()) {
            text();
            if (at_ < source_.size()) tag();
        }
        add(TokenKind::end, "");
        return std::move(tokens_);
    }

private:
    void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
    [[noreturn]] void fail(std::string_view message) const {
        throw Failure{fmt::format("line {}: {}", line_, message)};
    }
    char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
    void skip(std::size_t bytes) {
        for (; bytes > 0 && at_ < source_.size(); --bytes, ++at_)
            if (source_[at_] == '\n') ++line_;
    }
    void skip_space() {
        while (at_ < source_.size() && is_space(source_[at_])) skip(1);
    }

    /// Up to the next tag, whose sign decides what of the white space before it stays.
    void text() {
        std::size_t open = at_;
        while (open < source_.size() && !(source_[open] == '{' && open + 1 < source_.size() &&
                                          std::string_view("{%#").find(source_[open + 1]) != std::string_view::npos))
            ++open;
        std::string_view content = std::string_view(source_).substr(at_, open - at_);
        if (open < source_.size()) {
            const char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
            if (sign == '-') {
                while (!content.empty() && is_space(content.back())) content.remove_suffix(1);
            } else if (sign != '+' && source_[open + 1] != '{') {
                std::size_t end = content.size();
                while (end > 0 && content[end - 1] != '\n' && is_space(content[end - 1])) --end;
                // Only if the tag is the first thing on its line.
                if (end > 0 ? content[end - 1] == '\n' : at_line_start_) content = content.substr(0, end);
            }
        }
        if (!content.empty()) add(TokenKind::text, std::string(content));
        skip(open - at_);
    }

    void tag() {
        const char kind = source_[at_ + 1];
        skip(2);
        if (kind == '#') {
            const std::size_t close = source_.find("#}", at_);
            if (close == std::string::npos) fail("a comment is not closed by #}");
            const bool minus = close > at_ && source_[close - 1] == '-',
                       plus = close > at_ && source_[close - 1] == '+';
            skip(close + 2 - at_);
            after_tag(minus, !plus);
            return;
        }
        if (peek() == '-' || peek() == '+') skip(1);
        add(kind == '%' ? TokenKind::block_begin : TokenKind::output_begin, "");
        const char first = kind == '%' ? '%' : '}';
        int depth = 0; // of brackets, so that "}}" inside a dictionary does not end the tag
        while (true) {
            skip_space();
            if (at_ >= source_.size()) fail("a tag is not closed");
            const bool sign = peek() == '-' || peek() == '+';
            const std::size_t ahead = sign ? 1 : 0;
            if (depth == 0 && peek(ahead) == first && peek(ahead + 1) == '}') {
                const char mark = peek();
                skip(ahead + 2);
                add(kind == '%' ? TokenKind::block_end : TokenKind::output_end, "");
                after_tag(mark == '-', kind == '%' && mark != '+');
                return;
            }
            depth += expression_token();
        }
    }

    void after_tag(bool strip, bool trim_newline) {
        at_line_start_ = false;
        if (strip) {
            skip_space();
        } else if (trim_newline && peek() == '\n') {
            skip(1);
            at_line_start_ = true;
        }
    }

    /// One token inside a tag; returns the change of bracket depth.
    int expression_token() {
        const char c = peek();
        const std::size_t start = at_;
        if (starts_name(c)) {
            while (starts_name(peek()) || is_digit(peek())) skip(1);
            add(TokenKind::name, source_.substr(start, at_ - start));
            return 0;
        }
        if (is_digit(c)) {
            while (is_digit(peek())) skip(1);
            if (peek() == '.' && is_digit(peek(1))) {
                skip(1);
                while (is_digit(peek())) skip(1);
            }
            add(TokenKind::number, source_.substr(start, at_ - start));
            return 0;
        }
        if (c == '"' || c == '\'') {
            string_literal(c);
            return 0;
        }
        constexpr std::array<std::string_view, 6> doubles{"==", "!=", "<=", ">=", "//", "**"};
        for (const std::string_view symbol : doubles)
            if (source_.compare(at_, 2, symbol) == 0) {
                skip(2);
                add(TokenKind::symbol, std::string(symbol));
                return 0;
            }
        if (std::string_view("+-*/%~<>=.,:|()[]{}").find(c) == std::string_view::npos)
            fail(fmt::format("unexpected character '{}'", c));
        skip(1);
        add(TokenKind::symbol, std::string(1, c));
        return c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
    }

    void string_literal(char quote) {
        skip(1);
        std::string out;
        while (true) {
            if (at_ >= source_.size()) fail("a string is not closed");
            const char c = peek();
            if (c == quote) break;
            if (c != '\\') {
                out.push_back(c);
                skip(1);
                continue;
            }
            const char escaped = peek(1);
            skip(2);
            switch (escaped) {
            case 'n': out.push_back('\n'); break;
            case 't': out.push_back('\t'); break;
            case 'r': out.push_back('\r'); break;
            case 'b': out.push_back('\b'); break;
            case 'f': out.push_back('\f'); break;
            case 'v': out.push_back('\v'); break;
            case 'a': out.push_back('\a'); break;
            case '0': out.push_back('\0'); break;
            case '\n': break;
            case 'x': code_point(out, 2); break;
            case 'u': code_point(out, 4); break;
            case 'U': code_point(out, 8); break;
            case '\\':
            case '\'':
            case '"': out.push_back(escaped); break;
            default: // Python keeps both
                out.push_back('\\');
                out.push_back(escaped);
            }
        }
        skip(1);
        add(TokenKind::string, std::move(out));
    }

    void code_point(std::string& out, std::size_t digits) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < digits; ++i) {
            const char c = peek();
            if (!std::isxdigit(static_cast<unsigned char>(c))) fail("a hexadecimal digit is missing in an escape");
            value = value * 16 + static_cast<std::uint32_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
            skip(1);
        }
        if (value > 0x10FFFF) fail("an escape is above U+10FFFF");
        tokenization::append_utf8(out, value);
    }

    std::string source_;
    std::size_t at_ = 0, line_ = 1;
    bool at_line_start_ = true;
    std::vector<Token> tokens_;
};

} // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

} // namespace ptxgen::jinja
