#pragma once

#include "runtime/inference/tokenizer/vocabulary.hpp"

#include <string_view>
#include <vector>

namespace ptxgen::tokenization {

/// SentencePiece as llama.cpp reads it: starting from characters, the adjacent pair whose concatenation is the token
/// with the highest score is merged (of equal scores the leftmost), until no pair is a token; what is left of
/// characters that are no tokens becomes byte tokens. O(n log n).
class Spm {
public:
    /// `vocabulary` must outlive the object.
    explicit Spm(const Vocabulary& vocabulary);

    /// `space_before`: the text gets a leading space. Spaces are spelled "▁".
    void encode(std::string_view text, bool space_before, std::vector<TokenId>& out) const;

private:
    const Vocabulary* vocabulary_;
    std::vector<TokenId> token_of_byte_; ///< "<0x41>", or the character; no_token where the vocabulary has neither
};

} // namespace ptxgen::tokenization
