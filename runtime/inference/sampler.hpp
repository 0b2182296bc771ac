#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/tokenizer.hpp"

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace ptxgen {

/// splitmix64 (Steele, Lea, Flood 2014, constants of Vigna's public-domain code): the same numbers everywhere.
class SplitMix64 {
public:
    explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
    /// 64 uniform bits.
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    /// Uniform in [0, 1): the upper 53 bits.
    double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

private:
    std::uint64_t state_;
};

struct SamplerOptions {
    double temperature = 0.6;  ///< 0: always the most probable token; up to infinity excluded
    std::int64_t top_k = 0;    ///< keep this many of the most probable tokens; 0: all
    double top_p = 0.95;       ///< keep the fewest most probable tokens whose probabilities reach this; 1: all, 0: one
    double min_p = 0;          ///< keep tokens of at least this share of the highest probability; 0: all
    double repeat_penalty = 1; ///< weakens tokens that occurred, 0.01 to 100; 1: none
    std::int64_t repeat_last_n = 64; ///< among how many of the last tokens; 0: none, -1: all
    std::uint64_t seed = 0;
};

/// Draws tokens from logits. The stages, in llama.cpp's order:
///  1. repetition penalty: the logit of each token among the last `repeat_last_n` is divided by the penalty if it is
///     positive, multiplied by it otherwise, once however often the token occurred;
///  2. temperature 0 ends here: the highest logit, of equal ones the lowest id;
///  3. top-k, equal logits by ascending id;
///  4. top-p over the softmax of what is left, at temperature 1;
///  5. min-p over the same;
///  6. logits divided by the temperature, softmax, and one draw of SplitMix64.
/// All in double; the candidates are walked from the most probable to the least if any stage sorted them,
/// otherwise by id. One draw is one number of the generator, and stage 2 takes none.
class Sampler {
public:
    /// Errors: an option out of its range, by name.
    static Result<Sampler> create(const SamplerOptions& options);

    /// Errors: no logits, a logit that is NaN or +infinity, all of them −infinity. −infinity excludes a token.
    Result<TokenId> sample(std::span<const float> logits);

    /// Whether sample() takes the highest logit as it is, whatever the text so far.
    bool is_greedy() const { return options_.temperature == 0 && options_.repeat_penalty == 1; }

    /// Tells that a token is part of the text, for the repetition penalty: those of the prompt, and each that is drawn.
    void accept(TokenId id);
    /// Forgets the text; the generator goes on.
    void clear() { recent_.clear(); }

private:
    struct Candidate {
        TokenId id;
        double logit;
    };
    explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}
    void penalise(std::vector<Candidate>& candidates) const;
    void keep_top_k();
    void keep_top_p(double highest);
    void keep_min_p(double highest);
    TokenId draw(double highest);

    SamplerOptions options_;
    SplitMix64 random_;
    std::deque<TokenId> recent_;
    std::vector<Candidate> candidates_; ///< kept between calls for its memory
    std::vector<double> weights_;
};

} // namespace ptxgen
