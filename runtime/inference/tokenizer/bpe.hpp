#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/gguf.hpp"
#include "runtime/inference/tokenizer/pretokenizer.hpp"
#include "runtime/inference/tokenizer/vocabulary.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ptxgen::tokenization {

/// GPT-2's stand-ins for bytes: each byte has a printable character, itself where it is one.
/// The code point that stands for `byte`.
std::uint32_t character_of_byte(std::uint8_t byte);
/// The byte that a code point stands for.
std::optional<std::uint8_t> byte_of_character(std::uint32_t code_point);

/// Byte-level BPE: in each piece of the pre-tokenizer, adjacent symbols are merged, always the pair that stands first
/// in the list of merges (of equal pairs the leftmost), until no pair is in the list. O(n log n) in the length of a
/// piece.
class Bpe {
public:
    /// `vocabulary` must outlive the object. Errors: merges or pre-tokenizer missing or malformed.
    static Result<Bpe> load(const gguf::File& file, const Vocabulary& vocabulary);

    Status encode(std::string_view text, std::vector<TokenId>& out) const;

private:
    /// A string that takes part in merging: a token, or an intermediate that is not one (ids from the vocabulary's
    /// size).
    using Symbol = std::int32_t;
    static constexpr Symbol no_symbol = -1;
    struct Merge {
        std::uint64_t pair = empty_pair; ///< left symbol, right symbol
        std::uint32_t rank = 0;
        Symbol merged = no_symbol;
    };
    static constexpr std::uint64_t empty_pair = ~std::uint64_t{0};
    struct Workspace;

    Bpe(const Vocabulary& vocabulary, Pretokenizer pretokenizer)
        : vocabulary_(&vocabulary), pretokenizer_(std::move(pretokenizer)) {}
    Symbol intern(std::string_view text);
    void insert(Symbol left, Symbol right, Merge merge);
    const Merge* find(Symbol left, Symbol right) const;
    void encode_word(std::string_view word, Workspace& work, std::vector<TokenId>& out) const;

    const Vocabulary* vocabulary_;
    Pretokenizer pretokenizer_;
    bool ignore_merges_ = false;
    std::array<Symbol, 256> symbol_of_byte_{};
    std::array<std::string, 256> text_of_byte_;
    std::deque<std::string> intermediates_; ///< a deque, so that views of its strings stay valid
    std::unordered_map<std::string_view, Symbol> intermediate_symbols_;
    std::vector<Merge> merges_; ///< open addressing, linear probing, a power of two of slots
};

} // namespace ptxgen::tokenization
