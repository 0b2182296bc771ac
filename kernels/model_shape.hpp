#pragma once

#include "kernels/tensor_type.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace ptxgen {

enum class Architecture : std::uint8_t { llama, qwen2, qwen3, gemma3 };
/// GGUF's name: "llama", "qwen2", …
std::string_view name(Architecture architecture);

/// Which two elements of a head turn together: (2i, 2i+1) or (i, i + dim/2).
enum class RopeKind : std::uint8_t { interleaved, neox };

/// The gate of the feed-forward block: silu(gate)·up, or gelu(gate)·up with GELU's tanh form.
enum class Activation : std::uint8_t { swiglu, geglu };

/// Element pair i < dim/2 of a head at position p turns by p · scale · base^(-2i/dim) / factor[i]; elements from `dim`
/// on stay.
struct RopeShape {
    RopeKind kind = RopeKind::interleaved;
    std::uint32_t dim = 0;
    double base = 10000;
    double base_swa = 10000; ///< in layers with a sliding window
    double scale = 1;        ///< of positions; 1 in layers with a sliding window
    bool has_factors = false;
};

/// The storage types of one layer's matrices. Norms and biases are always F32.
struct LayerTypes {
    TensorType attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down;
};

/// What a decoder-only transformer computes, apart from its weights; everything that engines and generators need to
/// build kernels for it. For token t at position p, with RMS norms, matrices as rows of outputs and x of `hidden`
/// elements:
///
///     x = token_embd[t] · embedding_scale
///     each layer:
///       h = norm(x, attn_norm);  q, k, v = Wq h (+ bq), Wk h (+ bk), Wv h (+ bv)
///       q, k = per-head norms of q, k                           if qk_norm
///       q, k = rope(q, p), rope(k, p);  append k, v to the cache
///       o = softmax(query_scale · q·K) V over positions j ≤ p   and p − j < sliding_window in sliding layers;
///                                                               query head h uses key head h / (heads / kv_heads)
///       y = Wo o;                    y = norm(y, post_attention_norm)   if post_norms;   x = x + y
///       h = norm(x, ffn_norm)
///       y = Wdown (act(Wgate h) · Wup h);  y = norm(y, post_ffw_norm)   if post_norms;   x = x + y
///     logits = Woutput norm(x, output_norm)
struct ModelShape {
    Architecture architecture = Architecture::llama;
    std::uint32_t hidden = 0;   ///< embedding_length
    std::uint32_t layers = 0;   ///< block_count
    std::uint32_t heads = 0;    ///< query heads
    std::uint32_t kv_heads = 0; ///< divides heads
    std::uint32_t head_dim = 0; ///< elements of a query, key and value head; need not be hidden / heads
    std::uint32_t ffn = 0;      ///< feed_forward_length
    std::uint32_t vocab = 0;
    std::uint32_t context = 0; ///< positions the model was trained for
    double norm_epsilon = 1e-5;
    RopeShape rope;
    std::uint32_t sliding_window = 0; ///< positions that a sliding layer sees, its own included; 0: no layer slides
    std::uint32_t sliding_period = 0; ///< the last layer of each `sliding_period` sees everything
    double embedding_scale = 1;
    double query_scale = 1; ///< of q·k before softmax
    Activation activation = Activation::swiglu;
    bool qk_norm = false;
    bool qkv_bias = false;
    bool post_norms = false;
    bool tied_output = false; ///< the output matrix is token_embd
    TensorType token_embd_type = TensorType::f32;
    TensorType output_type = TensorType::f32;
    std::vector<LayerTypes> layer_types; ///< one for each layer

    /// Elements of all query heads, and of all key (or value) heads.
    std::uint32_t q_dim() const { return heads * head_dim; }
    std::uint32_t kv_dim() const { return kv_heads * head_dim; }
    bool is_sliding(std::uint32_t layer) const {
        return sliding_window > 0 && layer % sliding_period + 1 < sliding_period;
    }
    double rope_base(std::uint32_t layer) const { return is_sliding(layer) ? rope.base_swa : rope.base; }
    double rope_scale(std::uint32_t layer) const { return is_sliding(layer) ? 1.0 : rope.scale; }
};

} // namespace ptxgen
