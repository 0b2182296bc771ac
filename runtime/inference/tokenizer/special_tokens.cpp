#include "runtime/inference/tokenizer/special_tokens.hpp"

#include <algorithm>

namespace ptxgen::tokenization {

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

unsigned char byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

} // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {
    for (std::size_t i = 0; i < vocabulary.size(); ++i) {
        const auto id = static_cast<TokenId>(i);
        const TokenType type = vocabulary.type(id);
        if (type != TokenType::control && type != TokenType::unknown && type != TokenType::user_defined) continue;
        entries_.push_back({vocabulary.text(id), id});
        longest_ = std::max(longest_, vocabulary.text(id).size());
    }
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
    for (std::uint32_t i = 0; i < entries_.size(); ++i) {
        Range& range = by_first_byte_[byte_at(entries_[i].text, 0)];
        if (range.first == range.last) range.first = i;
        range.last = i + 1;
    }
}

const SpecialTokens::Entry* SpecialTokens::longest_match(std::string_view text, std::size_t longest,
                                                         bool parse_special) const {
    const Entry* best = nullptr;
    Range range = by_first_byte_[byte_at(text, 0)];
    longest = std::min(longest, text.size());
    // The entries in range share the first `depth` bytes with the text; one that ends there is the first of them.
    for (std::size_t depth = 1; range.first != range.last && depth <= longest; ++depth) {
        const Entry& first = entries_[range.first];
        if (first.text.size() == depth) {
            if (parse_special || vocabulary_->type(first.id) == TokenType::user_defined) best = &first;
            ++range.first;
        }
        if (depth == longest) break;
        const auto begin = entries_.begin() + range.first, end = entries_.begin() + range.last;
        const unsigned char next = byte_at(text, depth);
        const auto low = std::lower_bound(begin, end, next, [&](const Entry& entry, unsigned char byte) {
            return byte_at(entry.text, depth) < byte;
        });
        const auto high = std::upper_bound(
            low, end, next, [&](unsigned char byte, const Entry& entry) { return byte < byte_at(entry.text, depth); });
        range = {static_cast<std::uint32_t>(low - entries_.begin()),
                 static_cast<std::uint32_t>(high - entries_.begin())};
    }
    return best;
}

std::vector<Fragment> SpecialTokens::split(std::string_view text, bool parse_special) const {
    struct Match {
        std::size_t at;
        const Entry* entry;
    };
    // Only the longest match of a position is looked at; when something longer elsewhere overlaps its end, the next
    // shorter one takes its place. So runs in which tokens nest ("\n", "\n\n", …) stay linear.
    std::vector<std::vector<Match>> by_length(longest_ + 1);
    bool any = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const Range range = by_first_byte_[byte_at(text, at)];
        if (range.first == range.last) continue;
        if (const Entry* entry = longest_match(text.substr(at), longest_, parse_special)) {
            by_length[entry->text.size()].push_back({at, entry});
            any = true;
        }
    }
    std::vector<Fragment> fragments;
    if (!any) {
        if (!text.empty()) fragments.push_back({text});
        return fragments;
    }

    std::vector<char> taken(text.size(), 0);
    struct Accepted {
        std::size_t at, end;
        TokenId id;
    };
    std::vector<Accepted> accepted;
    for (std::size_t length = longest_; length > 0; --length) {
        std::sort(by_length[length].begin(), by_length[length].end(), [](const Match& a, const Match& b) {
            return a.entry->id < b.entry->id || (a.entry->id == b.entry->id && a.at < b.at);
        });
        for (const Match& match : by_length[length]) {
            // What is taken is at least as long as this match, so it cannot lie strictly inside.
            if (taken[match.at]) continue;
            if (taken[match.at + length - 1]) {
                if (const Entry* shorter = longest_match(text.substr(match.at), length - 1, parse_special))
                    by_length[shorter->text.size()].push_back({match.at, shorter});
                continue;
            }
            std::size_t end = match.at + length;
            if (vocabulary_->takes_space_after(match.entry->id))
                while (end < text.size() && !taken[end] && is_space(text[end])) ++end;
            std::fill(taken.begin() + static_cast<std::ptrdiff_t>(match.at),
                      taken.begin() + static_cast<std::ptrdiff_t>(end), char{1});
            accepted.push_back({match.at, end, match.entry->id});
        }
    }
    std::sort(accepted.begin(), accepted.end(), [](const Accepted& a, const Accepted& b) { return a.at < b.at; });
    std::size_t done = 0;
    for (const Accepted& token : accepted) {
        if (token.at > done) fragments.push_back({text.substr(done, token.at - done)});
        fragments.push_back({{}, token.id});
        done = token.end;
    }
    if (done < text.size()) fragments.push_back({text.substr(done)});
    return fragments;
}

} // namespace ptxgen::tokenization
