#include "runtime/inference/tokenizer/vocabulary.hpp"

#include "runtime/inference/tokenizer/pretokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

namespace ptxgen::tokenization {

namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
constexpr std::string_view scores_key = "tokenizer.ggml.scores";
constexpr std::string_view types_key = "tokenizer.ggml.token_type";

Error length_error(const gguf::File& file, std::string_view key, std::uint64_t found, std::uint64_t expected) {
    return file.key_error(
        key, fmt::format("expected {} elements, as many as {} has, found {}", expected, tokens_key, found));
}

TokenType type_of(std::int32_t stored) {
    return stored >= 1 && stored <= 6 ? static_cast<TokenType>(stored) : TokenType::undefined;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

} // namespace

Result<Vocabulary> Vocabulary::load(const gguf::File& file) {
    Vocabulary vocabulary;
    const auto model = file.get<std::string_view>("tokenizer.ggml.model");
    if (!model) return model.error();
    if (*model == "gpt2")
        vocabulary.model_ = Model::bpe;
    else if (*model == "llama")
        vocabulary.model_ = Model::spm;
    else if (*model == "no_vocab")
        return file.key_error("tokenizer.ggml.model",
                              "the model is 'no_vocab': it has no vocabulary, so that it cannot "
                              "read or write text; ptxgen-bench decode runs it on token ids");
    else
        return file.key_error("tokenizer.ggml.model",
                              fmt::format("tokenizer '{}' is not supported; supported are gpt2 (BPE) and llama "
                                          "(SentencePiece)",
                                          *model));
    if (auto status = vocabulary.load_tokens(file); !status) return status.error();
    if (auto status = vocabulary.load_special_ids(file); !status) return status.error();
    vocabulary.find_end_of_generation();

    // Which special tokens take the whitespace after them is not in the file; llama.cpp goes by the model's name too.
    const auto name = file.get_or<std::string_view>("general.name", "");
    const std::string lowered = name ? lower(*name) : std::string();
    if (lowered.find("phi-3") != std::string::npos || lowered.find("phi3") != std::string::npos) {
        vocabulary.rstrip_.assign(vocabulary.size(), true);
        for (const std::string_view text : {"<unk>", "<s>", "<|endoftext|>"})
            if (const TokenId id = vocabulary.find(text); id != no_token)
                vocabulary.rstrip_[static_cast<std::size_t>(id)] = false;
    }
    return vocabulary;
}

Status Vocabulary::load_tokens(const gguf::File& file) {
    const auto tokens = file.get_strings(tokens_key);
    if (!tokens) return tokens.error();
    const std::size_t count = tokens->size();
    if (count == 0) return file.key_error(tokens_key, "expected at least one token, found none");
    if (count > static_cast<std::size_t>(std::numeric_limits<TokenId>::max()))
        return file.key_error(tokens_key, fmt::format("expected fewer than 2^31 tokens, found {}", count));

    // An empty entry gets a name, so that it can be found in lists and never in text.
    std::vector<std::string> names;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if ((*tokens)[i].empty()) names.push_back(fmt::format("[EMPTY_{}]", i));
        bytes += (*tokens)[i].empty() ? names.back().size() : (*tokens)[i].size();
    }
    characters_.reserve(bytes);
    texts_.reserve(count);
    ids_.reserve(count);
    std::size_t empty = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::string_view text = (*tokens)[i].empty() ? std::string_view(names[empty++]) : (*tokens)[i];
        const std::size_t start = characters_.size();
        characters_.insert(characters_.end(), text.begin(), text.end());
        texts_.emplace_back(characters_.data() + start, text.size());
        longest_ = std::max(longest_, text.size());
        const auto [at, inserted] = ids_.emplace(texts_.back(), static_cast<TokenId>(i));
        if (!inserted)
            return file.key_error(
                tokens_key, fmt::format("expected distinct tokens, found '{}' at {} and {}", text, at->second, i));
    }

    scores_.assign(count, 0.0f);
    if (const gguf::Value* value = file.find(scores_key)) {
        if (value->count != count) return length_error(file, scores_key, value->count, count);
        if (value->element == gguf::ValueType::i32) {
            const auto scores = file.get_numbers<std::int32_t>(scores_key);
            if (!scores) return scores.error();
            for (std::size_t i = 0; i < count; ++i) scores_[i] = static_cast<float>((*scores)[i]);
        } else {
            const auto scores = file.get_numbers<float>(scores_key);
            if (!scores) return scores.error();
            for (std::size_t i = 0; i < count; ++i) scores_[i] = (*scores)[i];
        }
        for (std::size_t i = 0; i < count; ++i)
            if (std::isnan(scores_[i]))
                return file.key_error(scores_key, fmt::format("the score of token {} is NaN", i));
    }

    types_.assign(count, TokenType::normal);
    if (file.contains(types_key)) {
        const auto types = file.get_numbers<std::int32_t>(types_key);
        if (!types) return types.error();
        if (types->size() != count) return length_error(file, types_key, types->size(), count);
        for (std::size_t i = 0; i < count; ++i) types_[i] = type_of((*types)[i]);
    }
    return {};
}

Status Vocabulary::load_special_ids(const gguf::File& file) {
    if (model_ == Model::spm) {
        bos = 1, eos = 2, unknown = 0;
        add_space_prefix = wants_bos = true;
    } else {
        bos = eos = 11;
        const auto rules = pretokenizer_rules(file);
        if (!rules) return rules.error();
        wants_bos = (*rules)->wants_bos;
    }
    struct Special {
        std::string_view key;
        TokenId& id;
    };
    for (const Special& special : {
             Special{"tokenizer.ggml.bos_token_id", bos},
             Special{"tokenizer.ggml.eos_token_id", eos},
             Special{"tokenizer.ggml.eot_token_id", eot},
             Special{"tokenizer.ggml.eom_token_id", end_of_message_},
             Special{"tokenizer.ggml.unknown_token_id", unknown},
             Special{"tokenizer.ggml.fim_pre_token_id", fim_prefix_},
             Special{"tokenizer.ggml.fim_suf_token_id", fim_suffix_},
             Special{"tokenizer.ggml.fim_mid_token_id", fim_middle_},
             Special{"tokenizer.ggml.fim_pad_token_id", fim_pad_},
             Special{"tokenizer.ggml.fim_rep_token_id", fim_repository_},
             Special{"tokenizer.ggml.fim_sep_token_id", fim_separator_},
             Special{"tokenizer.ggml.prefix_token_id", fim_prefix_}, // older names
             Special{"tokenizer.ggml.suffix_token_id", fim_suffix_},
             Special{"tokenizer.ggml.middle_token_id", fim_middle_},
         }) {
        if (!contains(special.id)) special.id = no_token;
        if (!file.contains(special.key)) continue;
        const auto id = file.get<std::uint32_t>(special.key);
        if (!id) return id.error();
        if (*id >= size())
            return file.key_error(special.key,
                                  fmt::format("expected an id below {}, the number of tokens, found {}", size(), *id));
        special.id = static_cast<TokenId>(*id);
    }
    struct Flag {
        std::string_view key;
        bool& value;
    };
    for (const Flag& flag :
         {Flag{"tokenizer.ggml.add_bos_token", wants_bos}, Flag{"tokenizer.ggml.add_space_prefix", add_space_prefix}}) {
        const auto value = file.get_or<bool>(flag.key, bool(flag.value));
        if (!value) return value.error();
        flag.value = *value;
    }
    const auto text = file.get_or<std::string_view>("tokenizer.chat_template", "");
    if (!text) return text.error();
    chat_template = std::string(*text);
    return {};
}

TokenId Vocabulary::find_first_of(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names)
        if (const TokenId id = find(name); id != no_token) return id;
    return no_token;
}

void Vocabulary::find_end_of_generation() {
    // Files rarely say which tokens play these parts, so llama.cpp knows them by their text, whatever their stored
    // type; what it finds this way it treats as a control token. These are its names, the most telling first (llama.cpp
    // takes one in hash order).
    const auto detect = [&](TokenId& id, std::initializer_list<std::string_view> names) {
        if (id != no_token) return;
        id = find_first_of(names);
        if (id != no_token) mark_control(id);
    };
    detect(eot, {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
                 "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"});
    detect(end_of_message_, {"<|eom_id|>"});
    detect(fim_prefix_, {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
                         "<|code_prefix|>", "<|prefix|>"});
    detect(fim_suffix_, {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
                         "<|code_suffix|>", "<|suffix|>"});
    detect(fim_middle_, {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
                         "<|code_middle|>", "<|middle|>"});
    detect(fim_pad_, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"});
    detect(fim_repository_, {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"});
    detect(fim_separator_, {"<|file_sep|>"});

    for (const std::string_view name : {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|flush|>",
                                        "<|calls|>",
                                        "<end_of_turn>",
                                        "<|endoftext|>",
                                        "</s>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "_<EOT>",
                                        "[EOT]",
                                        "[EOS]",
                                        "<|end_of_text|>",
                                        "<end_of_utterance>",
                                        "<eos>",
                                        "<turn|>",
                                        "<|tool_response>",
                                        "<｜end▁of▁sentence｜>",
                                        "[e~["})
        if (const TokenId id = find(name); id != no_token) {
            mark_control(id);
            end_of_generation.push_back(id);
        }
    for (const TokenId id : {fim_pad_, fim_repository_, fim_separator_, eos, eot, end_of_message_})
        if (id != no_token) end_of_generation.push_back(id);
    std::sort(end_of_generation.begin(), end_of_generation.end());
    end_of_generation.erase(std::unique(end_of_generation.begin(), end_of_generation.end()), end_of_generation.end());
}

} // namespace ptxgen::tokenization
