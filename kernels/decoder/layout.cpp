#include "kernels/decoder/layout.hpp"

#include "kernels/ring/format.hpp"

namespace ptxgen::kernels {
namespace {

std::uint64_t bytes_of(const TensorSize& size, bool packed) {
    if (packed && ring_format(size.type)) return ring_bytes(size.type, size.rows, size.cols);
    return size.rows * row_bytes(size.type, size.cols);
}

/// Hands out places one after the other.
class Places {
public:
    std::uint64_t take(std::uint64_t bytes) {
        const std::uint64_t place = next_;
        next_ = (next_ + bytes + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
        return place;
    }
    std::uint64_t end() const { return next_; }

private:
    std::uint64_t next_ = 0;
};

} // namespace

std::string_view name(LayerTensor tensor) {
    static constexpr std::string_view names[layer_tensor_count] = {
        "attn_norm.weight",
        "attn_q.weight",
        "attn_k.weight",
        "attn_v.weight",
        "attn_q.bias",
        "attn_k.bias",
        "attn_v.bias",
        "attn_q_norm.weight",
        "attn_k_norm.weight",
        "attn_output.weight",
        "post_attention_norm.weight",
        "ffn_norm.weight",
        "ffn_gate.weight",
        "ffn_up.weight",
        "ffn_down.weight",
        "post_ffw_norm.weight",
    };
    return names[static_cast<std::size_t>(tensor)];
}

bool has(const ModelShape& shape, LayerTensor tensor) {
    switch (tensor) {
    case LayerTensor::attn_q_bias:
    case LayerTensor::attn_k_bias:
    case LayerTensor::attn_v_bias: return shape.qkv_bias;
    case LayerTensor::attn_q_norm:
    case LayerTensor::attn_k_norm: return shape.qk_norm;
    case LayerTensor::post_attention_norm:
    case LayerTensor::post_ffw_norm: return shape.post_norms;
    default: return true;
    }
}

TensorSize size_of(const ModelShape& shape, std::uint32_t layer, LayerTensor tensor) {
    const LayerTypes& types = shape.layer_types[layer];
    switch (tensor) {
    case LayerTensor::attn_q: return {types.attn_q, shape.q_dim(), shape.hidden};
    case LayerTensor::attn_k: return {types.attn_k, shape.kv_dim(), shape.hidden};
    case LayerTensor::attn_v: return {types.attn_v, shape.kv_dim(), shape.hidden};
    case LayerTensor::attn_output: return {types.attn_output, shape.hidden, shape.q_dim()};
    case LayerTensor::ffn_gate: return {types.ffn_gate, shape.ffn, shape.hidden};
    case LayerTensor::ffn_up: return {types.ffn_up, shape.ffn, shape.hidden};
    case LayerTensor::ffn_down: return {types.ffn_down, shape.hidden, shape.ffn};
    case LayerTensor::attn_q_bias: return {TensorType::f32, 1, shape.q_dim()};
    case LayerTensor::attn_k_bias:
    case LayerTensor::attn_v_bias: return {TensorType::f32, 1, shape.kv_dim()};
    case LayerTensor::attn_q_norm:
    case LayerTensor::attn_k_norm: return {TensorType::f32, 1, shape.head_dim};
    default: return {TensorType::f32, 1, shape.hidden};
    }
}

WeightLayout weight_layout(const ModelShape& shape, bool packed) {
    WeightLayout layout;
    layout.matrices_packed = packed;
    layout.token_embd_packed = packed && shape.tied_output && ring_format(shape.token_embd_type);
    Places places;
    layout.token_embd =
        places.take(bytes_of({shape.token_embd_type, shape.vocab, shape.hidden}, layout.token_embd_packed));
    layout.output_norm = places.take(4ull * shape.hidden);
    layout.output = shape.tied_output ? layout.token_embd
                                      : places.take(bytes_of({shape.output_type, shape.vocab, shape.hidden}, packed));
    for (std::uint32_t l = 0; l < shape.layers; l++) {
        auto& layer = layout.layers.emplace_back();
        layer.fill(0);
        for (std::size_t t = 0; t < layer_tensor_count; t++) {
            const auto tensor = static_cast<LayerTensor>(t);
            if (has(shape, tensor)) layer[t] = places.take(bytes_of(size_of(shape, l, tensor), packed));
        }
    }
    layout.bytes = places.end();
    return layout;
}

bool is_packed(const WeightLayout& layout, TensorType type) { return layout.matrices_packed && ring_format(type); }

} // namespace ptxgen::kernels
