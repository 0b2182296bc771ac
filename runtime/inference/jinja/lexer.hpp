#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::jinja {

enum class TokenKind {
    text,         ///< between tags
    block_begin,  ///< {%
    block_end,    ///< %}
    output_begin, ///< {{
    output_end,   ///< }}
    name,
    string, ///< escapes resolved
    number,
    symbol, ///< operators and brackets
    end,
};

struct Token {
    TokenKind kind;
    std::string text;
    std::size_t line; ///< from 1
};

/// Splits a template into tokens, white space between tags handled as with `trim_blocks` and `lstrip_blocks` (which is
/// how chat templates are rendered) and by `-` and `+` inside the tags. Throws Failure.
std::vector<Token> tokenize(std::string_view source);

} // namespace ptxgen::jinja
