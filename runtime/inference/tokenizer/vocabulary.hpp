#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/gguf.hpp"
#include "runtime/inference/tokenizer.hpp"

#include <string_view>
#include <unordered_map>
#include <vector>

namespace ptxgen::tokenization {

inline constexpr TokenId no_token = -1;

/// `tokenizer.ggml.token_type`.
enum class TokenType : std::uint8_t {
    undefined = 0,
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6,
};

enum class Model : std::uint8_t { bpe, spm };

/// The tokens of a model file and what is known about each. Owns its strings.
class Vocabulary {
public:
    static Result<Vocabulary> load(const gguf::File& file);

    Model model() const { return model_; }
    std::size_t size() const { return texts_.size(); }
    bool contains(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < texts_.size(); }
    std::string_view text(TokenId id) const { return texts_[static_cast<std::size_t>(id)]; }
    float score(TokenId id) const { return scores_[static_cast<std::size_t>(id)]; }
    TokenType type(TokenId id) const { return types_[static_cast<std::size_t>(id)]; }
    /// no_token if there is none.
    TokenId find(std::string_view text) const {
        const auto at = ids_.find(text);
        return at == ids_.end() ? no_token : at->second;
    }
    /// Bytes of the longest token.
    std::size_t longest() const { return longest_; }

    TokenId bos = no_token, eos = no_token, eot = no_token, unknown = no_token;
    bool wants_bos = false;
    bool add_space_prefix = false;
    /// Special tokens take the whitespace that follows them (Phi-3).
    bool takes_space_after(TokenId id) const { return !rstrip_.empty() && rstrip_[static_cast<std::size_t>(id)]; }
    std::vector<TokenId> end_of_generation; ///< ascending
    std::string chat_template;

private:
    Status load_tokens(const gguf::File& file);
    Status load_special_ids(const gguf::File& file);
    void find_end_of_generation();
    TokenId find_first_of(std::initializer_list<std::string_view> names) const;
    void mark_control(TokenId id) { types_[static_cast<std::size_t>(id)] = TokenType::control; }

    Model model_ = Model::bpe;
    std::vector<char> characters_; ///< the text of all tokens; a vector, so that views survive a move
    std::vector<std::string_view> texts_;
    std::vector<float> scores_;
    std::vector<TokenType> types_;
    std::vector<bool> rstrip_;
    std::unordered_map<std::string_view, TokenId> ids_;
    std::size_t longest_ = 0;
    TokenId end_of_message_ = no_token;
    TokenId fim_prefix_ = no_token, fim_suffix_ = no_token, fim_middle_ = no_token; ///< fill in the middle
    TokenId fim_pad_ = no_token, fim_repository_ = no_token, fim_separator_ = no_token;
};

} // namespace ptxgen::tokenization
