#include "runtime/inference/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ptxgen {

namespace {

constexpr auto more_probable = [](const auto& a, const auto& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
};

bool in_unit_interval(double value) { return value >= 0 && value <= 1; } // false for NaN

} // namespace

Result<Sampler> Sampler::create(const SamplerOptions& options) {
    if (!(options.temperature >= 0) || std::isinf(options.temperature))
        return Error{fmt::format("expected a temperature of 0 or more, found {}", options.temperature)};
    if (options.top_k < 0)
        return Error{fmt::format("expected a top-k of 0 (all tokens) or more, found {}", options.top_k)};
    if (!in_unit_interval(options.top_p))
        return Error{fmt::format("expected a top-p from 0 to 1, found {}", options.top_p)};
    if (!in_unit_interval(options.min_p))
        return Error{fmt::format("expected a min-p from 0 to 1, found {}", options.min_p)};
    if (!(options.repeat_penalty >= 0.01 && options.repeat_penalty <= 100))
        return Error{fmt::format("expected a repeat penalty from 0.01 to 100, found {}", options.repeat_penalty)};
    if (options.repeat_last_n < -1)
        return Error{fmt::format("expected a number of tokens for the repeat penalty from -1 (all), found {}",
                                 options.repeat_last_n)};
    return Sampler(options);
}

void Sampler::accept(TokenId id) {
    if (options_.repeat_last_n == 0 || options_.repeat_penalty == 1) return;
    recent_.push_back(id);
    if (options_.repeat_last_n > 0 && recent_.size() > static_cast<std::size_t>(options_.repeat_last_n))
        recent_.pop_front();
}

void Sampler::penalise(std::vector<Candidate>& candidates) const {
    std::vector<TokenId> ids(recent_.begin(), recent_.end());
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const TokenId id : ids) {
        if (id < 0 || static_cast<std::size_t>(id) >= candidates.size()) continue;
        double& logit = candidates[static_cast<std::size_t>(id)].logit;
        logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    }
}

Result<TokenId> Sampler::sample(std::span<const float> logits) {
    if (logits.empty()) return Error{"expected logits to sample from, found none"};
    candidates_.resize(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity())
            return Error{fmt::format("the logit of token {} is {}: the model's evaluation went wrong", i, logits[i])};
        candidates_[i] = {static_cast<TokenId>(i), logits[i]};
    }
    if (!recent_.empty()) penalise(candidates_);
    const Candidate best = *std::min_element(candidates_.begin(), candidates_.end(), more_probable);
    if (std::isinf(best.logit)) return Error{"every logit is -infinity: no token can follow"};
    if (options_.temperature == 0) return best.id;
    keep_top_k();
    keep_top_p(best.logit);
    keep_min_p(best.logit);
    return draw(best.logit);
}

void Sampler::keep_top_k() {
    if (options_.top_k == 0 || static_cast<std::size_t>(options_.top_k) >= candidates_.size()) return;
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(options_.top_k);
    std::nth_element(candidates_.begin(), end, candidates_.end(), more_probable);
    candidates_.erase(end, candidates_.end());
    std::sort(candidates_.begin(), candidates_.end(), more_probable);
}

void Sampler::keep_top_p(double highest) {
    if (options_.top_p >= 1) return;
    double total = 0;
    for (const Candidate& candidate : candidates_) total += std::exp(candidate.logit - highest);
    // Tokens below (1 - p) / n have less than 1 - p together, so the rest reaches p without them. The factor keeps
    // rounding from erasing one that counts.
    const double floor = 0.999 * (1 - options_.top_p) / static_cast<double>(candidates_.size()) * total;
    const double lowest = highest + std::log(floor);
    std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.logit < lowest; });

    // Mostly a few candidates are enough, so they are sorted in growing portions.
    double sum = 0;
    std::size_t kept = 0;
    for (std::size_t sorted = 0, portion = 256; sorted < candidates_.size(); portion *= 4) {
        const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
        sorted = std::min(sorted + portion, candidates_.size());
        const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
        std::nth_element(begin, end, candidates_.end(), more_probable);
        std::sort(begin, end, more_probable);
        while (kept < sorted) {
            sum += std::exp(candidates_[kept].logit - highest);
            ++kept;
            if (sum >= options_.top_p * total) {
                candidates_.resize(kept);
                return;
            }
        }
    }
}

void Sampler::keep_min_p(double highest) {
    if (options_.min_p <= 0) return;
    const double lowest = highest + std::log(options_.min_p);
    std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.logit < lowest; });
}

TokenId Sampler::draw(double highest) {
    double total = 0;
    weights_.resize(candidates_.size());
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        weights_[i] = std::exp((candidates_[i].logit - highest) / options_.temperature);
        total += weights_[i];
    }
    const double target = random_.uniform() * total;
    double sum = 0;
    std::size_t last = 0; // with a weight, in case rounding keeps the sum below the target
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (weights_[i] == 0) continue;
        last = i;
        sum += weights_[i];
        if (sum > target) break;
    }
    return candidates_[last].id;
}

} // namespace ptxgen
