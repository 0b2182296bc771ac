#include "ptxgen/text/lexer.hpp"

#include <bit>
#include <charconv>
#include <cstdlib>

namespace ptxgen {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_word(char c) { return is_digit(c) || is_letter(c) || c == '_' || c == '$'; }

constexpr int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

class Lexer {
public:
    explicit Lexer(std::string_view source) : source_(source) {}

    Tokens run() {
        while (true) {
            skip_blanks_and_comments();
            Token token = next();
            token.comment = static_cast<std::uint32_t>(result_.comments.size());
            result_.tokens.push_back(token);
            if (token.kind == TokenKind::end) return std::move(result_);
            line_has_token_ = true;
        }
    }

private:
    char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

    void newline() {
        line_++;
        line_start_ = at_ + 1;
        line_has_token_ = false;
    }

    void skip_blanks_and_comments() {
        while (at_ < source_.size()) {
            const char c = source_[at_];
            if (c == '\n') {
                newline();
                at_++;
            } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
                at_++;
            } else if (c == '/' && peek(1) == '/') {
                const auto begin = at_ + 2;
                at_ = std::min(source_.find('\n', at_), source_.size());
                add_comment(source_.substr(begin, at_ - begin), line_);
            } else if (c == '/' && peek(1) == '*') {
                const auto begin = at_ + 2;
                const auto line = line_;
                const auto close = source_.find("*/", begin);
                const auto end = close == std::string_view::npos ? source_.size() : close;
                for (at_ = begin; at_ < end; at_++)
                    if (source_[at_] == '\n') newline();
                at_ = std::min(end + 2, source_.size());
                add_comment(source_.substr(begin, end - begin), line);
            } else {
                return;
            }
        }
    }

    void add_comment(std::string_view text, std::uint32_t line) {
        constexpr std::string_view blanks = " \t\r\n";
        const auto begin = std::min(text.find_first_not_of(blanks), text.size());
        text.remove_prefix(begin);
        const auto last = text.find_last_not_of(blanks);
        text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
        result_.comments.push_back({text, line, !line_has_token_});
    }

    Token take(TokenKind kind, std::size_t length) {
        Token token;
        token.kind = kind;
        token.text = source_.substr(at_, length);
        token.location = {line_, static_cast<std::uint32_t>(at_ - line_start_ + 1)};
        at_ += token.text.size();
        return token;
    }

    Token next() {
        if (at_ >= source_.size()) return take(TokenKind::end, 0);
        const char c = source_[at_];
        if (is_digit(c)) return number();
        if (is_letter(c) || c == '_' || c == '$' ||
            (c == '%' && (is_letter(peek(1)) || peek(1) == '_' || peek(1) == '$')))
            return take(TokenKind::name, word_length(1));
        if (c == '.' && is_word(peek(1))) return dotted();
        if (c == '"') return string();
        constexpr std::string_view punctuation = ",;:{}()[]@!|<>=+-*/%&^~?";
        return take(punctuation.find(c) != std::string_view::npos ? TokenKind::punctuation : TokenKind::bad, 1);
    }

    std::size_t word_length(std::size_t from) const {
        while (is_word(peek(from))) from++;
        return from;
    }

    Token dotted() {
        std::size_t length = word_length(1);
        while (peek(length) == ':' && peek(length + 1) == ':' && is_word(peek(length + 2)))
            length = word_length(length + 2);
        return take(TokenKind::dotted, length);
    }

    Token string() {
        std::size_t length = 1;
        while (peek(length) != '"' && peek(length) != '\n' && at_ + length < source_.size()) length++;
        if (peek(length) != '"') return take(TokenKind::bad, length);
        Token token = take(TokenKind::string, length + 1);
        token.text = token.text.substr(1, token.text.size() - 2);
        return token;
    }

    Token number() {
        if (peek() == '0' && (peek(1) == 'f' || peek(1) == 'F')) return float_bits(8);
        if (peek() == '0' && (peek(1) == 'd' || peek(1) == 'D')) return float_bits(16);
        std::size_t length = 0;
        while (is_digit(peek(length))) length++;
        const bool point = peek(length) == '.' && is_digit(peek(length + 1));
        const bool lone_point = peek(length) == '.' && !is_word(peek(length + 1));
        const bool exponent = (peek(length) == 'e' || peek(length) == 'E') &&
                              (is_digit(peek(length + 1)) ||
                               ((peek(length + 1) == '-' || peek(length + 1) == '+') && is_digit(peek(length + 2))));
        return point || lone_point || exponent ? decimal_float() : integer();
    }

    Token float_bits(std::size_t digits) {
        std::uint64_t bits = 0;
        std::size_t found = 0;
        while (found < digits && hex_digit(peek(2 + found)) < 16)
            bits = bits << 4 | static_cast<std::uint64_t>(hex_digit(peek(2 + found++)));
        if (found < digits || is_word(peek(2 + found))) return take(TokenKind::bad, word_length(1));
        Token token = take(TokenKind::floating, 2 + digits);
        token.value = std::bit_cast<std::int64_t>(bits);
        token.single = digits == 8;
        return token;
    }

    Token decimal_float() {
        std::size_t length = 0;
        while (is_digit(peek(length))) length++;
        if (peek(length) == '.') length++;
        while (is_digit(peek(length))) length++;
        if (peek(length) == 'e' || peek(length) == 'E') {
            std::size_t digits = length + 1;
            if (peek(digits) == '+' || peek(digits) == '-') digits++;
            if (is_digit(peek(digits))) {
                while (is_digit(peek(digits))) digits++;
                length = digits;
            }
        }
        if (is_word(peek(length))) return take(TokenKind::bad, word_length(length));
        Token token = take(TokenKind::floating, length);
        double value = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        token.value = std::bit_cast<std::int64_t>(value);
        return token;
    }

    Token integer() {
        std::size_t length = 0;
        unsigned base = 10;
        if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
            base = 16;
            length = 2;
        } else if (peek() == '0' && (peek(1) == 'b' || peek(1) == 'B')) {
            base = 2;
            length = 2;
        } else if (peek() == '0') {
            base = 8;
        }
        const std::size_t begin = length;
        std::uint64_t value = 0;
        bool fits = true;
        for (; hex_digit(peek(length)) < static_cast<int>(base); length++) {
            const auto digit = static_cast<std::uint64_t>(hex_digit(peek(length)));
            fits = fits && value <= (UINT64_MAX - digit) / base;
            value = value * base + digit;
        }
        const bool empty = length == begin;
        if (peek(length) == 'U') length++;
        if (empty || !fits || is_word(peek(length))) return take(TokenKind::bad, word_length(length));
        Token token = take(TokenKind::integer, length);
        token.value = std::bit_cast<std::int64_t>(value);
        return token;
    }

    std::string_view source_;
    Tokens result_;
    std::size_t at_ = 0;
    std::size_t line_start_ = 0;
    std::uint32_t line_ = 1;
    bool line_has_token_ = false;
};

} // namespace

Tokens tokenize(std::string_view source) { return Lexer(source).run(); }

} // namespace ptxgen
