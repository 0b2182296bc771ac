#pragma once

#include "kernels/model_shape.hpp"
#include "ptxgen/base/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ptxgen::tools {

/// Dimensions of a published model.
struct SynthShape {
    std::string_view name;
    Architecture architecture; ///< llama or qwen3
    std::uint32_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab;
    bool tied_output; ///< token_embd is the output matrix too
};

std::span<const SynthShape> synth_shapes();

struct SynthSummary {
    std::uint64_t file_bytes = 0;
    std::uint64_t bytes_per_token = 0; ///< weights that decoding a token reads: all but a separate token_embd
};

/// Writes a GGUF file with random weights in this shape and llama.cpp's mix of types for Q4_K_M: Q6_K for the output
/// matrix and, in the first and last eighth of the layers and every third one between, for attn_v and ffn_down; Q4_K
/// for the rest; norms of ones in F32. Scales keep activations around 1. The file has no vocabulary
/// (tokenizer.ggml.model = no_vocab). llama.cpp loads it. The same bytes every time.
Result<SynthSummary> write_synthetic_model(const SynthShape& shape, const std::string& path);

} // namespace ptxgen::tools
