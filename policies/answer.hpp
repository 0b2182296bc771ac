#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::policies {

/// What a policy says when it is asked whether the CTA shall request another tile. A larger number is stricter.
enum class Decision : std::uint32_t {
    steal = 0, ///< request one
    delay = 1, ///< not now: ask again when the tile in hand is done and a nap is over
    exit = 2,  ///< request nothing more; the CTA ends with the tile in hand
};

/// A decision that the kernel computes, or one that is known while it is built. Knows which decisions are possible, so
/// that no code is emitted for the others.
class Answer {
public:
    Answer(Decision known) : possible_(1U << static_cast<unsigned>(known)) {} // NOLINT: decisions are answers
    /// A number of Decision, any of the three.
    Answer(const Val<u32>& decision) : possible_(7), value_(decision) {} // NOLINT: so are computed ones
    /// `if_true` where `p` holds, else `if_false`.
    Answer(const Pred& p, Decision if_true, Decision if_false);

    bool may_be(Decision decision) const { return (possible_ >> static_cast<unsigned>(decision) & 1) != 0; }
    /// The decision, if there is only one.
    std::optional<Decision> known() const;
    /// As a number of Decision.
    Val<u32> value(KernelBuilder& k) const;

    friend Answer stricter(KernelBuilder& k, const Answer& a, const Answer& b);
    friend Answer laxer(KernelBuilder& k, const Answer& a, const Answer& b);

private:
    Answer(unsigned possible, std::optional<Val<u32>> value) : possible_(possible), value_(std::move(value)) {}

    unsigned possible_; ///< bit d: Decision d
    std::optional<Val<u32>> value_;
};

/// The stricter, and the laxer of two answers.
Answer stricter(KernelBuilder& k, const Answer& a, const Answer& b);
Answer laxer(KernelBuilder& k, const Answer& a, const Answer& b);

/// Yes or no, computed in the kernel or known while it is built.
class KeepGoing {
public:
    KeepGoing(bool known) : known_(known) {}          // NOLINT: a bool is a condition
    KeepGoing(const Pred& p) : known_(), value_(p) {} // NOLINT: so is a predicate

    std::optional<bool> known() const { return known_; }
    /// Only where nothing is known.
    const Pred& value() const { return *value_; }

private:
    std::optional<bool> known_;
    std::optional<Pred> value_;
};

KeepGoing both(const KeepGoing& a, const KeepGoing& b);
KeepGoing either(const KeepGoing& a, const KeepGoing& b);

} // namespace ptxgen::policies
