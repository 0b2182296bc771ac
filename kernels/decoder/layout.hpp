#pragma once

#include "kernels/model_shape.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ptxgen::kernels {

/// The tensors of a layer, in the order in which they lie in device memory. A model may lack some.
enum class LayerTensor : std::uint8_t {
    attn_norm,
    attn_q,
    attn_k,
    attn_v,
    attn_q_bias,
    attn_k_bias,
    attn_v_bias,
    attn_q_norm,
    attn_k_norm,
    attn_output,
    post_attention_norm,
    ffn_norm,
    ffn_gate,
    ffn_up,
    ffn_down,
    post_ffw_norm,
};
inline constexpr std::size_t layer_tensor_count = 16;
/// GGUF's name within a block: "attn_norm.weight".
std::string_view name(LayerTensor tensor);
/// Whether the model has it.
bool has(const ModelShape& shape, LayerTensor tensor);
/// Rows and columns; a vector has one row.
struct TensorSize {
    TensorType type = TensorType::f32;
    std::uint32_t rows = 1, cols = 0;
};
TensorSize size_of(const ModelShape& shape, std::uint32_t layer, LayerTensor tensor);

/// Tensors start at multiples of it.
inline constexpr std::uint32_t tensor_alignment = 256;

/// Where a model's tensors lie: bytes from the start of one buffer.
struct WeightLayout {
    std::uint64_t token_embd = 0, output_norm = 0, output = 0;
    bool token_embd_packed = false; ///< in the ring format
    bool matrices_packed = false;   ///< all other matrices of types that have a ring format
    std::vector<std::array<std::uint64_t, layer_tensor_count>> layers; ///< 0 for what the model lacks
    std::uint64_t bytes = 0;                                           ///< of the buffer

    std::uint64_t at(std::uint32_t layer, LayerTensor tensor) const {
        return layers[layer][static_cast<std::size_t>(tensor)];
    }
    bool operator==(const WeightLayout&) const = default;
};
/// token_embd, output_norm, output (unless tied), then the layers' tensors. With `packed`, matrices of types that have
/// a ring format are in it; token_embd only where it is the output too.
WeightLayout weight_layout(const ModelShape& shape, bool packed);
/// Whether this matrix is in the ring format.
bool is_packed(const WeightLayout& layout, TensorType type);

} // namespace ptxgen::kernels
