#include "runtime/emulator/choices.hpp"
#include "runtime/emulator/cta.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// Warps that do nothing but ask memory are parked until what they ask changes. Only instructions that are made for
// asking take part: volatile, relaxed and acquire loads, atomics that change nothing, waits for mbarriers.
namespace ptxgen::runtime::emulator {
namespace {

/// Appends the bytes at `at`, as they are.
void append_words(std::vector<Poll::Word>& words, const u8* at, u32 bytes) {
    for (u32 k = 0; k < bytes; k += 8) {
        Poll::Word word{at + k, std::min(bytes - k, 8u), 0};
        std::memcpy(&word.value, at + k, word.bytes);
        words.push_back(word);
    }
}

bool same(const std::vector<Poll::Word>& a, const std::vector<Poll::Word>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
               return x.at == y.at && x.bytes == y.bytes && x.value == y.value;
           });
}

} // namespace

bool has_changed(const Poll& poll) {
    return std::any_of(poll.words.begin(), poll.words.end(),
                       [](const Poll::Word& word) { return std::memcmp(word.at, &word.value, word.bytes) != 0; });
}

bool poll(Warp& w, const Inst* i, const std::vector<Poll::Word>& words) {
    WarpState& s = state(w);
    if (s.poll_writes != w.writes) {
        s.poll_writes = w.writes;
        s.poll_count = 0;
    }
    u32 k = 0;
    while (k < s.poll_count && s.polls[k].inst != i) ++k;
    if (k == s.poll_count || !same(s.polls[k].words, words)) {
        if (k == max_polls) k = s.poll_count = 0; // it asks at too many places
        if (k == s.poll_count) ++s.poll_count;
        s.polls[k].inst = i;
        s.polls[k].words = words;
        s.futile = 0;
        return false;
    }
    if (++s.futile < s.poll_count || w.cta->worker->insists) return false;
    s.futile = 0;
    // what has changed since it was asked was not for this loop, or will be asked again: one more round tells
    bool stale = false;
    for (u32 n = 0; n < s.poll_count;) {
        if (!has_changed(s.polls[n])) {
            ++n;
            continue;
        }
        std::swap(s.polls[n], s.polls[--s.poll_count]);
        stale = true;
    }
    if (stale) return false;
    // another split may have something to do
    s.parked =
        std::count_if(s.splits.begin(), s.splits.end(), [](const Split& x) { return x.wait == Stop::none; }) == 1;
    return true;
}

bool poll(Warp& w, const Inst* i, u32 lanes, const Access& access, u32 bytes) {
    std::vector<Poll::Word> words;
    const u8* last = nullptr;
    for (u32 m = lanes; m; m &= m - 1) {
        const u8* at = access.lane[std::countr_zero(m)];
        if (at == last) continue;
        last = at;
        append_words(words, at, bytes);
    }
    return poll(w, i, words);
}

const Inst* run_poll(Warp& w, const Inst* i) {
    Access access;
    if (!resolve_lanes(w, i, w.mask, access)) return nullptr;
    return poll(w, i, w.mask, access, i->bytes) ? stop_at(w, i + 1, Stop::yield) : interrupt(w, i + 1);
}

const Inst* interrupt(Warp& w, const Inst* next) {
    Choices* choices = launch_of(w).choices;
    if (!choices) [[likely]]
        return next;
    constexpr u32 rarity = 8;
    return choices->pick(rarity, ChoiceKind::preempt) == rarity - 1 ? stop_at(w, next, Stop::preempt) : next;
}

} // namespace ptxgen::runtime::emulator
