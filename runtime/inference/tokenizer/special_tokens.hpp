#pragma once

#include "runtime/inference/tokenizer/vocabulary.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace ptxgen::tokenization {

/// A stretch of text between special tokens, or one of them.
struct Fragment {
    std::string_view text; ///< empty for a token
    TokenId token = no_token;
};

/// Finds the tokens that match as literal text before any other rule: user-defined ones always, control and unknown
/// ones on request. Longer tokens win over shorter ones wherever they overlap; among equally long ones the lower id,
/// then the leftmost. Near linear in the length of the text, whatever the number of tokens.
class SpecialTokens {
public:
    /// `vocabulary` must outlive the object.
    explicit SpecialTokens(const Vocabulary& vocabulary);

    std::vector<Fragment> split(std::string_view text, bool parse_special) const;

private:
    struct Entry {
        std::string_view text;
        TokenId id;
    };
    struct Range {
        std::uint32_t first = 0, last = 0; ///< of entries, the last one excluded
    };
    /// The longest entry that `text` begins with and that has at most `longest` bytes; nullptr if there is none.
    const Entry* longest_match(std::string_view text, std::size_t longest, bool parse_special) const;

    const Vocabulary* vocabulary_;
    std::vector<Entry> entries_;           ///< by text
    std::array<Range, 256> by_first_byte_; ///< entries that start with the byte
    std::size_t longest_ = 0;
};

} // namespace ptxgen::tokenization
