#pragma once

#include "ptxgen/base/result.hpp"

#include <cstdint>
#include <span>

namespace ptxgen::tools {

/// How far one engine's logits are from another's, position by position.
class Agreement {
public:
    /// A run agrees if no position's difference is above `bound`, relative to its largest logit, and the argmax differs
    /// nowhere where the gap between the best and the second best logit is above `bound`, relative likewise.
    explicit Agreement(double bound) : bound_(bound) {}

    /// Compares the logits of one position, `expected` against `found`, two equal numbers of floats. Errors: a value
    /// that is not finite; expected logits that are all zero. Both say what an engine made, not where: the caller does.
    Status add(std::span<const float> expected, std::span<const float> found);

    std::uint64_t positions() const { return positions_; }
    double max_difference() const { return max_difference_; } ///< max |found - expected|, of all positions
    double max_logit() const { return max_logit_; }           ///< max |expected|, of all positions
    /// Largest of the positions' max |found - expected| / max |expected|, and the number of the position it is at.
    double worst_ratio() const { return worst_ratio_; }
    std::uint64_t worst_position() const { return worst_position_; }
    /// Positions with another argmax (of equal logits the lowest id), and those of them where `expected` has a gap
    /// above the bound.
    std::uint64_t other_argmax() const { return other_argmax_; }
    std::uint64_t other_argmax_beyond_bound() const { return other_argmax_beyond_; }
    /// Number of the first of the latter.
    std::uint64_t first_beyond_bound() const { return first_beyond_; }

    bool holds() const { return worst_ratio_ <= bound_ && other_argmax_beyond_ == 0; }

private:
    double bound_;
    std::uint64_t positions_ = 0, worst_position_ = 0, other_argmax_ = 0, other_argmax_beyond_ = 0, first_beyond_ = 0;
    double max_difference_ = 0, max_logit_ = 0, worst_ratio_ = 0;
};

} // namespace ptxgen::tools
