#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/gguf.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// Index into a model's vocabulary, 0 … size()−1.
using TokenId = std::int32_t;

/// Text to token ids and back, as llama.cpp does for the same GGUF file. Two models are supported:
///  - `tokenizer.ggml.model` = "gpt2": byte-level BPE with ranked merges, the text first split by the regular
///    expressions that `tokenizer.ggml.pre` names;
///  - "llama": SentencePiece, the best-scored bigram first, unknown characters as byte tokens.
/// Only `tokenizer.*` keys are needed (`general.name` is looked at for Phi-3, whose special tokens swallow the
/// whitespace after them). Immutable after loading; safe to use from several threads.
///
/// Invalid UTF-8: with BPE each offending byte becomes U+FFFD (overlong forms and surrogates are accepted and
/// normalised, as in llama.cpp; a code point above U+10FFFF, on which llama.cpp ends the process, becomes one U+FFFD);
/// with SentencePiece the bytes become byte tokens. A NUL is a character like any other.
class Tokenizer {
public:
    /// Errors name the file and the key: missing or mistyped keys, arrays of different lengths, ids outside the
    /// vocabulary, malformed merges, a model or pre-tokenizer that is not supported. Nothing refers to `file` later.
    static Result<Tokenizer> load(const gguf::File& file);

    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;
    ~Tokenizer();

    struct EncodeOptions {
        /// Put the beginning-of-sequence token first, if the model asks for one (`wants_bos`).
        bool add_bos = false;
        /// Turn the text of control tokens ("<|im_end|>") into the tokens. User-defined tokens match in any case.
        bool parse_special = false;
    };
    /// The ids of `text`. Errors: more than 700 MB of text; the regex engine ran out of memory.
    Result<std::vector<TokenId>> encode(std::string_view text, EncodeOptions options) const;

    /// The bytes that a token stands for; not always whole UTF-8 characters (see Utf8Stream). Control and unknown
    /// tokens give their text if `special`, otherwise nothing. Empty for ids outside the vocabulary.
    std::string piece(TokenId id, bool special = false) const;
    /// The pieces, one after the other.
    std::string decode(std::span<const TokenId> ids, bool special = false) const;

    std::size_t size() const;
    /// The vocabulary's entry as it is stored, e.g. "Ġthe", "▁the", "<0x0A>".
    std::string_view token_text(TokenId id) const;
    /// The token whose stored text is exactly this.
    std::optional<TokenId> find(std::string_view token_text) const;

    std::optional<TokenId> bos() const;
    std::optional<TokenId> eos() const;
    /// End of a chat turn, where the file names one or the vocabulary has a known one.
    std::optional<TokenId> eot() const;
    /// Whether the model wants `bos` before a prompt.
    bool wants_bos() const;
    /// Whether generation ends here: end of sequence, of turn, of message, and what is known by its text, as
    /// llama.cpp decides it.
    bool is_end_of_generation(TokenId id) const;
    /// All of those ids, ascending.
    const std::vector<TokenId>& end_of_generation() const;
    /// `tokenizer.chat_template`; empty if the file has none.
    std::string_view chat_template() const;

private:
    struct Impl;
    explicit Tokenizer(std::unique_ptr<const Impl> impl);
    std::unique_ptr<const Impl> impl_;
};

} // namespace ptxgen
