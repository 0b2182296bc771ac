#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/gguf.hpp"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::tokenization {

/// What a value of `tokenizer.ggml.pre` means for a BPE model.
struct PretokenizerRules {
    /// Values of the key that share these rules.
    std::span<const std::string_view> names;
    /// Applied one after the other to each piece that the one before left; what a pattern does not match stays as
    /// pieces of its own. `\s` stands for White_Space here, the categories for those of Unicode 15.1, as in llama.cpp.
    std::span<const std::string_view> patterns;
    /// A piece that is a token as a whole is not merged from its bytes.
    bool ignore_merges = false;
    /// BOS before a prompt, unless the file says otherwise.
    bool wants_bos = false;
};

/// The rules for the file's `tokenizer.ggml.pre` ("default" if the key is missing). Error: not a supported name.
Result<const PretokenizerRules*> pretokenizer_rules(const gguf::File& file);

/// Splits text into the pieces ("words") within which BPE merges.
class Pretokenizer {
public:
    static Result<Pretokenizer> create(const PretokenizerRules& rules);

    struct Pieces {
        std::string text;              ///< the input as valid UTF-8, but that surrogates stay
        std::vector<std::size_t> ends; ///< of the pieces in `text`, ascending, the last is its size
    };
    /// Linear in the length of the text. Error: the regex engine failed.
    Result<Pieces> split(std::string_view text) const;

private:
    struct Regex;
    Pretokenizer() = default;
    std::vector<std::shared_ptr<const Regex>> regexes_;
};

} // namespace ptxgen::tokenization
