#include "runtime/inference/tokenizer/spm.hpp"

#include "runtime/inference/tokenizer/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

namespace ptxgen::tokenization {

namespace {

struct Node {
    std::size_t start, bytes; ///< in the text; 0 bytes once merged into the left neighbour
    std::int32_t previous, next;
};

struct Candidate {
    float score;
    std::int32_t left, right;
    std::size_t bytes;
    bool operator<(const Candidate& other) const {
        return score < other.score || (score == other.score && left > other.left); // the queue's top is the largest
    }
};

} // namespace

Spm::Spm(const Vocabulary& vocabulary) : vocabulary_(&vocabulary), token_of_byte_(256, no_token) {
    for (int byte = 0; byte < 256; ++byte) {
        TokenId id = vocabulary.find(fmt::format("<0x{:02X}>", byte));
        const char character = static_cast<char>(byte);
        if (id == no_token) id = vocabulary.find(std::string_view(&character, 1));
        token_of_byte_[static_cast<std::size_t>(byte)] = id;
    }
}

void Spm::encode(std::string_view raw, bool space_before, std::vector<TokenId>& out) const {
    constexpr std::string_view space = "▁";
    std::string text;
    text.reserve(raw.size() + raw.size() / 2 + space.size());
    if (space_before) text += space;
    for (const char c : raw)
        if (c == ' ')
            text += space;
        else
            text += c;
    if (text.empty()) return;

    std::vector<Node> nodes;
    nodes.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = std::min(sequence_length(static_cast<unsigned char>(text[at])), text.size() - at);
        const auto index = static_cast<std::int32_t>(nodes.size());
        nodes.push_back({at, bytes, index - 1, index + 1});
        at += bytes;
    }
    nodes.back().next = -1;

    const std::string_view whole = text;
    std::priority_queue<Candidate> queue;
    const auto consider = [&](std::int32_t left, std::int32_t right) {
        if (left < 0 || right < 0) return;
        const auto &l = nodes[static_cast<std::size_t>(left)], &r = nodes[static_cast<std::size_t>(right)];
        const std::size_t bytes = l.bytes + r.bytes;
        if (bytes > vocabulary_->longest()) return;
        if (const TokenId id = vocabulary_->find(whole.substr(l.start, bytes)); id != no_token)
            queue.push({vocabulary_->score(id), left, right, bytes});
    };
    for (std::size_t i = 1; i < nodes.size(); ++i)
        consider(static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i));
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        auto &left = nodes[static_cast<std::size_t>(best.left)], &right = nodes[static_cast<std::size_t>(best.right)];
        // Symbols only grow, so the sum tells whether either has changed since.
        if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != best.bytes) continue;
        left.bytes = best.bytes;
        left.next = right.next;
        right.bytes = 0;
        if (right.next >= 0) nodes[static_cast<std::size_t>(right.next)].previous = best.left;
        consider(left.previous, best.left);
        consider(best.left, left.next);
    }
    for (std::int32_t i = 0; i >= 0; i = nodes[static_cast<std::size_t>(i)].next) {
        const Node& node = nodes[static_cast<std::size_t>(i)];
        const std::string_view symbol = whole.substr(node.start, node.bytes);
        if (const TokenId id = vocabulary_->find(symbol); id != no_token) {
            out.push_back(id);
            continue;
        }
        for (const char c : symbol) {
            TokenId id = token_of_byte_[static_cast<unsigned char>(c)];
            if (id == no_token) id = vocabulary_->unknown;
            if (id != no_token) out.push_back(id);
        }
    }
}

} // namespace ptxgen::tokenization
