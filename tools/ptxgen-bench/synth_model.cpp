#include "tools/ptxgen-bench/synth_model.hpp"

#include "runtime/inference/gguf_writer.hpp"
#include "runtime/inference/random_blocks.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ptxgen::tools {
namespace {

using enum TensorType;

constexpr std::array shapes{
    SynthShape{"qwen3-0.6b", Architecture::qwen3, 28, 1024, 3072, 16, 8, 128, 151936, true},
    SynthShape{"qwen3-4b", Architecture::qwen3, 36, 2560, 9728, 32, 8, 128, 151936, true},
    SynthShape{"qwen3-8b", Architecture::qwen3, 36, 4096, 12288, 32, 8, 128, 151936, false},
    SynthShape{"llama-1b", Architecture::llama, 16, 2048, 8192, 32, 8, 64, 128256, true},
    SynthShape{"tiny", Architecture::qwen3, 8, 256, 512, 4, 2, 64, 512, false}, // for tests
};

struct Plan {
    std::string name;
    TensorType type;
    std::uint64_t cols, rows; ///< rows is 0 for a vector
    std::uint64_t bytes() const { return row_bytes(type, cols) * std::max<std::uint64_t>(rows, 1); }
};

std::vector<Plan> plan(const SynthShape& s) {
    std::vector<Plan> all;
    const auto matrix = [&](std::string name, TensorType type, std::uint64_t cols, std::uint64_t rows) {
        all.push_back({std::move(name), type, cols, rows});
    };
    const auto ones = [&](std::string name, std::uint64_t elements) {
        all.push_back({std::move(name), f32, elements, 0});
    };
    const std::uint64_t q_dim = std::uint64_t{s.heads} * s.head_dim, kv_dim = std::uint64_t{s.kv_heads} * s.head_dim;
    matrix("token_embd.weight", s.tied_output ? q6_k : q4_k, s.hidden, s.vocab);
    for (std::uint32_t i = 0; i < s.layers; i++) {
        const auto named = [&](std::string_view name) { return fmt::format("blk.{}.{}.weight", i, name); };
        // llama.cpp's use_more_bits().
        const std::uint32_t eighth = s.layers / 8;
        const bool more = i < eighth || i >= 7 * s.layers / 8 || (i - eighth) % 3 == 2;
        const TensorType varying = more ? q6_k : q4_k;
        ones(named("attn_norm"), s.hidden);
        matrix(named("attn_q"), q4_k, s.hidden, q_dim);
        matrix(named("attn_k"), q4_k, s.hidden, kv_dim);
        matrix(named("attn_v"), varying, s.hidden, kv_dim);
        if (s.architecture == Architecture::qwen3) {
            ones(named("attn_q_norm"), s.head_dim);
            ones(named("attn_k_norm"), s.head_dim);
        }
        matrix(named("attn_output"), q4_k, q_dim, s.hidden);
        ones(named("ffn_norm"), s.hidden);
        matrix(named("ffn_gate"), q4_k, s.hidden, s.ffn);
        matrix(named("ffn_up"), q4_k, s.hidden, s.ffn);
        matrix(named("ffn_down"), varying, s.ffn, s.hidden);
    }
    ones("output_norm.weight", s.hidden);
    if (!s.tied_output) matrix("output.weight", q6_k, s.hidden, s.vocab);
    return all;
}

void add_keys(gguf::Writer& file, const SynthShape& s) {
    const std::string prefix(name(s.architecture));
    const auto key = [&](std::string_view word) { return fmt::format("{}.{}", prefix, word); };
    constexpr std::uint32_t q4_k_m = 15;
    file.string("general.architecture", prefix)
        .string("general.name", fmt::format("random {}", s.name))
        .number("general.file_type", q4_k_m)
        .number(key("block_count"), s.layers)
        .number(key("context_length"), std::uint32_t{40960})
        .number(key("embedding_length"), s.hidden)
        .number(key("feed_forward_length"), s.ffn)
        .number(key("attention.head_count"), s.heads)
        .number(key("attention.head_count_kv"), s.kv_heads)
        .number(key("rope.freq_base"), 1e6F)
        .number(key("attention.layer_norm_rms_epsilon"), 1e-6F)
        .number(key("attention.key_length"), s.head_dim)
        .number(key("attention.value_length"), s.head_dim)
        .number(key("vocab_size"), s.vocab);
    if (s.architecture == Architecture::llama) file.number(key("rope.dimension_count"), s.head_dim);
    file.string("tokenizer.ggml.model", "no_vocab");
}

/// Random blocks whose values have a root mean square of 1 / sqrt(cols), which a matrix repeats: drawing every byte of
/// a large model would take minutes.
class Pools {
public:
    const std::vector<std::byte>& blocks(TensorType type, std::uint64_t cols) {
        auto& pool = pools_[{type, cols}];
        if (pool.empty()) {
            constexpr std::uint64_t blocks = 65536;
            Random random(static_cast<std::uint64_t>(type) * 1'000'003 + cols);
            pool = random_blocks(type, blocks * tensor_type_info(type).block_elements, random,
                                 1 / std::sqrt(static_cast<double>(cols)));
        }
        return pool;
    }

private:
    std::map<std::pair<TensorType, std::uint64_t>, std::vector<std::byte>> pools_;
};

class Output {
public:
    explicit Output(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
        if (file_) std::setvbuf(file_.get(), nullptr, _IONBF, 0); // what is written is large
    }
    Status write(const void* data, std::uint64_t bytes) {
        if (!file_ || std::fwrite(data, 1, bytes, file_.get()) != bytes) return failure();
        return {};
    }
    /// `bytes` of the pool, repeated as often as it takes, from byte `start` of it on.
    Status repeat(const std::vector<std::byte>& pool, std::uint64_t start, std::uint64_t bytes) {
        for (std::uint64_t at = start; bytes > 0; at = 0) {
            const std::uint64_t part = std::min<std::uint64_t>(bytes, pool.size() - at);
            if (auto ok = write(pool.data() + at, part); !ok) return ok;
            bytes -= part;
        }
        return {};
    }
    Status close() {
        if (std::fclose(file_.release()) != 0) return failure();
        return {};
    }

private:
    Error failure() const { return Error{fmt::format("cannot write '{}': {}", path_, std::strerror(errno))}; }

    std::string path_;
    std::unique_ptr<FILE, decltype([](FILE* file) { std::fclose(file); })> file_;
};

Status write_tensors(Output& out, const std::vector<Plan>& tensors) {
    Pools pools;
    const std::vector<std::byte> padding(32);
    for (std::size_t i = 0; i < tensors.size(); i++) {
        const Plan& tensor = tensors[i];
        const std::uint64_t bytes = tensor.bytes();
        if (tensor.rows == 0) {
            const auto ones = encode_plain(tensor.type, std::vector<float>(tensor.cols, 1.0F));
            if (auto ok = out.write(ones.data(), ones.size()); !ok) return ok;
        } else {
            const auto& pool = pools.blocks(tensor.type, tensor.cols);
            const std::uint64_t block_bytes = tensor_type_info(tensor.type).block_bytes;
            const std::uint64_t first = i * 7919 % (pool.size() / block_bytes); // no two layers alike
            if (auto ok = out.repeat(pool, first * block_bytes, bytes); !ok) return ok;
        }
        if (auto ok = out.write(padding.data(), (32 - bytes % 32) % 32); !ok) return ok;
    }
    return {};
}

} // namespace

std::span<const SynthShape> synth_shapes() { return shapes; }

Result<SynthSummary> write_synthetic_model(const SynthShape& shape, const std::string& path) {
    const std::vector<Plan> tensors = plan(shape);
    gguf::Writer file;
    add_keys(file, shape);
    SynthSummary summary;
    for (const Plan& tensor : tensors) {
        std::vector<std::uint64_t> ne{tensor.cols};
        if (tensor.rows > 0) ne.push_back(tensor.rows);
        file.declare(tensor.name, tensor.type, ne, tensor.bytes());
        summary.file_bytes += (tensor.bytes() + 31) / 32 * 32;
        if (shape.tied_output || tensor.name != "token_embd.weight") summary.bytes_per_token += tensor.bytes();
    }
    const auto header = file.header();
    summary.file_bytes += header.size();
    const std::string half = fmt::format("{}.{}.tmp", path, getpid());
    const auto write = [&]() -> Status {
        Output out(half);
        if (auto ok = out.write(header.data(), header.size()); !ok) return ok;
        if (auto ok = write_tensors(out, tensors); !ok) return ok;
        if (auto ok = out.close(); !ok) return ok;
        if (std::rename(half.c_str(), path.c_str()) != 0)
            return Error{fmt::format("cannot write '{}': {}", path, std::strerror(errno))};
        return {};
    };
    if (auto ok = write(); !ok) {
        std::remove(half.c_str());
        return Error{fmt::format("{} ({:.2f} GB are needed)", ok.error().message,
                                 static_cast<double>(summary.file_bytes) * 1e-9)};
    }
    return summary;
}

} // namespace ptxgen::tools
