#pragma once

#include "ptxgen/text/lexer.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace ptxgen {

/// A place in a token sequence, and the diagnostics found so far. Reading past the end yields the `end` token.
class Cursor {
public:
    Cursor(const Tokens& tokens, std::vector<Diagnostic>& diagnostics)
        : tokens_(tokens.tokens), comments_(tokens.comments), diagnostics_(diagnostics) {}

    const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
    const Token& previous() const { return tokens_[at_ == 0 ? 0 : at_ - 1]; }
    const Token& take() {
        const auto& token = peek();
        if (at_ + 1 < tokens_.size()) at_++;
        return token;
    }
    bool at_end() const { return peek().kind == TokenKind::end; }
    bool accept(char punctuation);
    bool accept_word(std::string_view dotted); ///< ".align"
    std::size_t index() const { return at_; }
    void go_to(std::size_t index) { at_ = index; }

    /// Takes `punctuation` or reports that it is missing, `where` as in "after the operands of 'add'".
    bool expect(char punctuation, std::string_view where);
    /// The `;` that ends a statement. If it is merely forgotten at the end of a line, the next line is still read.
    bool expect_semicolon(std::string_view where);

    void error(std::string rule, std::string message, SourceLocation location);
    void error(std::string rule, std::string message) { error(std::move(rule), std::move(message), peek().location); }
    /// "expected X, found Y" at the next token.
    void expected(std::string_view what);
    std::size_t error_count() const { return diagnostics_.size(); }
    void set_function(std::string name) { function_ = std::move(name); }

    /// Goes on behind the next `;`, or before the `}` that closes the scope.
    void skip_statement();
    /// Goes behind the `}` that matches the `{` which comes next.
    void skip_block();
    /// Skips what is left of the line of the last token taken (`.loc`, `.file`).
    void skip_line();

    /// Comments not yet taken that stand before the next token, as lines.
    std::string take_comments();
    /// Comments behind the last token on its line.
    std::string take_trailing_comment();
    void drop_comments();

private:
    const std::vector<Token>& tokens_;
    const std::vector<Comment>& comments_;
    std::vector<Diagnostic>& diagnostics_;
    std::string function_;
    std::size_t at_ = 0;
    std::size_t comment_ = 0;
};

/// A token as quoted in messages: "'foo'", "the end of the text".
std::string quoted(const Token& token);

} // namespace ptxgen
