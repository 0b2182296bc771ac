#pragma once

#include "runtime/inference/model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ptxgen::test {

/// The ground truth: a float64 forward pass over a model's dequantised weights, written straight from the description
/// of ModelShape, with a KV cache so that a sequence can be evaluated in pieces. tests/data/greedy/README.md says how
/// it was compared with an independent one. Weights are dequantised as they are used: memory is a few rows, plus the
/// cache.
class ReferenceForward {
public:
    /// What matrices are multiplied with: as it is, or rounded to 255 steps of the largest in each 32 columns, as
    /// engines do at q8_1.
    enum class Activations : std::uint8_t { exact, rounded };
    /// `model` must outlive the object.
    explicit ReferenceForward(const Model& model, Activations activations = Activations::exact);

    enum class Logits : std::uint8_t { every, last };

    /// Evaluates `ids` (each below vocab, at least one) at the next positions. Returns their logits, or those of the
    /// last one: rows of `vocab` values.
    std::vector<double> evaluate(std::span<const std::int32_t> ids, Logits which = Logits::every);

    std::size_t positions() const { return positions_; }
    /// Forgets all positions from `count` on.
    void truncate(std::size_t count);

private:
    struct LayerCache {
        std::vector<double> keys;   ///< [position][kv_dim]
        std::vector<double> values; ///< [position][kv_dim]
    };

    std::vector<double> product(const gguf::Tensor& weights, const std::vector<double>& x, std::size_t tokens) const;
    void attention_block(std::uint32_t layer, std::size_t tokens, std::vector<double>& x);
    void ffn_block(std::uint32_t layer, std::size_t tokens, std::vector<double>& x) const;
    void rope(std::uint32_t layer, std::size_t tokens, std::uint32_t heads, std::vector<double>& x) const;
    std::vector<double> attend(std::uint32_t layer, std::size_t tokens, const std::vector<double>& q) const;

    const Model& model_;
    bool rounded_;
    std::vector<LayerCache> cache_;
    std::vector<double> rope_factors_;
    std::size_t positions_ = 0;
};

/// The id of the highest logit, the lowest id of equals, and its distance to the second highest.
struct Best {
    std::int32_t id = 0;
    double gap = 0;
};
Best best_of(std::span<const double> logits);

} // namespace ptxgen::test
