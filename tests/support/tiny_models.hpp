#pragma once

#include "kernels/model_shape.hpp"
#include "runtime/inference/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ptxgen::test {

/// A small model with random weights: every architecture and storage type, sizes that are no multiple of anything but
/// the block size, in a file of a few hundred kilobytes. The same specification always gives the same bytes.
struct TinyModel {
    std::string name;
    Architecture architecture = Architecture::llama;
    std::uint32_t hidden = 96;
    std::uint32_t layers = 2;
    std::uint32_t heads = 3;
    std::uint32_t kv_heads = 1;
    std::uint32_t head_dim = 32;
    std::uint32_t rope_dim = 32;
    std::uint32_t ffn = 160;
    LayerTypes types{}; ///< of all layers
    TensorType embedding_type = TensorType::q8_0;
    TensorType output_type = TensorType::q8_0;
    bool tied_output = true;
    bool rope_factors = false;
    bool sentencepiece = false;       ///< the vocabulary is SPM and not byte-level BPE
    std::uint32_t sliding_window = 0; ///< gemma3
    double rope_scaling = 1;          ///< linear factor, written if it is not 1
};

/// The models that tests iterate. Each storage type of weights occurs in at least one.
const std::vector<TinyModel>& tiny_models();
/// The one of this name, which must exist.
const TinyModel& tiny_model(std::string_view name);

/// The GGUF file. Its vocabulary is all bytes and a few pieces and special tokens, or, with `vocabulary`, the
/// tokenizer.* keys of that file.
std::vector<std::byte> tiny_model_file(const TinyModel& model, const gguf::File* vocabulary = nullptr);

/// Token ids of a prompt for a model with `vocab` tokens.
std::vector<std::int32_t> tiny_prompt(std::uint32_t vocab, std::size_t tokens, std::uint64_t seed = 1);

} // namespace ptxgen::test
