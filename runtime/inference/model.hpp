#pragma once

#include "kernels/model_shape.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/inference/gguf.hpp"

#include <string>
#include <vector>

namespace ptxgen {

/// One layer's tensors; matrices are [inputs, outputs] in GGUF's order. Those that the model does not have are nullptr.
struct LayerTensors {
    const gguf::Tensor* attn_norm = nullptr;           ///< [hidden] F32
    const gguf::Tensor* attn_q = nullptr;              ///< [hidden, q_dim]
    const gguf::Tensor* attn_k = nullptr;              ///< [hidden, kv_dim]
    const gguf::Tensor* attn_v = nullptr;              ///< [hidden, kv_dim]
    const gguf::Tensor* attn_q_bias = nullptr;         ///< [q_dim] F32, if qkv_bias
    const gguf::Tensor* attn_k_bias = nullptr;         ///< [kv_dim] F32, if qkv_bias
    const gguf::Tensor* attn_v_bias = nullptr;         ///< [kv_dim] F32, if qkv_bias
    const gguf::Tensor* attn_q_norm = nullptr;         ///< [head_dim] F32, if qk_norm
    const gguf::Tensor* attn_k_norm = nullptr;         ///< [head_dim] F32, if qk_norm
    const gguf::Tensor* attn_output = nullptr;         ///< [q_dim, hidden]
    const gguf::Tensor* post_attention_norm = nullptr; ///< [hidden] F32, if post_norms
    const gguf::Tensor* ffn_norm = nullptr;            ///< [hidden] F32
    const gguf::Tensor* ffn_gate = nullptr;            ///< [hidden, ffn]
    const gguf::Tensor* ffn_up = nullptr;              ///< [hidden, ffn]
    const gguf::Tensor* ffn_down = nullptr;            ///< [ffn, hidden]
    const gguf::Tensor* post_ffw_norm = nullptr;       ///< [hidden] F32, if post_norms
};

/// An opened model whose tensors have been checked against its shape. Tensor pointers stay valid when it is moved.
struct Model {
    gguf::File file;
    ModelShape shape;
    const gguf::Tensor* token_embd = nullptr;  ///< [hidden, vocab]
    const gguf::Tensor* output_norm = nullptr; ///< [hidden] F32
    const gguf::Tensor* output = nullptr;      ///< [hidden, vocab]; token_embd itself if tied_output
    const gguf::Tensor* rope_freqs = nullptr;  ///< [rope.dim / 2] F32, if rope.has_factors
    std::vector<LayerTensors> layers;
};

/// Opens a GGUF model and describes it. Errors name the file and the key or tensor, what was expected and what was
/// found: those of gguf::File::open; an architecture, a rope scaling or a tensor type that is not supported; a key that
/// is missing or out of range; a tensor that is missing, has another shape, or is not part of the architecture.
Result<Model> load_model(const std::string& path);

/// The same for a file that is already open with its tensors.
Result<Model> describe_model(gguf::File file);

} // namespace ptxgen
