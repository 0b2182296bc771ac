#include "runtime/inference/model.hpp"

#include "tests/support/gguf_writer.hpp"
#include "tests/support/greedy_truth.hpp"
#include "tests/support/quant_blocks.hpp"
#include "tests/support/tiny_models.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <functional>
#include <set>

using namespace ptxgen;

namespace {

/// A tiny model that can be written again with changes.
class Editor {
public:
    explicit Editor(std::string_view name) : file_(open(test::tiny_model_file(test::tiny_model(name)))) {}

    const gguf::File& file() const { return file_; }

    /// Writes the model without `dropped` keys and tensors, and with what `add` adds; returns what load_model says of
    /// it.
    std::string error(
        const std::set<std::string_view>& dropped,
        const std::function<void(test::GgufWriter&)>& add = [](test::GgufWriter&) {}) const {
        test::GgufWriter writer;
        for (const std::string_view key : file_.keys())
            if (!dropped.contains(key)) writer.copy(key, *file_.find(key));
        for (const gguf::Tensor& tensor : file_.tensors())
            if (!dropped.contains(tensor.name))
                writer.tensor(tensor.name, tensor.type, {tensor.ne.begin(), tensor.ne.begin() + tensor.dimensions},
                              {tensor.data, tensor.data + tensor.bytes});
        add(writer);
        const std::string path = folder_.write("edited.gguf", writer.bytes());
        const auto model = load_model(path);
        if (model) return "";
        CHECK(model.error().message.starts_with(path + ": "));
        CHECK(model.error().message.find('\n') == std::string::npos);
        return model.error().message.substr(path.size() + 2);
    }
    /// With one key's value changed.
    template <class T>
    std::string with(std::string_view key, T value) const {
        return error({key}, [&](test::GgufWriter& writer) {
            if constexpr (std::is_arithmetic_v<T>)
                writer.number(key, value);
            else
                writer.string(key, value);
        });
    }
    std::string with_tensor(std::string_view name, TensorType type, const std::vector<std::uint64_t>& ne) const {
        std::uint64_t elements = 1;
        for (const std::uint64_t extent : ne) elements *= extent;
        return error({name}, [&](test::GgufWriter& writer) {
            writer.tensor(name, type, ne, std::vector<std::byte>(row_bytes(type, elements)));
        });
    }

private:
    gguf::File open(const std::vector<std::byte>& bytes) const {
        auto file = gguf::File::open(folder_.write("model.gguf", bytes));
        REQUIRE(file.ok());
        return std::move(*file);
    }
    test::TemporaryFolder folder_;
    gguf::File file_;
};

bool has(const std::string& text, std::string_view part) {
    INFO(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

} // namespace

TEST_CASE("every tiny model is described as it was specified") {
    const test::TemporaryFolder folder;
    std::set<TensorType> types;
    for (const test::TinyModel& tiny : test::tiny_models()) {
        CAPTURE(tiny.name);
        const auto model = load_model(folder.write("tiny.gguf", test::tiny_model_file(tiny)));
        REQUIRE_MESSAGE(model.ok(), model.error().message);
        const ModelShape& shape = model->shape;
        CHECK(shape.architecture == tiny.architecture);
        CHECK(shape.hidden == tiny.hidden);
        CHECK(shape.layers == tiny.layers);
        CHECK(shape.heads == tiny.heads);
        CHECK(shape.kv_heads == tiny.kv_heads);
        CHECK(shape.head_dim == tiny.head_dim);
        CHECK(shape.q_dim() == tiny.heads * tiny.head_dim);
        CHECK(shape.kv_dim() == tiny.kv_heads * tiny.head_dim);
        CHECK(shape.ffn == tiny.ffn);
        CHECK(shape.vocab == (tiny.sentencepiece ? 272 : 261));
        CHECK(shape.context == 512);
        CHECK(shape.norm_epsilon == static_cast<double>(1e-6F));
        CHECK(shape.rope.dim == tiny.rope_dim);
        CHECK(shape.rope.base == 50000);
        CHECK(shape.rope.has_factors == tiny.rope_factors);
        CHECK((model->rope_freqs != nullptr) == tiny.rope_factors);
        CHECK((shape.rope.kind == RopeKind::interleaved) == (tiny.architecture == Architecture::llama));
        CHECK(shape.query_scale == doctest::Approx(1 / std::sqrt(tiny.head_dim)));
        CHECK(shape.tied_output == tiny.tied_output);
        CHECK((model->output == model->token_embd) == tiny.tied_output);
        CHECK(shape.qkv_bias == (tiny.architecture == Architecture::qwen2));
        const bool gemma = tiny.architecture == Architecture::gemma3;
        CHECK(shape.qk_norm == (gemma || tiny.architecture == Architecture::qwen3));
        CHECK(shape.post_norms == gemma);
        CHECK(shape.sliding_window == tiny.sliding_window);
        CHECK(shape.embedding_scale == (gemma ? std::sqrt(tiny.hidden) : 1.0));
        CHECK((shape.activation == Activation::geglu) == gemma);
        REQUIRE(shape.layer_types.size() == tiny.layers);
        REQUIRE(model->layers.size() == tiny.layers);
        CHECK(shape.layer_types.back().ffn_down == tiny.types.ffn_down);
        CHECK(model->layers.back().attn_v->name == fmt::format("blk.{}.attn_v.weight", tiny.layers - 1));
        for (const gguf::Tensor& tensor : model->file.tensors()) types.insert(tensor.type);
    }
    for (const TensorTypeInfo& info : tensor_types())
        if (info.type != TensorType::q8_1 && info.type != TensorType::q8_k) CHECK(types.contains(info.type));
}

TEST_CASE("gemma3 slides in all but every sixth layer") {
    const Editor gemma("gemma3");
    const test::TemporaryFolder folder;
    const auto model = load_model(gemma.file().path());
    REQUIRE(model.ok());
    for (std::uint32_t layer = 0; layer < 7; layer++) {
        CHECK(model->shape.is_sliding(layer) == (layer != 5));
        CHECK(model->shape.rope_base(layer) == (layer != 5 ? 8000 : 50000));
    }
    const Editor plain("qwen3");
    const auto other = load_model(plain.file().path());
    REQUIRE(other.ok());
    CHECK_FALSE(other->shape.is_sliding(0));
    CHECK(other->shape.rope_base(0) == 50000);
}

TEST_CASE("gemma3 files can state another sliding pattern, and the 27B model scales queries differently") {
    const test::TemporaryFolder folder;
    test::TinyModel tiny = test::tiny_model("gemma3");
    const auto file = gguf::File::open(folder.write("gemma.gguf", test::tiny_model_file(tiny)));
    REQUIRE(file.ok());
    test::GgufWriter writer;
    for (const std::string_view key : file->keys()) writer.copy(key, *file->find(key));
    for (const gguf::Tensor& tensor : file->tensors())
        writer.tensor(tensor.name, tensor.type, {tensor.ne.begin(), tensor.ne.begin() + tensor.dimensions},
                      {tensor.data, tensor.data + tensor.bytes});
    writer.number<std::uint32_t>("gemma3.attention.sliding_window_pattern", 3);
    const auto thirds = load_model(folder.write("thirds.gguf", writer.bytes()));
    REQUIRE(thirds.ok());
    for (std::uint32_t layer = 0; layer < 7; layer++) CHECK(thirds->shape.is_sliding(layer) == (layer % 3 != 2));

    tiny.layers = 62;
    tiny.head_dim = tiny.rope_dim = 40;
    const auto deep = load_model(folder.write("deep.gguf", test::tiny_model_file(tiny)));
    REQUIRE(deep.ok());
    CHECK(deep->shape.query_scale == doctest::Approx(1 / std::sqrt(96.0 / 4)));
}

TEST_CASE("a missing key is named, where no default is known") {
    for (const char* name : {"qwen2", "qwen3", "llama-spm", "gemma3"}) {
        CAPTURE(name);
        const Editor editor(name);
        const std::string prefix = std::string(*editor.file().get<std::string_view>("general.architecture")) + ".";
        CHECK(editor.error({"general.architecture"}) == "key 'general.architecture': is missing");
        for (const char* key : {"embedding_length", "block_count", "feed_forward_length", "context_length",
                                "attention.head_count", "attention.layer_norm_rms_epsilon"})
            CHECK(editor.error({prefix + key}) == fmt::format("key '{}{}': is missing", prefix, key));
        CHECK(editor.error({"tokenizer.ggml.tokens"}) == fmt::format("key '{}vocab_size': is missing", prefix));
        CHECK(editor.error({prefix + "rope.freq_base"}).empty());
        CHECK(editor.error({prefix + "rope.dimension_count"}).empty());
    }
    const Editor spm("llama-spm"); // as many key heads as heads
    CHECK(spm.error({"llama.attention.head_count_kv"}).empty());
    CHECK(spm.error({"tokenizer.ggml.tokens"},
                    [](test::GgufWriter& writer) { writer.number<std::uint32_t>("llama.vocab_size", 272); })
              .empty());
    has(Editor("qwen3").error(
            {"qwen3.attention.key_length", "qwen3.attention.value_length", "qwen3.rope.dimension_count"}),
        "tensor 'blk.0.attn_q.weight': expected shape [96, 96], found [96, 160]");
}

TEST_CASE("keys out of range and unsupported ones are refused") {
    const Editor editor("llama-rope");
    using u32 = std::uint32_t;
    has(editor.with("general.architecture", "mamba"),
        "\"mamba\" is not supported; supported: llama, qwen2, qwen3, gemma3");
    has(editor.with("general.architecture", u32{7}), "expected string, found u32");
    has(editor.with("llama.block_count", u32{0}), "expected from 1 to 1073741824, found 0");
    has(editor.with("llama.block_count", 3.0F), "key 'llama.block_count' (offset ");
    has(editor.with("llama.block_count", u32{4}), "tensor 'blk.3.attn_norm.weight': is missing; expected shape [96]");
    has(editor.with("llama.block_count", ~u32{0} >> 3), "tensor 'blk.3.attn_norm.weight': is missing");
    has(editor.with("llama.block_count", u32{2}), "tensor 'blk.2.attn_norm.weight': is not part of this architecture");
    has(editor.with("llama.embedding_length", ~u32{0}), "expected from 1 to 1073741824, found 4294967295");
    has(editor.with("llama.embedding_length", std::int32_t{-96}), "found -96");
    has(editor.with("llama.attention.head_count", u32{7}), "7 heads do not divide embedding_length 96");
    has(editor.with("llama.attention.head_count_kv", u32{2}), "2 key heads do not divide 3 query heads");
    has(editor.with("llama.attention.key_length", u32{257}), "expected a head size up to 256, found 257");
    has(editor.with("llama.attention.value_length", u32{16}), "expected 32 as attention.key_length, found 16");
    has(editor.with("llama.attention.layer_norm_rms_epsilon", 0.0F), "expected a positive number, found 0");
    has(editor.with("llama.attention.layer_norm_rms_epsilon", std::nanf("")), "expected a positive number, found nan");
    has(editor.with("llama.rope.freq_base", -1.0F), "expected a positive number, found -1");
    has(editor.with("llama.rope.dimension_count", u32{31}), "expected an even number up to the head size 32, found 31");
    has(editor.with("llama.rope.dimension_count", u32{64}), "expected an even number up to the head size 32, found 64");
    has(editor.with("llama.rope.scaling.type", "yarn"), "\"yarn\" is not supported; supported: none, linear");
    has(editor.with("llama.rope.scaling.factor", 0.0F), "expected a positive number, found 0");
    has(editor.with("llama.rope.scaling.attn_factor", 1.2F), "is not supported, only 1");
    has(editor.with("llama.expert_count", u32{8}), "key 'llama.expert_count' (offset ");
    CHECK(editor.with("llama.expert_count", u32{0}).empty());
    has(editor.with("llama.final_logit_softcapping", 30.0F), "30 is not supported, only 0");
    has(editor.with("llama.context_length", u32{0}), "expected from 1 to 2147483647, found 0");
    has(editor.with("llama.attention.head_count", 1U << 30), "heads do not divide embedding_length 96");
    has(Editor("qwen3").with("qwen3.attention.head_count", 1U << 30), "are more than 1073741824 elements");
    has(Editor("gemma3").with("gemma3.attention.sliding_window", u32{0}), "expected from 1 to 1073741824, found 0");
}

TEST_CASE("each missing tensor is named") {
    for (const test::TinyModel& tiny : test::tiny_models()) {
        if (tiny.hidden > 200) continue;
        const Editor editor(tiny.name);
        for (const gguf::Tensor& tensor : editor.file().tensors()) {
            // Without these the model is another valid one: tied, and without factors.
            const bool optional = tensor.name == "output.weight" || tensor.name == "rope_freqs.weight";
            const std::string message = editor.error({tensor.name});
            if (optional)
                CHECK(message.empty());
            else
                CHECK(message ==
                      fmt::format("tensor '{}': is missing; expected shape {}", tensor.name, shape_text(tensor)));
        }
    }
}

TEST_CASE("each tensor of another shape is named, with both shapes") {
    for (const char* name : {"qwen2", "qwen3", "llama-rope", "gemma3"}) {
        const Editor editor(name);
        for (const gguf::Tensor& tensor : editor.file().tensors()) {
            std::vector<std::uint64_t> ne(tensor.ne.begin(), tensor.ne.begin() + tensor.dimensions);
            const std::string expected = gguf::shape_text(ne);
            ne.back() += 32;
            CHECK(editor.with_tensor(tensor.name, tensor.type, ne) ==
                  fmt::format("tensor '{}': expected shape {}, found {}", tensor.name, expected, gguf::shape_text(ne)));
            ne.back() -= 32;
            ne.push_back(2);
            has(editor.with_tensor(tensor.name, tensor.type, ne), "found " + gguf::shape_text(ne));
        }
    }
}

TEST_CASE("tensors of types that do not serve, or that nobody uses, are refused") {
    const Editor editor("qwen2");
    CHECK(editor.with_tensor("blk.0.attn_q.weight", TensorType::q8_1, {96, 96}) ==
          "tensor 'blk.0.attn_q.weight': type Q8_1 holds activations and is not supported for weights");
    CHECK(editor.with_tensor("blk.1.attn_norm.weight", TensorType::f16, {96}) ==
          "tensor 'blk.1.attn_norm.weight': expected type F32, found F16");
    CHECK(editor.with_tensor("blk.1.attn_q_norm.weight", TensorType::f32, {16}) ==
          "tensor 'blk.1.attn_q_norm.weight': is not part of this architecture as it is supported here");
    CHECK(editor.with_tensor("blk.2.attn_output.weight", TensorType::q5_k, {96}).find("no multiple of the 256") !=
          std::string::npos);
}

TEST_CASE("the real models are described") {
    if (const auto path = test::real_model("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2's description")) {
        const auto model = load_model(*path);
        REQUIRE_MESSAGE(model.ok(), model.error().message);
        CHECK(model->shape.hidden == 576);
        CHECK(model->shape.layers == 30);
        CHECK(model->shape.vocab == 49152);
        CHECK(model->shape.rope.base == 100000);
        CHECK(model->shape.layer_types[29].ffn_up == TensorType::q4_1);
    }
    if (const auto path = test::real_model("gemma-3-270m-q4_k_m.gguf", "Gemma's description")) {
        const auto model = load_model(*path);
        REQUIRE_MESSAGE(model.ok(), model.error().message);
        CHECK(model->shape.head_dim == 256);
        CHECK(model->shape.sliding_window == 512);
        CHECK(model->shape.rope.base == 1000000);
        CHECK(model->shape.rope.base_swa == 10000);
        CHECK(model->shape.query_scale == 1.0 / 16);
    }
}
