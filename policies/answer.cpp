#include "policies/answer.hpp"

#include <algorithm>
#include <bit>

namespace ptxgen::policies {
namespace {

/// Every result that `pick` can have for decisions out of two sets.
template <class Pick>
unsigned results(unsigned a, unsigned b, Pick pick) {
    unsigned possible = 0;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++)
            if ((a >> i & 1) != 0 && (b >> j & 1) != 0) possible |= 1U << pick(i, j);
    return possible;
}

} // namespace

Answer::Answer(const Pred& p, Decision if_true, Decision if_false)
    : possible_(1U << static_cast<unsigned>(if_true) | 1U << static_cast<unsigned>(if_false)) {
    KernelBuilder k(p.state());
    if (if_true == if_false) return;
    const auto yes = k.imm<u32>(static_cast<std::uint32_t>(if_true));
    value_.emplace(k.selp(yes, static_cast<std::uint32_t>(if_false), p));
}

std::optional<Decision> Answer::known() const {
    if (!std::has_single_bit(possible_)) return std::nullopt;
    return static_cast<Decision>(std::countr_zero(possible_));
}

Val<u32> Answer::value(KernelBuilder& k) const {
    if (const auto decision = known()) return k.imm<u32>(static_cast<std::uint32_t>(*decision));
    return *value_;
}

Answer stricter(KernelBuilder& k, const Answer& a, const Answer& b) {
    const unsigned possible = results(a.possible_, b.possible_, [](unsigned i, unsigned j) { return std::max(i, j); });
    if (std::has_single_bit(possible)) return {possible, std::nullopt};
    if (a.known() == Decision::steal) return b;
    if (b.known() == Decision::steal) return a;
    const Val<u32> left = a.value(k), right = b.value(k);
    return {possible, k.max(left, right)};
}

Answer laxer(KernelBuilder& k, const Answer& a, const Answer& b) {
    const unsigned possible = results(a.possible_, b.possible_, [](unsigned i, unsigned j) { return std::min(i, j); });
    if (std::has_single_bit(possible)) return {possible, std::nullopt};
    if (a.known() == Decision::exit) return b;
    if (b.known() == Decision::exit) return a;
    const Val<u32> left = a.value(k), right = b.value(k);
    return {possible, k.min(left, right)};
}

KeepGoing both(const KeepGoing& a, const KeepGoing& b) {
    if (a.known()) return *a.known() ? b : KeepGoing(false);
    if (b.known()) return *b.known() ? a : KeepGoing(false);
    return a.value() & b.value();
}

KeepGoing either(const KeepGoing& a, const KeepGoing& b) {
    if (a.known()) return *a.known() ? KeepGoing(true) : b;
    if (b.known()) return *b.known() ? KeepGoing(true) : a;
    return a.value() | b.value();
}

} // namespace ptxgen::policies
