#include "runtime/inference/tokenizer.hpp"

#include "runtime/inference/tokenizer/bpe.hpp"
#include "runtime/inference/tokenizer/special_tokens.hpp"
#include "runtime/inference/tokenizer/spm.hpp"
#include "runtime/inference/tokenizer/unicode.hpp"
#include "runtime/inference/tokenizer/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ptxgen {

using namespace tokenization;

struct Tokenizer::Impl {
    explicit Impl(Vocabulary v) : vocabulary(std::move(v)), special(vocabulary) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    Vocabulary vocabulary;
    SpecialTokens special;
    std::optional<Bpe> bpe;
    std::optional<Spm> spm;
};

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

namespace {

std::optional<TokenId> present(TokenId id) { return id == no_token ? std::nullopt : std::optional<TokenId>(id); }

/// The bytes that a BPE token's characters stand for; characters that stand for no byte as they are.
std::string bytes_of_characters(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::uint32_t c = decode_utf8(text, at);
        if (const auto byte = byte_of_character(c))
            out.push_back(static_cast<char>(*byte));
        else
            append_utf8(out, c);
    }
    return out;
}

std::string spaces_restored(std::string_view text) {
    constexpr std::string_view space = "▁";
    std::string out;
    for (std::size_t at = 0; at < text.size();)
        if (text.substr(at, space.size()) == space) {
            out.push_back(' ');
            at += space.size();
        } else {
            out.push_back(text[at++]);
        }
    return out;
}

/// "<0x41>" is "A"; nothing for a byte token that is spelled otherwise.
std::string byte_token(std::string_view text) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>' || digit(text[3]) < 0 || digit(text[4]) < 0)
        return {};
    return std::string(1, static_cast<char>(digit(text[3]) * 16 + digit(text[4])));
}

} // namespace

Result<Tokenizer> Tokenizer::load(const gguf::File& file) {
    auto vocabulary = Vocabulary::load(file);
    if (!vocabulary) return vocabulary.error();
    auto impl = std::make_unique<Impl>(std::move(*vocabulary));
    if (impl->vocabulary.model() == Model::spm) {
        impl->spm.emplace(impl->vocabulary);
    } else {
        auto bpe = Bpe::load(file, impl->vocabulary);
        if (!bpe) return bpe.error();
        impl->bpe.emplace(std::move(*bpe));
    }
    return Tokenizer(std::move(impl));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
    const Vocabulary& vocabulary = impl_->vocabulary;
    constexpr std::size_t limit = 1 << 30; // positions are kept in 32 bits, and "▁" is three times a space
    if (text.size() / 2 >= limit / 3)
        return Error{
            fmt::format("expected a text of less than {} bytes to tokenize, found {}", limit / 3 * 2, text.size())};
    std::vector<TokenId> out;
    if (options.add_bos && vocabulary.wants_bos && vocabulary.bos != no_token) out.push_back(vocabulary.bos);
    bool after_special = true; // so is the start of the text
    for (const Fragment& fragment : impl_->special.split(text, options.parse_special)) {
        if (fragment.token != no_token) {
            out.push_back(fragment.token);
            after_special = true;
            continue;
        }
        if (impl_->spm)
            impl_->spm->encode(fragment.text, vocabulary.add_space_prefix && after_special, out);
        else if (auto status = impl_->bpe->encode(fragment.text, out); !status)
            return status.error();
        after_special = false;
    }
    return out;
}

std::string Tokenizer::piece(TokenId id, bool special) const {
    const Vocabulary& vocabulary = impl_->vocabulary;
    if (!vocabulary.contains(id)) return {};
    const std::string_view text = vocabulary.text(id);
    switch (vocabulary.type(id)) {
    case TokenType::normal: return impl_->spm ? spaces_restored(text) : bytes_of_characters(text);
    case TokenType::byte: return byte_token(text);
    case TokenType::user_defined: return std::string(text);
    case TokenType::control:
    case TokenType::unknown: return special ? std::string(text) : std::string();
    case TokenType::unused:
    case TokenType::undefined: break;
    }
    return {};
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool special) const {
    std::string out;
    for (const TokenId id : ids) out += piece(id, special);
    return out;
}

std::size_t Tokenizer::size() const { return impl_->vocabulary.size(); }

std::string_view Tokenizer::token_text(TokenId id) const {
    return impl_->vocabulary.contains(id) ? impl_->vocabulary.text(id) : std::string_view();
}

std::optional<TokenId> Tokenizer::find(std::string_view text) const { return present(impl_->vocabulary.find(text)); }
std::optional<TokenId> Tokenizer::bos() const { return present(impl_->vocabulary.bos); }
std::optional<TokenId> Tokenizer::eos() const { return present(impl_->vocabulary.eos); }
std::optional<TokenId> Tokenizer::eot() const { return present(impl_->vocabulary.eot); }
bool Tokenizer::wants_bos() const { return impl_->vocabulary.wants_bos; }

bool Tokenizer::is_end_of_generation(TokenId id) const {
    const auto& ids = impl_->vocabulary.end_of_generation;
    return std::binary_search(ids.begin(), ids.end(), id);
}

const std::vector<TokenId>& Tokenizer::end_of_generation() const { return impl_->vocabulary.end_of_generation; }
std::string_view Tokenizer::chat_template() const { return impl_->vocabulary.chat_template; }

} // namespace ptxgen
