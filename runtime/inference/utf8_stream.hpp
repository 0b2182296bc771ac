#pragma once

#include <string>
#include <string_view>

namespace ptxgen {

/// Puts the pieces of tokens together so that what comes out is valid UTF-8 at every step: a character whose bytes come
/// in several pieces is held back until it is whole. Bytes that are no UTF-8 become U+FFFD, one for each maximal
/// subpart (Unicode 15.0, section 3.9).
class Utf8Stream {
public:
    /// The characters that are complete after `piece`.
    std::string push(std::string_view piece);
    /// What is left at the end: U+FFFD for an unfinished character, otherwise nothing.
    std::string finish();

private:
    std::string held_; ///< a prefix of one character
};

/// Whether `text` is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text);

} // namespace ptxgen
