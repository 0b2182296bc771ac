#pragma once

#include "ptxgen/base/diagnostic.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace ptxgen {

enum class TokenKind : std::uint8_t {
    end,
    name,   ///< `ld`, `%r1`, `$L3`, `_`
    dotted, ///< `.global`, `.shared::cta`, `.v4`: with the dot
    integer,
    floating,    ///< 1.5, 0f3F800000, 0d3FF0000000000000; also the number behind `.version`
    string,      ///< without its quotes
    punctuation, ///< one character
    bad,         ///< a character or number that PTX does not have
};

struct Token {
    TokenKind kind = TokenKind::end;
    std::string_view text; ///< into the source
    SourceLocation location;
    std::int64_t value = 0;    ///< integer: its bits; floating: the bits of the single (`single`) or double
    bool single = false;       ///< written 0fXXXXXXXX
    std::uint32_t comment = 0; ///< comments before this token, as an end index into Tokens::comments

    bool is(char c) const { return kind == TokenKind::punctuation && text[0] == c; }
    bool is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
};

struct Comment {
    std::string_view text; ///< without its delimiters and the blanks around it
    std::uint32_t line = 0;
    bool alone = false; ///< nothing but blanks before it on its line
};

/// A text in pieces. The last token is `end`; comment i stands before the first token whose `comment` exceeds i.
struct Tokens {
    std::vector<Token> tokens;
    std::vector<Comment> comments;
};

Tokens tokenize(std::string_view source);

} // namespace ptxgen
