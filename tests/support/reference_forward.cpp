#include "tests/support/reference_forward.hpp"

#include "runtime/inference/quant.hpp"
#include "tests/support/dense.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace ptxgen::test {
namespace {

void add(std::vector<double>& x, const std::vector<double>& y) {
    for (std::size_t i = 0; i < x.size(); i++) x[i] += y[i];
}

void add_bias(std::vector<double>& x, const gguf::Tensor* bias) {
    if (!bias) return;
    const std::vector<double> values = values_of(*bias);
    for (std::size_t i = 0; i < x.size(); i++) x[i] += values[i % values.size()];
}

double silu(double v) { return v / (1 + std::exp(-v)); }

double gelu_tanh(double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
}

} // namespace

ReferenceForward::ReferenceForward(const Model& model, Activations activations)
    : model_(model), rounded_(activations == Activations::rounded), cache_(model.shape.layers) {
    if (model.rope_freqs) rope_factors_ = values_of(*model.rope_freqs);
}

std::vector<double> ReferenceForward::product(const gguf::Tensor& weights, const std::vector<double>& x,
                                              std::size_t tokens) const {
    if (!rounded_) return matmul(weights, x, tokens);
    std::vector<double> rounded = x;
    const std::size_t width = x.size() / tokens;
    for (std::size_t row = 0; row < x.size(); row += width)
        for (std::size_t begin = row; begin < row + width; begin += 32) {
            const std::size_t end = std::min(begin + 32, row + width);
            double largest = 0;
            for (std::size_t i = begin; i < end; i++) largest = std::max(largest, std::abs(x[i]));
            const double step = largest / 127;
            for (std::size_t i = begin; i < end && step > 0; i++) rounded[i] = step * std::nearbyint(x[i] / step);
        }
    return matmul(weights, rounded, tokens);
}

void ReferenceForward::truncate(std::size_t count) {
    positions_ = std::min(positions_, count);
    for (LayerCache& layer : cache_) {
        layer.keys.resize(positions_ * model_.shape.kv_dim());
        layer.values.resize(positions_ * model_.shape.kv_dim());
    }
}

/// x: [tokens][heads][head_dim], the first token at position positions_.
void ReferenceForward::rope(std::uint32_t layer, std::size_t tokens, std::uint32_t heads,
                            std::vector<double>& x) const {
    const ModelShape& shape = model_.shape;
    const std::uint32_t pairs = shape.rope.dim / 2;
    const bool neox = shape.rope.kind == RopeKind::neox;
    for (std::uint32_t i = 0; i < pairs; i++) {
        double frequency = std::pow(shape.rope_base(layer), -2.0 * i / shape.rope.dim);
        if (!rope_factors_.empty()) frequency /= rope_factors_[i];
        for (std::size_t t = 0; t < tokens; t++) {
            const double angle = static_cast<double>(positions_ + t) * shape.rope_scale(layer) * frequency;
            const double c = std::cos(angle);
            const double s = std::sin(angle);
            for (std::uint32_t head = 0; head < heads; head++) {
                double* at = &x[(t * heads + head) * shape.head_dim];
                double& first = at[neox ? i : 2 * i];
                double& second = at[neox ? i + pairs : 2 * i + 1];
                const double turned = first * c - second * s;
                second = first * s + second * c;
                first = turned;
            }
        }
    }
}

/// q: [tokens][heads][head_dim] against the layer's cache, which holds the new positions already; returns the same
/// shape.
std::vector<double> ReferenceForward::attend(std::uint32_t layer, std::size_t tokens,
                                             const std::vector<double>& q) const {
    const ModelShape& shape = model_.shape;
    const std::size_t dim = shape.head_dim;
    const LayerCache& cache = cache_[layer];
    std::vector<double> out(q.size());
    parallel_for(tokens * shape.heads, [&](std::size_t begin, std::size_t end) {
        std::vector<double> scores;
        for (std::size_t item = begin; item < end; item++) {
            const std::size_t position = positions_ + item / shape.heads;
            const std::size_t kv_head = item % shape.heads / (shape.heads / shape.kv_heads);
            const std::size_t window = shape.is_sliding(layer) ? shape.sliding_window : position + 1;
            const std::size_t first = position + 1 > window ? position + 1 - window : 0;
            const double* query = &q[item * dim];
            double highest = -std::numeric_limits<double>::infinity();
            scores.clear();
            for (std::size_t j = first; j <= position; j++) {
                const double* key = &cache.keys[j * shape.kv_dim() + kv_head * dim];
                double sum = 0;
                for (std::size_t i = 0; i < dim; i++) sum += query[i] * key[i];
                scores.push_back(sum * shape.query_scale);
                highest = std::max(highest, scores.back());
            }
            double total = 0;
            double* result = &out[item * dim];
            for (std::size_t j = first; j <= position; j++) {
                const double weight = std::exp(scores[j - first] - highest);
                const double* value = &cache.values[j * shape.kv_dim() + kv_head * dim];
                total += weight;
                for (std::size_t i = 0; i < dim; i++) result[i] += weight * value[i];
            }
            for (std::size_t i = 0; i < dim; i++) result[i] /= total;
        }
    });
    return out;
}

void ReferenceForward::attention_block(std::uint32_t layer, std::size_t tokens, std::vector<double>& x) {
    const ModelShape& shape = model_.shape;
    const LayerTensors& tensors = model_.layers[layer];
    std::vector<double> h = x;
    rms_norm(h, values_of(*tensors.attn_norm), shape.norm_epsilon);
    std::vector<double> q = product(*tensors.attn_q, h, tokens);
    std::vector<double> k = product(*tensors.attn_k, h, tokens);
    std::vector<double> v = product(*tensors.attn_v, h, tokens);
    add_bias(q, tensors.attn_q_bias);
    add_bias(k, tensors.attn_k_bias);
    add_bias(v, tensors.attn_v_bias);
    if (shape.qk_norm) {
        rms_norm(q, values_of(*tensors.attn_q_norm), shape.norm_epsilon);
        rms_norm(k, values_of(*tensors.attn_k_norm), shape.norm_epsilon);
    }
    rope(layer, tokens, shape.heads, q);
    rope(layer, tokens, shape.kv_heads, k);
    LayerCache& cache = cache_[layer];
    cache.keys.insert(cache.keys.end(), k.begin(), k.end());
    cache.values.insert(cache.values.end(), v.begin(), v.end());
    std::vector<double> y = product(*tensors.attn_output, attend(layer, tokens, q), tokens);
    if (shape.post_norms) rms_norm(y, values_of(*tensors.post_attention_norm), shape.norm_epsilon);
    add(x, y);
}

void ReferenceForward::ffn_block(std::uint32_t layer, std::size_t tokens, std::vector<double>& x) const {
    const ModelShape& shape = model_.shape;
    const LayerTensors& tensors = model_.layers[layer];
    std::vector<double> h = x;
    rms_norm(h, values_of(*tensors.ffn_norm), shape.norm_epsilon);
    std::vector<double> gate = product(*tensors.ffn_gate, h, tokens);
    const std::vector<double> up = product(*tensors.ffn_up, h, tokens);
    for (std::size_t i = 0; i < gate.size(); i++)
        gate[i] = (shape.activation == Activation::geglu ? gelu_tanh(gate[i]) : silu(gate[i])) * up[i];
    std::vector<double> y = product(*tensors.ffn_down, gate, tokens);
    if (shape.post_norms) rms_norm(y, values_of(*tensors.post_ffw_norm), shape.norm_epsilon);
    add(x, y);
}

std::vector<double> ReferenceForward::evaluate(std::span<const std::int32_t> ids, Logits which) {
    const ModelShape& shape = model_.shape;
    std::vector<double> x(ids.size() * shape.hidden);
    const std::size_t stride = row_bytes(shape.token_embd_type, shape.hidden);
    for (std::size_t t = 0; t < ids.size(); t++)
        quant::dequantize(shape.token_embd_type, model_.token_embd->data + static_cast<std::size_t>(ids[t]) * stride,
                          shape.hidden, &x[t * shape.hidden]);
    for (double& value : x) value *= shape.embedding_scale;
    for (std::uint32_t layer = 0; layer < shape.layers; layer++) {
        attention_block(layer, ids.size(), x);
        ffn_block(layer, ids.size(), x);
    }
    positions_ += ids.size();
    if (which == Logits::last) x.erase(x.begin(), x.end() - shape.hidden);
    rms_norm(x, values_of(*model_.output_norm), shape.norm_epsilon);
    return product(*model_.output, x, x.size() / shape.hidden);
}

Best best_of(std::span<const double> logits) {
    const auto best = std::max_element(logits.begin(), logits.end());
    double second = -std::numeric_limits<double>::infinity();
    for (auto it = logits.begin(); it != logits.end(); ++it)
        if (it != best) second = std::max(second, *it);
    return {static_cast<std::int32_t>(best - logits.begin()), *best - second};
}

} // namespace ptxgen::test
