#pragma once

#include "ptxgen/text/cursor.hpp"

#include <optional>

namespace ptxgen {

/// A constant in the text: an integer, or the bits of a floating literal.
struct Constant {
    enum class Kind : std::uint8_t { integer, f32_bits, f64_bits } kind = Kind::integer;
    std::int64_t value = 0;
};

/// Whether the next token can begin a constant.
bool starts_constant(const Token& token);

/// Reads a constant or an integer constant expression (PTX ISA 4.5: `-16`, `4*(8+1)`, `1<<5`, `~0`), with 64-bit
/// arithmetic. Nothing, and a diagnostic, if there is none.
std::optional<Constant> parse_constant(Cursor& cursor);

/// An integer constant expression; a floating literal is reported.
std::optional<std::int64_t> parse_integer(Cursor& cursor, std::string_view what);

} // namespace ptxgen
