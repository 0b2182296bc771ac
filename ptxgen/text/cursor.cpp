#include "ptxgen/text/cursor.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ptxgen {
namespace {

void append_lines(std::string& out, std::string_view text, bool first) {
    constexpr std::string_view blanks = " \t\r*";
    while (true) {
        const auto end = text.find('\n');
        auto line = text.substr(0, end);
        const auto begin = std::min(line.find_first_not_of(blanks), line.size());
        line.remove_prefix(begin);
        while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r'))
            line.remove_suffix(1);
        if (!first) out += '\n';
        out += line;
        first = false;
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

} // namespace

std::string quoted(const Token& token) {
    constexpr std::size_t longest = 60;
    switch (token.kind) {
    case TokenKind::end: return "the end of the text";
    case TokenKind::string: return fmt::format("\"{}\"", token.text.substr(0, longest));
    default: break;
    }
    std::string text;
    for (const char c : token.text.substr(0, longest))
        if (c >= ' ' && c < 127)
            text += c;
        else
            text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return fmt::format("'{}'", text);
}

bool Cursor::accept(char punctuation) {
    if (!peek().is(punctuation)) return false;
    take();
    return true;
}

bool Cursor::accept_word(std::string_view dotted) {
    if (!peek().is(TokenKind::dotted, dotted)) return false;
    take();
    return true;
}

bool Cursor::expect(char punctuation, std::string_view where) {
    if (accept(punctuation)) return true;
    expected(fmt::format("'{}' {}", punctuation, where));
    return false;
}

bool Cursor::expect_semicolon(std::string_view where) {
    if (accept(';')) return true;
    if (peek().location.line > previous().location.line || peek().is('}')) {
        auto location = previous().location;
        location.column += static_cast<std::uint32_t>(previous().text.size());
        error("syntax", fmt::format("expected ';' {}, found {}", where, quoted(peek())), location);
        return true;
    }
    expected(fmt::format("';' {}", where));
    return false;
}

void Cursor::error(std::string rule, std::string message, SourceLocation location) {
    Diagnostic diagnostic;
    diagnostic.rule = std::move(rule);
    diagnostic.message = std::move(message);
    diagnostic.function = function_;
    diagnostic.location = location;
    diagnostics_.push_back(std::move(diagnostic));
}

void Cursor::expected(std::string_view what) {
    error("syntax", fmt::format("expected {}, found {}", what, quoted(peek())));
}

void Cursor::skip_statement() {
    while (!at_end()) {
        // A `}` in front of `,` or `;` ends a vector operand, any other one the scope.
        if (peek().is('}') && !peek(1).is(',') && !peek(1).is(';')) return;
        if (take().is(';')) return;
    }
}

void Cursor::skip_block() {
    std::size_t depth = 0;
    while (!at_end()) {
        const auto& token = take();
        if (token.is('{')) depth++;
        if (token.is('}') && --depth == 0) return;
        if (depth == 0) return;
    }
}

void Cursor::skip_line() {
    while (!at_end() && (peek().location.line == previous().location.line || previous().is(','))) take();
}

std::string Cursor::take_comments() {
    std::string text;
    bool first = true;
    for (; comment_ < peek().comment; comment_++) {
        append_lines(text, comments_[comment_].text, first);
        first = false;
    }
    return text;
}

std::string Cursor::take_trailing_comment() {
    std::string text;
    comment_ = std::max<std::size_t>(comment_, previous().comment);
    for (bool first = true; comment_ < peek().comment && !comments_[comment_].alone &&
                            comments_[comment_].line == previous().location.line;
         comment_++) {
        append_lines(text, comments_[comment_].text, first);
        first = false;
    }
    return text;
}

void Cursor::drop_comments() { comment_ = std::max<std::size_t>(comment_, peek().comment); }

} // namespace ptxgen
