#include "runtime/emulator/choices.hpp"

#include <algorithm>
#include <utility>

namespace ptxgen::runtime::emulator {

std::shared_ptr<Choices> Choices::in_order() { return std::shared_ptr<Choices>(new Choices(Mode::in_order, 0)); }
std::shared_ptr<Choices> Choices::random(std::uint64_t seed) {
    return std::shared_ptr<Choices>(new Choices(Mode::random, seed));
}
std::shared_ptr<Choices> Choices::adversarial(std::uint64_t seed) {
    return std::shared_ptr<Choices>(new Choices(Mode::adversarial, seed));
}
std::shared_ptr<Choices> Choices::scripted(std::vector<std::uint32_t> script, std::vector<ChoiceKind> kinds,
                                           Points points) {
    std::shared_ptr<Choices> choices(new Choices(Mode::scripted, 0));
    choices->script_ = std::move(script);
    choices->points_ = points;
    for (const ChoiceKind kind : kinds) choices->kinds_ |= 1u << static_cast<unsigned>(kind);
    return choices;
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
std::uint64_t Choices::next_random() {
    std::uint64_t z = random_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

bool Choices::decides(ChoiceKind kind) const {
    return at_every_step() || ((kinds_ >> static_cast<unsigned>(kind)) & 1);
}

std::uint32_t Choices::pick(std::uint32_t n, ChoiceKind kind) {
    if (n <= 1) return 0;
    const auto any = [&] { return static_cast<std::uint32_t>((next_random() >> 32) * n >> 32); };
    switch (mode_) {
    case Mode::in_order: return 0;
    case Mode::random: return any();
    case Mode::adversarial: {
        State& s = states_[static_cast<unsigned>(kind)];
        if (s.left == 0) {
            const std::uint64_t r = next_random();
            s.mood = static_cast<Mood>(r % 4);
            s.left = 1 + static_cast<std::uint32_t>((r >> 8) % 64);
        }
        --s.left;
        s.before = s.mood == Mood::first  ? 0
                   : s.mood == Mood::last ? n - 1
                   : s.mood == Mood::same ? std::min(s.before, n - 1)
                                          : any();
        return s.before;
    }
    case Mode::scripted: {
        if (!decides(kind)) return 0;
        std::uint32_t chosen = taken_.size() < script_.size() ? script_[taken_.size()] : 0;
        if (chosen >= n) {
            diverged_ = true;
            chosen = 0;
        }
        taken_.push_back({n, chosen, kind});
        return chosen;
    }
    }
    return 0;
}

bool Choices::advance() {
    while (!taken_.empty() && taken_.back().chosen + 1 == taken_.back().n) taken_.pop_back();
    if (taken_.empty()) return false;
    script_.clear();
    for (const Choice& c : taken_) script_.push_back(c.chosen);
    ++script_.back();
    taken_.clear();
    diverged_ = false;
    return true;
}

} // namespace ptxgen::runtime::emulator
