#include "runtime/inference/model.hpp"

#include <cmath>
#include <fmt/format.h>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <unordered_set>

namespace ptxgen {
namespace {

// The attention kernels hold a head in registers, up to this size.
constexpr std::uint32_t max_head_dim = 256;
constexpr std::uint32_t max_extent = 1U << 30;

constexpr Architecture architectures[] = {Architecture::llama, Architecture::qwen2, Architecture::qwen3,
                                          Architecture::gemma3};

bool is_matrix_type(TensorType type) { return type != TensorType::q8_1 && type != TensorType::q8_k; }

/// Fills the shape from the keys. The first failed check is kept and ends it, so that each line can state one key.
class KeyReader {
public:
    KeyReader(const gguf::File& file, std::string_view architecture) : file_(file), prefix_(architecture) {}

    bool has(std::string_view key) const { return file_.contains(full(key)); }

    std::uint32_t extent(std::string_view key, std::optional<std::uint32_t> fallback = {},
                         std::uint32_t highest = max_extent) {
        if (fallback && !has(key)) return *fallback;
        const std::uint64_t found = take<std::uint64_t>(key, 1);
        if (found < 1 || found > highest) fail(key, fmt::format("expected from 1 to {}, found {}", highest, found));
        return failure_ ? 1 : static_cast<std::uint32_t>(found);
    }
    double positive(std::string_view key, std::optional<double> fallback = {}) {
        if (fallback && !has(key)) return *fallback;
        const double found = take<double>(key, 1);
        if (!(found > 0) || !std::isfinite(found))
            fail(key, fmt::format("expected a positive number, found {}", found));
        return failure_ ? 1 : found;
    }
    /// Rejects a key that changes the computation in a way that is not implemented, unless it has its neutral value.
    void neutral(std::string_view key, double value) {
        if (!has(key)) return;
        const gguf::Value* stated = file_.find(full(key));
        const bool real = stated->type == gguf::ValueType::f32 || stated->type == gguf::ValueType::f64;
        const double found = real ? take<double>(key, value) : static_cast<double>(take<std::int64_t>(key, 0));
        if (found != value) fail(key, fmt::format("{} is not supported, only {}", found, value));
    }
    std::string_view text(std::string_view key, std::string_view fallback) {
        return has(key) ? take<std::string_view>(key, fallback) : fallback;
    }
    void fail(std::string_view key, std::string_view message) {
        if (!failure_) failure_ = file_.key_error(full(key), message);
    }
    const std::optional<Error>& failure() const { return failure_; }

private:
    std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
    template <class T>
    T take(std::string_view key, T otherwise) {
        const Result<T> found = file_.get<T>(full(key));
        if (found) return *found;
        if (!failure_) failure_ = found.error();
        return otherwise;
    }

    const gguf::File& file_;
    std::string prefix_;
    std::optional<Error> failure_;
};

void read_rope(KeyReader& keys, ModelShape& shape) {
    RopeShape& rope = shape.rope;
    rope.kind = shape.architecture == Architecture::llama ? RopeKind::interleaved : RopeKind::neox;
    rope.dim = keys.extent("rope.dimension_count", shape.head_dim);
    if (rope.dim > shape.head_dim || rope.dim % 2 != 0)
        keys.fail("rope.dimension_count",
                  fmt::format("expected an even number up to the head size {}, found {}", shape.head_dim, rope.dim));
    rope.base = keys.positive("rope.freq_base", 10000.0);
    rope.base_swa = keys.positive("rope.freq_base_swa", 10000.0);
    const std::string_view scaling = keys.text("rope.scaling.type", "linear");
    if (scaling != "linear" && scaling != "none")
        keys.fail("rope.scaling.type",
                  fmt::format("\"{}\" is not supported; supported: none, linear, and a rope_freqs tensor",
                              gguf::printable(scaling)));
    const double factor = keys.positive("rope.scaling.factor", keys.positive("rope.scale_linear", 1.0));
    rope.scale = scaling == "none" ? 1.0 : 1.0 / factor;
    keys.neutral("rope.scaling.attn_factor", 1);
}

void read_attention(KeyReader& keys, ModelShape& shape) {
    shape.heads = keys.extent("attention.head_count");
    shape.kv_heads = keys.extent("attention.head_count_kv", shape.heads);
    if (shape.heads % shape.kv_heads != 0)
        keys.fail("attention.head_count_kv",
                  fmt::format("{} key heads do not divide {} query heads", shape.kv_heads, shape.heads));
    if (!keys.has("attention.key_length") && shape.hidden % shape.heads != 0)
        keys.fail("attention.head_count", fmt::format("{} heads do not divide embedding_length {}, and there is no "
                                                      "attention.key_length",
                                                      shape.heads, shape.hidden));
    shape.head_dim = keys.extent("attention.key_length", shape.hidden / shape.heads);
    if (shape.head_dim > max_head_dim)
        keys.fail("attention.key_length",
                  fmt::format("expected a head size up to {}, found {}", max_head_dim, shape.head_dim));
    if (const auto value_length = keys.extent("attention.value_length", shape.head_dim); value_length != shape.head_dim)
        keys.fail("attention.value_length",
                  fmt::format("expected {} as attention.key_length, found {}", shape.head_dim, value_length));
    if (std::uint64_t{shape.heads} * shape.head_dim > max_extent)
        keys.fail("attention.head_count", fmt::format("{} heads of {} elements are more than {} elements", shape.heads,
                                                      shape.head_dim, max_extent));
    shape.query_scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
}

void read_gemma3(KeyReader& keys, ModelShape& shape) {
    shape.activation = Activation::geglu;
    shape.qk_norm = true;
    shape.post_norms = true;
    shape.embedding_scale = std::sqrt(static_cast<double>(shape.hidden));
    if (keys.has("attention.sliding_window")) {
        shape.sliding_window = keys.extent("attention.sliding_window");
        shape.sliding_period = keys.extent("attention.sliding_window_pattern", 6);
    }
    // The file does not say that the 27B model scales queries by the unpadded head size; its depth is what tells it.
    constexpr std::uint32_t layers_27b = 62;
    if (shape.layers == layers_27b)
        shape.query_scale = 1.0 / std::sqrt(static_cast<double>(shape.hidden) / static_cast<double>(shape.heads));
}

Result<ModelShape> read_shape(const gguf::File& file) {
    const auto stated = file.get<std::string_view>("general.architecture");
    if (!stated) return stated.error();
    ModelShape shape;
    bool known = false;
    std::string supported;
    for (const Architecture architecture : architectures) {
        supported += fmt::format("{}{}", supported.empty() ? "" : ", ", name(architecture));
        if (*stated != name(architecture)) continue;
        shape.architecture = architecture;
        known = true;
    }
    if (!known)
        return file.key_error("general.architecture", fmt::format("\"{}\" is not supported; supported: {}",
                                                                  gguf::printable(*stated), supported));

    KeyReader keys(file, *stated);
    shape.hidden = keys.extent("embedding_length");
    shape.layers = keys.extent("block_count");
    shape.ffn = keys.extent("feed_forward_length");
    shape.context = keys.extent("context_length", {}, std::numeric_limits<std::int32_t>::max());
    shape.norm_epsilon = keys.positive("attention.layer_norm_rms_epsilon");
    read_attention(keys, shape);
    read_rope(keys, shape);
    keys.neutral("expert_count", 0);
    keys.neutral("attn_logit_softcapping", 0);
    keys.neutral("final_logit_softcapping", 0);
    if (shape.architecture == Architecture::gemma3) read_gemma3(keys, shape);
    shape.qk_norm |= shape.architecture == Architecture::qwen3;
    shape.qkv_bias = shape.architecture == Architecture::qwen2;
    if (keys.failure()) return *keys.failure();
    return shape;
}

/// Looks up tensors and checks them; like KeyReader it keeps the first failure.
class TensorReader {
public:
    explicit TensorReader(const gguf::File& file) : file_(file) {}

    const gguf::Tensor* matrix(const std::string& name, std::uint64_t inputs, std::uint64_t outputs) {
        const gguf::Tensor* tensor = find(name, {inputs, outputs});
        if (tensor && !is_matrix_type(tensor->type))
            fail(name,
                 fmt::format("type {} holds activations and is not supported for weights", ptxgen::name(tensor->type)));
        return tensor;
    }
    const gguf::Tensor* vector(const std::string& name, std::uint64_t elements) {
        const gguf::Tensor* tensor = find(name, {elements});
        if (tensor && tensor->type != TensorType::f32)
            fail(name, fmt::format("expected type F32, found {}", ptxgen::name(tensor->type)));
        return tensor;
    }
    /// A tensor that no lookup asked for would be left out of the computation without a word.
    void check_all_used() {
        for (const gguf::Tensor& tensor : file_.tensors())
            if (!used_.contains(&tensor)) fail(tensor.name, "is not part of this architecture as it is supported here");
    }
    void fail(std::string_view name, std::string_view message) {
        if (!failure_)
            failure_ = Error{fmt::format("{}: tensor '{}': {}", file_.path(), gguf::printable(name), message)};
    }
    const std::optional<Error>& failure() const { return failure_; }

private:
    const gguf::Tensor* find(const std::string& name, std::initializer_list<std::uint64_t> shape) {
        const gguf::Tensor* tensor = file_.tensor(name);
        const auto expected = gguf::shape_text(std::span(shape.begin(), shape.size()));
        if (!tensor) {
            fail(name, fmt::format("is missing; expected shape {}", expected));
            return nullptr;
        }
        used_.insert(tensor);
        std::array<std::uint64_t, 4> ne{1, 1, 1, 1};
        std::copy(shape.begin(), shape.end(), ne.begin());
        if (tensor->ne != ne) fail(name, fmt::format("expected shape {}, found {}", expected, shape_text(*tensor)));
        return tensor;
    }

    const gguf::File& file_;
    std::unordered_set<const gguf::Tensor*> used_;
    std::optional<Error> failure_;
};

LayerTensors read_layer(TensorReader& tensors, const ModelShape& shape, std::uint32_t index) {
    const auto weight = [&](std::string_view role) { return fmt::format("blk.{}.{}.weight", index, role); };
    const auto bias = [&](std::string_view role) { return fmt::format("blk.{}.{}.bias", index, role); };
    LayerTensors layer;
    layer.attn_norm = tensors.vector(weight("attn_norm"), shape.hidden);
    layer.attn_q = tensors.matrix(weight("attn_q"), shape.hidden, shape.q_dim());
    layer.attn_k = tensors.matrix(weight("attn_k"), shape.hidden, shape.kv_dim());
    layer.attn_v = tensors.matrix(weight("attn_v"), shape.hidden, shape.kv_dim());
    if (shape.qkv_bias) {
        layer.attn_q_bias = tensors.vector(bias("attn_q"), shape.q_dim());
        layer.attn_k_bias = tensors.vector(bias("attn_k"), shape.kv_dim());
        layer.attn_v_bias = tensors.vector(bias("attn_v"), shape.kv_dim());
    }
    if (shape.qk_norm) {
        layer.attn_q_norm = tensors.vector(weight("attn_q_norm"), shape.head_dim);
        layer.attn_k_norm = tensors.vector(weight("attn_k_norm"), shape.head_dim);
    }
    layer.attn_output = tensors.matrix(weight("attn_output"), shape.q_dim(), shape.hidden);
    if (shape.post_norms) layer.post_attention_norm = tensors.vector(weight("post_attention_norm"), shape.hidden);
    layer.ffn_norm = tensors.vector(weight("ffn_norm"), shape.hidden);
    layer.ffn_gate = tensors.matrix(weight("ffn_gate"), shape.hidden, shape.ffn);
    layer.ffn_up = tensors.matrix(weight("ffn_up"), shape.hidden, shape.ffn);
    layer.ffn_down = tensors.matrix(weight("ffn_down"), shape.ffn, shape.hidden);
    if (shape.post_norms) layer.post_ffw_norm = tensors.vector(weight("post_ffw_norm"), shape.hidden);
    return layer;
}

LayerTypes types_of(const LayerTensors& layer) {
    return {layer.attn_q->type,   layer.attn_k->type, layer.attn_v->type,  layer.attn_output->type,
            layer.ffn_gate->type, layer.ffn_up->type, layer.ffn_down->type};
}

/// The vocabulary is as large as its token list; files without one state `vocab_size`.
Result<std::uint32_t> vocabulary_size(const gguf::File& file, Architecture architecture) {
    const std::string_view tokens = "tokenizer.ggml.tokens";
    std::uint64_t size = 0;
    if (const gguf::Value* list = file.find(tokens)) {
        size = list->count;
        if (size < 1 || size > max_extent)
            return file.key_error(tokens, fmt::format("expected from 1 to {} tokens, found {}", max_extent, size));
    } else {
        const auto key = fmt::format("{}.vocab_size", name(architecture));
        const auto stated = file.get<std::uint32_t>(key);
        if (!stated) return stated.error();
        size = *stated;
        if (size < 1 || size > max_extent)
            return file.key_error(key, fmt::format("expected from 1 to {}, found {}", max_extent, size));
    }
    return static_cast<std::uint32_t>(size);
}

} // namespace

Result<Model> describe_model(gguf::File file) {
    auto read = read_shape(file);
    if (!read) return read.error();
    ModelShape& shape = *read;
    const auto vocab = vocabulary_size(file, shape.architecture);
    if (!vocab) return vocab.error();
    shape.vocab = *vocab;
    shape.tied_output = file.tensor("output.weight") == nullptr;
    if (shape.architecture == Architecture::llama) {
        shape.rope.has_factors = file.tensor("rope_freqs.weight") != nullptr;
        shape.qkv_bias = file.tensor("blk.0.attn_q.bias") != nullptr;
    }

    TensorReader tensors(file);
    const gguf::Tensor* token_embd = tensors.matrix("token_embd.weight", shape.hidden, shape.vocab);
    const gguf::Tensor* output_norm = tensors.vector("output_norm.weight", shape.hidden);
    const gguf::Tensor* output =
        shape.tied_output ? token_embd : tensors.matrix("output.weight", shape.hidden, shape.vocab);
    const gguf::Tensor* rope_freqs =
        shape.rope.has_factors ? tensors.vector("rope_freqs.weight", shape.rope.dim / 2) : nullptr;
    std::vector<LayerTensors> layers;
    // Ends at the first missing tensor, so a hostile block_count costs nothing.
    for (std::uint32_t i = 0; i < shape.layers && !tensors.failure(); i++) {
        layers.push_back(read_layer(tensors, shape, i));
        if (!tensors.failure()) shape.layer_types.push_back(types_of(layers.back()));
    }
    tensors.check_all_used();
    if (tensors.failure()) return *tensors.failure();

    shape.token_embd_type = token_embd->type;
    shape.output_type = output->type;
    return Model{std::move(file), std::move(shape), token_embd, output_norm, output, rope_freqs, std::move(layers)};
}

Result<Model> load_model(const std::string& path) {
    auto file = gguf::File::open(path);
    if (!file) return file.error();
    return describe_model(std::move(*file));
}

} // namespace ptxgen
