// The persistent decoder for published shapes: it assembles without local memory and is emitted in no time.
#include "kernels/decoder/decoder.hpp"
#include "kernels/decoder/plan.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

struct Shape {
    const char* name;
    Architecture architecture;
    std::uint32_t hidden, layers, heads, kv_heads, head_dim, ffn, vocab;
    bool tied;
};
constexpr Shape shapes[] = {
    {"qwen3-0.6b", Architecture::qwen3, 1024, 28, 16, 8, 128, 3072, 151936, true},
    {"qwen3-4b", Architecture::qwen3, 2560, 36, 32, 8, 128, 9728, 151936, true},
    {"llama-1b", Architecture::llama, 2048, 16, 32, 8, 64, 8192, 128256, true},
    {"qwen3-8b", Architecture::qwen3, 4096, 36, 32, 8, 128, 12288, 151936, false},
    {"gemma3", Architecture::gemma3, 640, 18, 4, 1, 256, 2048, 262144, true},
};

/// With the types that llama.cpp's Q4_K_M mixes.
ModelShape model(const Shape& shape) {
    ModelShape m;
    m.architecture = shape.architecture;
    m.hidden = shape.hidden;
    m.layers = shape.layers;
    m.heads = shape.heads;
    m.kv_heads = shape.kv_heads;
    m.head_dim = shape.head_dim;
    m.ffn = shape.ffn;
    m.vocab = shape.vocab;
    m.context = 40960;
    m.rope.dim = shape.head_dim;
    m.rope.kind = shape.architecture == Architecture::llama ? RopeKind::interleaved : RopeKind::neox;
    m.query_scale = 0.088;
    m.tied_output = shape.tied;
    m.output_type = TensorType::q6_k;
    m.token_embd_type = shape.tied ? TensorType::q6_k : TensorType::q4_k;
    m.qk_norm = shape.architecture != Architecture::llama;
    const bool gemma = shape.architecture == Architecture::gemma3;
    m.post_norms = gemma;
    if (gemma) {
        m.sliding_window = 512;
        m.sliding_period = 6;
        m.activation = Activation::geglu;
        m.token_embd_type = m.output_type = TensorType::q8_0;
    }
    for (std::uint32_t l = 0; l < m.layers; l++) {
        const std::uint32_t eighth = m.layers / 8;
        const bool more = l < eighth || l >= 7 * eighth || (l - eighth) % 3 == 2;
        const TensorType few = gemma ? TensorType::q5_0 : TensorType::q4_k;
        const TensorType many = gemma ? TensorType::q8_0 : TensorType::q6_k;
        m.layer_types.push_back(
            {few, few, more ? many : few, few, few, few, more ? TensorType::q6_k : TensorType::q4_k});
        if (gemma) m.layer_types.back().attn_output = TensorType::q4_k;
    }
    return m;
}

DecoderConfig config_of(const Shape& shape, std::uint16_t sm) {
    DecoderConfig config;
    config.shape = model(shape);
    config.weights = weight_layout(config.shape, true);
    config.cache = CacheType::f16;
    config.ring = sm >= 90;
    config.mma = sm >= 80;
    config.shared_bytes = sm >= 90 ? 227 * 1024 : sm == 75 ? 64 * 1024 : 99 * 1024;
    return config;
}

std::string emitted(const DecoderConfig& config, Target target) {
    const auto generated = persistent_decoder(config, target);
    if (!generated) FAIL(generated.error().message);
    const auto text = print(generated->module);
    if (!text) FAIL(text.error().message);
    return *text;
}

} // namespace

TEST_CASE("the persistent decoder assembles for published shapes, without local memory") {
    const char* ptxas = std::getenv("PTXGEN_PTXAS"); // NOLINT(concurrency-mt-unsafe)
    if (!ptxas) return (void)std::puts("[SKIP] the persistent decoder assembles: PTXGEN_PTXAS is not set");
    for (const Shape& shape : shapes)
        for (const std::uint16_t sm : {90, 80, 100}) {
            if (sm != 90 && &shape != &shapes[0]) continue; // a few seconds each
            const Target target{sm, TargetVariant::plain};
            CAPTURE(shape.name);
            CAPTURE(to_string(target));
            const std::string text = emitted(config_of(shape, sm), target);
            if (const char* dump = std::getenv("PTXGEN_DUMP")) {
                std::ofstream(fmt::format("{}/{}-{}.ptx", dump, shape.name, sm)) << text;
                continue;
            }
            const auto file = std::filesystem::temp_directory_path() / fmt::format("ptxgen-decoder-{}.ptx", ::getpid());
            std::ofstream(file) << text;
            const std::string command =
                fmt::format("'{}' -v -arch {} -o /dev/null {} 2>&1", ptxas, to_string(target), file.string());
            std::string log;
            std::array<char, 512> part{};
            FILE* pipe = ::popen(command.c_str(), "r");
            REQUIRE(pipe);
            while (std::fgets(part.data(), part.size(), pipe)) log += part.data();
            const bool ok = ::pclose(pipe) == 0;
            if (!std::getenv("PTXGEN_KEEP")) std::filesystem::remove(file);
            INFO(log);
            CHECK(ok);
            CHECK(log.find(" 0 bytes stack frame") != std::string::npos);
            if (std::getenv("PTXGEN_SHOW")) MESSAGE(log);
        }
}

// What a CTA has streamed ahead while it waited for others is what it has gained.
TEST_CASE("the decoder's ring has room for several rounds of units for published shapes") {
    for (const Shape& shape : shapes) {
        const auto plan = plan_decoder(config_of(shape, 90));
        REQUIRE(plan.ok());
        REQUIRE(plan->ring);
        CAPTURE(shape.name);
        const std::uint32_t rounds = shape.architecture == Architecture::gemma3 ? 2 : 3; // it has units of 4,352 bytes
        CHECK(plan->ring->stages * plan->ring->stage_units >= rounds * ring_warps);
    }
}

// The process's own time, of the best of many rounds: on a busy machine most take up to twice as long.
TEST_CASE("emitting a whole decoder takes a few milliseconds") {
    constexpr double bound = 10; // ms
    for (const Shape& shape : shapes) {
        const DecoderConfig config = config_of(shape, 90);
        double best = 1e9;
        for (int round = 0; round < 5 || (round < 100 && best >= bound); round++) {
            const std::clock_t start = std::clock();
            const std::string text = emitted(config, {90, TargetVariant::plain});
            best = std::min(best, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
            CHECK(text.size() > 10000);
        }
        CAPTURE(shape.name);
        if (std::getenv("PTXGEN_SHOW")) MESSAGE(best);
#ifdef NDEBUG
        CHECK(best < bound);
#endif
    }
}
