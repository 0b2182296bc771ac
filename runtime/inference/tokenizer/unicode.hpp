#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ptxgen::tokenization {

/// Bytes of a UTF-8 sequence by its first byte alone; 1 for a byte that cannot start one.
constexpr std::size_t sequence_length(unsigned char lead) {
    return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/// Appends a code point up to U+10FFFF (surrogates too, as three bytes).
void append_utf8(std::string& out, std::uint32_t code_point);

/// The code point at `at`, and `at` moved behind it. Overlong forms and surrogates are decoded as what they spell; any
/// other invalid byte is U+FFFD on its own, a sequence above U+10FFFF one U+FFFD.
std::uint32_t decode_utf8(std::string_view text, std::size_t& at);

/// `text` re-encoded: decode_utf8 and append_utf8 of every character.
std::string normalise_utf8(std::string_view text);

/// A copy of `text` (as normalise_utf8 leaves it) for the regex engine, byte for byte as long, in which characters that
/// the engine might class otherwise than Unicode 15.1 does are replaced by others of the right class: those assigned
/// after Unicode 14, U+180E (no White_Space) and surrogates (not UTF-8).
std::string regex_subject(std::string_view text);

} // namespace ptxgen::tokenization
