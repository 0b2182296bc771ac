#include "runtime/inference/tokenizer/bpe.hpp"

#include "runtime/inference/tokenizer/unicode.hpp"

#include <fmt/format.h>

#include <bit>
#include <queue>

namespace ptxgen::tokenization {

namespace {

constexpr std::string_view merges_key = "tokenizer.ggml.merges";

constexpr bool stands_for_itself(std::uint32_t c) {
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

struct ByteCharacters {
    std::array<std::uint16_t, 256> character{};
    std::array<std::int16_t, 512> byte{};
    constexpr ByteCharacters() {
        for (auto& b : byte) b = -1;
        std::uint16_t next = 256; // the others are numbered from here, in order
        for (std::uint16_t b = 0; b < 256; ++b) {
            character[b] = stands_for_itself(b) ? b : next++;
            byte[character[b]] = static_cast<std::int16_t>(b);
        }
    }
};
constexpr ByteCharacters byte_characters;

std::size_t hash(std::uint64_t pair) {
    pair *= 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(pair ^ (pair >> 32));
}

std::uint64_t pack(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

} // namespace

std::uint32_t character_of_byte(std::uint8_t byte) { return byte_characters.character[byte]; }

std::optional<std::uint8_t> byte_of_character(std::uint32_t c) {
    if (c >= byte_characters.byte.size() || byte_characters.byte[c] < 0) return std::nullopt;
    return static_cast<std::uint8_t>(byte_characters.byte[c]);
}

Bpe::Symbol Bpe::intern(std::string_view text) {
    if (const TokenId id = vocabulary_->find(text); id != no_token) return id;
    if (const auto at = intermediate_symbols_.find(text); at != intermediate_symbols_.end()) return at->second;
    const auto symbol = static_cast<Symbol>(vocabulary_->size() + intermediates_.size());
    intermediate_symbols_.emplace(intermediates_.emplace_back(text), symbol);
    return symbol;
}

void Bpe::insert(Symbol left, Symbol right, Merge merge) {
    merge.pair = pack(left, right);
    std::size_t at = hash(merge.pair) & (merges_.size() - 1);
    while (merges_[at].pair != empty_pair) {
        if (merges_[at].pair == merge.pair) return; // the first entry counts
        at = (at + 1) & (merges_.size() - 1);
    }
    merges_[at] = merge;
}

const Bpe::Merge* Bpe::find(Symbol left, Symbol right) const {
    if (left < 0 || right < 0) return nullptr;
    const std::uint64_t pair = pack(left, right);
    for (std::size_t at = hash(pair) & (merges_.size() - 1);; at = (at + 1) & (merges_.size() - 1)) {
        if (merges_[at].pair == pair) return &merges_[at];
        if (merges_[at].pair == empty_pair) return nullptr;
    }
}

Result<Bpe> Bpe::load(const gguf::File& file, const Vocabulary& vocabulary) {
    const auto rules = pretokenizer_rules(file);
    if (!rules) return rules.error();
    auto pretokenizer = Pretokenizer::create(**rules);
    if (!pretokenizer) return pretokenizer.error();
    const auto merges = file.get_strings(merges_key);
    if (!merges) return merges.error();

    Bpe bpe(vocabulary, std::move(*pretokenizer));
    bpe.ignore_merges_ = (*rules)->ignore_merges;
    bpe.merges_.resize(std::bit_ceil(2 * merges->size() + 1));
    std::string joined;
    for (std::size_t i = 0; i < merges->size(); ++i) {
        const std::string_view merge = (*merges)[i];
        const std::size_t space = merge.find(' ', 1);
        if (space == std::string_view::npos || space + 1 == merge.size())
            return file.key_error(
                merges_key, fmt::format("expected two symbols with a space between them, found '{}' at {}", merge, i));
        const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
        joined.assign(left).append(right);
        bpe.insert(bpe.intern(left), bpe.intern(right), Merge{0, static_cast<std::uint32_t>(i), bpe.intern(joined)});
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
        std::string& text = bpe.text_of_byte_[byte];
        append_utf8(text, character_of_byte(static_cast<std::uint8_t>(byte)));
        const TokenId id = vocabulary.find(text);
        const auto at = bpe.intermediate_symbols_.find(text);
        bpe.symbol_of_byte_[byte] = id != no_token                          ? id
                                    : at != bpe.intermediate_symbols_.end() ? at->second
                                                                            : no_symbol;
    }
    return bpe;
}

struct Bpe::Workspace {
    struct Node {
        Symbol symbol;
        std::uint32_t start, bytes; ///< in the word; 0 bytes once merged into the left neighbour
        std::int32_t previous, next;
    };
    struct Candidate {
        std::uint32_t rank;
        std::int32_t left, right;
        std::uint32_t bytes;
        Symbol merged;
        bool operator<(const Candidate& other) const {
            return rank > other.rank || (rank == other.rank && left > other.left); // the queue's top is the largest
        }
    };
    std::vector<Node> nodes;
    std::priority_queue<Candidate> queue;
    std::string spelled;
};

void Bpe::encode_word(std::string_view word, Workspace& work, std::vector<TokenId>& out) const {
    if (ignore_merges_) {
        work.spelled.clear();
        for (const char c : word) work.spelled += text_of_byte_[static_cast<unsigned char>(c)];
        if (const TokenId id = vocabulary_->find(work.spelled); id != no_token) {
            out.push_back(id);
            return;
        }
    }
    auto& nodes = work.nodes;
    nodes.clear();
    for (std::size_t i = 0; i < word.size(); ++i)
        nodes.push_back({symbol_of_byte_[static_cast<unsigned char>(word[i])], static_cast<std::uint32_t>(i), 1,
                         static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i) + 1});
    nodes.back().next = -1;

    const auto consider = [&](std::int32_t left, std::int32_t right) {
        if (left < 0 || right < 0) return;
        const auto &l = nodes[static_cast<std::size_t>(left)], &r = nodes[static_cast<std::size_t>(right)];
        if (const Merge* merge = find(l.symbol, r.symbol))
            work.queue.push({merge->rank, left, right, l.bytes + r.bytes, merge->merged});
    };
    for (std::size_t i = 1; i < nodes.size(); ++i)
        consider(static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i));
    while (!work.queue.empty()) {
        const auto best = work.queue.top();
        work.queue.pop();
        auto &left = nodes[static_cast<std::size_t>(best.left)], &right = nodes[static_cast<std::size_t>(best.right)];
        // Symbols only grow, so the sum tells whether either has changed since.
        if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != best.bytes) continue;
        left.symbol = best.merged;
        left.bytes = best.bytes;
        left.next = right.next;
        right.bytes = 0;
        if (right.next >= 0) nodes[static_cast<std::size_t>(right.next)].previous = best.left;
        consider(left.previous, best.left);
        consider(best.left, left.next);
    }
    for (std::int32_t i = 0; i >= 0; i = nodes[static_cast<std::size_t>(i)].next) {
        const auto& node = nodes[static_cast<std::size_t>(i)];
        if (vocabulary_->contains(node.symbol)) {
            out.push_back(node.symbol);
            continue;
        }
        // Not in the vocabulary: the bytes that are tokens by themselves and spelled as one ASCII character are kept,
        // the others are lost (llama.cpp's behaviour).
        for (std::uint32_t b = node.start; b < node.start + node.bytes; ++b) {
            const auto byte = static_cast<unsigned char>(word[b]);
            if (text_of_byte_[byte].size() == 1 && vocabulary_->contains(symbol_of_byte_[byte]))
                out.push_back(symbol_of_byte_[byte]);
        }
    }
}

Status Bpe::encode(std::string_view text, std::vector<TokenId>& out) const {
    const auto pieces = pretokenizer_.split(text);
    if (!pieces) return pieces.error();
    Workspace work;
    std::size_t start = 0;
    for (const std::size_t end : pieces->ends) {
        encode_word(std::string_view(pieces->text).substr(start, end - start), work, out);
        start = end;
    }
    return {};
}

} // namespace ptxgen::tokenization
