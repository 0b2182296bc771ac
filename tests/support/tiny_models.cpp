#include "tests/support/tiny_models.hpp"

#include "tests/support/gguf_writer.hpp"
#include "tests/support/quant_blocks.hpp"
#include "tests/support/random.hpp"

#include <cassert>
#include <cmath>
#include <fmt/format.h>

namespace ptxgen::test {
namespace {

using enum TensorType;

std::vector<TinyModel> make_models() {
    std::vector<TinyModel> models;
    // types: q, k, v, attention output, gate, up, down
    models.push_back({.name = "qwen2",
                      .architecture = Architecture::qwen2,
                      .hidden = 96,
                      .layers = 3,
                      .heads = 6,
                      .kv_heads = 2,
                      .head_dim = 16,
                      .rope_dim = 12,
                      .ffn = 160,
                      .types = {q4_0, q5_0, q8_0, q5_1, q4_1, f16, q4_0},
                      .embedding_type = q8_0,
                      .output_type = q5_1,
                      .tied_output = false});
    models.push_back({.name = "qwen2-k",
                      .architecture = Architecture::qwen2,
                      .hidden = 256,
                      .heads = 4,
                      .kv_heads = 2,
                      .head_dim = 64,
                      .rope_dim = 64,
                      .ffn = 512,
                      .types = {q4_k, q4_k, q6_k, q5_k, q3_k, q2_k, q6_k},
                      .embedding_type = q6_k});
    models.push_back({.name = "qwen3",
                      .architecture = Architecture::qwen3,
                      .hidden = 96,
                      .heads = 4,
                      .kv_heads = 2,
                      .head_dim = 40,
                      .rope_dim = 40,
                      .ffn = 224,
                      .types = {iq4_nl, mxfp4, bf16, iq4_nl, q5_0, mxfp4, q8_0},
                      .embedding_type = bf16});
    models.push_back({.name = "qwen3-k",
                      .architecture = Architecture::qwen3,
                      .hidden = 512,
                      .heads = 4,
                      .kv_heads = 4,
                      .head_dim = 192,
                      .rope_dim = 192,
                      .ffn = 768,
                      .types = {iq4_xs, q5_k, q4_k, q2_k, iq4_xs, q3_k, q5_k},
                      .embedding_type = q4_k,
                      .output_type = q6_k,
                      .tied_output = false});
    models.push_back({.name = "llama-rope",
                      .architecture = Architecture::llama,
                      .hidden = 96,
                      .layers = 3,
                      .types = {q4_1, q8_0, q4_1, f32, q4_1, q5_1, q8_0},
                      .embedding_type = f16,
                      .output_type = f32,
                      .tied_output = false,
                      .rope_factors = true});
    models.push_back({.name = "llama-spm",
                      .architecture = Architecture::llama,
                      .hidden = 160,
                      .heads = 5,
                      .kv_heads = 5,
                      .head_dim = 32,
                      .ffn = 96,
                      .types = {q4_0, q4_0, q4_0, q4_0, q8_0, q5_1, q4_1},
                      .embedding_type = q4_0,
                      .sentencepiece = true});
    models.push_back({.name = "gemma3",
                      .architecture = Architecture::gemma3,
                      .hidden = 96,
                      .layers = 7,
                      .heads = 4,
                      .kv_heads = 1,
                      .head_dim = 24,
                      .rope_dim = 24,
                      .ffn = 160,
                      .types = {q5_0, q5_0, q8_0, q4_1, q5_0, iq4_nl, q8_0},
                      .embedding_type = q8_0,
                      .sentencepiece = true,
                      .sliding_window = 7});
    models.push_back({.name = "gemma3-k",
                      .architecture = Architecture::gemma3,
                      .hidden = 256,
                      .layers = 6,
                      .heads = 4,
                      .kv_heads = 2,
                      .head_dim = 128,
                      .rope_dim = 128,
                      .ffn = 512,
                      .types = {q4_k, q4_k, q8_0, q4_k, q5_0, q4_k, q6_k},
                      .embedding_type = q8_0,
                      .sentencepiece = true,
                      .sliding_window = 5});
    return models;
}

/// GPT-2's printable stand-in for a byte, as UTF-8.
std::string byte_token(unsigned byte) {
    unsigned code = byte;
    const auto printable = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    if (!printable(byte)) {
        code = 256;
        for (unsigned b = 0; b < byte; b++) code += printable(b) ? 0 : 1;
    }
    if (code < 128) return std::string(1, static_cast<char>(code));
    return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

enum TokenType : std::int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };

void add_bpe_vocabulary(GgufWriter& file) {
    std::vector<std::string> tokens;
    for (unsigned b = 0; b < 256; b++) tokens.push_back(byte_token(b));
    tokens.insert(tokens.end(), {"th", "the", "<|endoftext|>", "<|im_start|>", "<|im_end|>"});
    std::vector<std::int32_t> types(tokens.size(), normal);
    for (std::size_t i = 258; i < types.size(); i++) types[i] = control;
    file.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "qwen2");
    file.strings("tokenizer.ggml.tokens", tokens).numbers("tokenizer.ggml.token_type", types);
    file.strings("tokenizer.ggml.merges", {"t h", "th e"});
    file.number<std::uint32_t>("tokenizer.ggml.bos_token_id", 258)
        .number<std::uint32_t>("tokenizer.ggml.eos_token_id", 260);
    file.boolean("tokenizer.ggml.add_bos_token", false);
    file.string(
        "tokenizer.chat_template",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
        "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

void add_sentencepiece_vocabulary(GgufWriter& file) {
    std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
    std::vector<std::int32_t> types{unknown, control, control};
    for (unsigned b = 0; b < 256; b++) {
        tokens.push_back(fmt::format("<0x{:02X}>", b));
        types.push_back(byte);
    }
    for (const char* piece : {"▁", "▁t", "he", "▁the", "in", "er", "a", "e", "h", "i", "n", "r", "t"}) {
        tokens.emplace_back(piece);
        types.push_back(normal);
    }
    std::vector<float> scores(tokens.size(), 0.0F);
    for (std::size_t i = 259; i < scores.size(); i++) scores[i] = -static_cast<float>(i - 258);
    file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
    file.numbers("tokenizer.ggml.scores", scores).numbers("tokenizer.ggml.token_type", types);
    file.number<std::uint32_t>("tokenizer.ggml.bos_token_id", 1)
        .number<std::uint32_t>("tokenizer.ggml.eos_token_id", 2);
    file.boolean("tokenizer.ggml.add_bos_token", true);
}

std::uint64_t add_vocabulary(GgufWriter& file, const TinyModel& model, const gguf::File* vocabulary) {
    if (!vocabulary) {
        model.sentencepiece ? add_sentencepiece_vocabulary(file) : add_bpe_vocabulary(file);
        return model.sentencepiece ? 272 : 261;
    }
    for (const std::string_view key : vocabulary->keys())
        if (key.starts_with("tokenizer.")) file.copy(key, *vocabulary->find(key));
    return vocabulary->find("tokenizer.ggml.tokens")->count;
}

/// Adds tensors whose scales keep activations around 1.
class Weights {
public:
    Weights(GgufWriter& file, const TinyModel& model) : file_(file), random_(model.hidden * 1000 + model.ffn) {}

    void matrix(const std::string& name, TensorType type, std::uint64_t inputs, std::uint64_t outputs,
                double gain = 1) {
        const double scale = gain / std::sqrt(static_cast<double>(inputs));
        file_.tensor(name, type, {inputs, outputs}, random_blocks(type, inputs * outputs, random_, scale));
    }
    void vector(const std::string& name, std::uint64_t elements, double mean, double spread) {
        std::vector<float> values(elements);
        for (float& value : values) value = static_cast<float>(mean + spread * random_.uniform(-1, 1));
        file_.tensor(name, f32, {elements}, encode_plain(f32, values));
    }

private:
    GgufWriter& file_;
    Random random_;
};

void add_keys(GgufWriter& file, const TinyModel& model) {
    const auto key = [&](std::string_view name) {
        return fmt::format("{}.{}", ptxgen::name(model.architecture), name);
    };
    file.string("general.architecture", name(model.architecture)).string("general.name", "tiny " + model.name);
    file.number(key("block_count"), model.layers).number(key("context_length"), std::uint32_t{512});
    file.number(key("embedding_length"), model.hidden).number(key("feed_forward_length"), model.ffn);
    file.number(key("attention.head_count"), model.heads).number(key("attention.head_count_kv"), model.kv_heads);
    if (model.head_dim * model.heads != model.hidden)
        file.number(key("attention.key_length"), model.head_dim).number(key("attention.value_length"), model.head_dim);
    file.number(key("attention.layer_norm_rms_epsilon"), 1e-6F).number(key("rope.freq_base"), 50000.0F);
    file.number(key("rope.dimension_count"), model.rope_dim);
    if (model.sliding_window)
        file.number(key("attention.sliding_window"), model.sliding_window).number(key("rope.freq_base_swa"), 8000.0F);
    if (model.rope_scaling != 1)
        file.string(key("rope.scaling.type"), "linear")
            .number(key("rope.scaling.factor"), static_cast<float>(model.rope_scaling));
}

void add_layer(Weights& weights, const TinyModel& model, std::uint32_t layer) {
    const auto name = [&](std::string_view role) { return fmt::format("blk.{}.{}", layer, role); };
    const bool gemma = model.architecture == Architecture::gemma3;
    const std::uint64_t q_dim = std::uint64_t{model.heads} * model.head_dim;
    const std::uint64_t kv_dim = std::uint64_t{model.kv_heads} * model.head_dim;
    weights.vector(name("attn_norm.weight"), model.hidden, 1, 0.3);
    weights.matrix(name("attn_q.weight"), model.types.attn_q, model.hidden, q_dim, 1.5);
    weights.matrix(name("attn_k.weight"), model.types.attn_k, model.hidden, kv_dim, 1.5);
    weights.matrix(name("attn_v.weight"), model.types.attn_v, model.hidden, kv_dim);
    if (model.architecture == Architecture::qwen2) {
        weights.vector(name("attn_q.bias"), q_dim, 0, 0.5);
        weights.vector(name("attn_k.bias"), kv_dim, 0, 0.5);
        weights.vector(name("attn_v.bias"), kv_dim, 0, 0.5);
    }
    if (gemma || model.architecture == Architecture::qwen3) {
        weights.vector(name("attn_q_norm.weight"), model.head_dim, 1.2, 0.3);
        weights.vector(name("attn_k_norm.weight"), model.head_dim, 1.2, 0.3);
    }
    weights.matrix(name("attn_output.weight"), model.types.attn_output, q_dim, model.hidden);
    // Larger than the embeddings, which would otherwise drown the layers: they are multiplied by √hidden.
    if (gemma) weights.vector(name("post_attention_norm.weight"), model.hidden, 4, 1);
    weights.vector(name("ffn_norm.weight"), model.hidden, 1, 0.3);
    weights.matrix(name("ffn_gate.weight"), model.types.ffn_gate, model.hidden, model.ffn);
    weights.matrix(name("ffn_up.weight"), model.types.ffn_up, model.hidden, model.ffn);
    weights.matrix(name("ffn_down.weight"), model.types.ffn_down, model.ffn, model.hidden, 2);
    if (gemma) weights.vector(name("post_ffw_norm.weight"), model.hidden, 4, 1);
}

} // namespace

const std::vector<TinyModel>& tiny_models() {
    static const std::vector<TinyModel> models = make_models();
    return models;
}

const TinyModel& tiny_model(std::string_view name) {
    for (const TinyModel& model : tiny_models())
        if (model.name == name) return model;
    assert(!"no tiny model of this name");
    return tiny_models().front();
}

std::vector<std::byte> tiny_model_file(const TinyModel& model, const gguf::File* vocabulary) {
    GgufWriter file;
    add_keys(file, model);
    const std::uint64_t vocab = add_vocabulary(file, model, vocabulary);
    Weights weights(file, model);
    // A tied matrix serves as the output too, for which the scale of an output matrix is the sensible one.
    weights.matrix("token_embd.weight", model.embedding_type, model.hidden, vocab, 3);
    if (!model.tied_output) weights.matrix("output.weight", model.output_type, model.hidden, vocab, 3);
    weights.vector("output_norm.weight", model.hidden, 1, 0.3);
    if (model.rope_factors) weights.vector("rope_freqs.weight", model.rope_dim / 2, 4, 3);
    for (std::uint32_t layer = 0; layer < model.layers; layer++) add_layer(weights, model, layer);
    return file.bytes();
}

std::vector<std::int32_t> tiny_prompt(std::uint32_t vocab, std::size_t tokens, std::uint64_t seed) {
    Random random(seed);
    std::vector<std::int32_t> ids(tokens);
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(vocab));
    return ids;
}

} // namespace ptxgen::test
