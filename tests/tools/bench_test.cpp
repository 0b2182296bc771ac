// ptxgen-bench on the emulator: what it reports and writes, not how fast anything is.
#include "runtime/inference/model.hpp"
#include "runtime/inference/quant.hpp"
#include "tests/support/gguf_writer.hpp"
#include "tests/tools/process.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <vector>

using namespace ptxgen;
using test::ptxgen_bench;

namespace {

/// The report of a benchmark on the emulator; null if it failed.
nlohmann::json report_of(std::vector<std::string> arguments) {
    for (const char* word : {"--device", "emulator", "--runs", "3", "--warm-up", "1", "--json", "-"})
        arguments.emplace_back(word);
    const auto finished = ptxgen_bench(std::move(arguments));
    INFO(finished.err);
    CHECK(finished.code == 0);
    return finished.code == 0 ? nlohmann::json::parse(finished.out) : nlohmann::json();
}

} // namespace

TEST_CASE("stream reads all of the memory, through loads and bulk copies, and says what measured what") {
    const auto report = report_of({"stream", "--mb", "3"});
    REQUIRE(report.is_object());
    for (const char* key : {"benchmark", "date", "commit", "device", "driver", "target", "multiprocessors"})
        CHECK_MESSAGE(report.contains(key), key);
    REQUIRE(report["results"].size() == 2);
    for (const auto& row : report["results"]) {
        CHECK(row["MB"].get<double>() == doctest::Approx(3).epsilon(0.02)); // whole tiles of 32 KB
        CHECK(row["GB_per_s"].get<double>() ==
              doctest::Approx(row["MB"].get<double>() / row["us"].get<double>() * 1e3).epsilon(1e-6));
        CHECK(row["us_min"].get<double>() <= row["us"].get<double>());
        CHECK(row["us"].get<double>() <= row["us_max"].get<double>());
    }
}

TEST_CASE("barrier counts every arrival") {
    const auto report = report_of({"barrier", "--rounds", "4"});
    REQUIRE(report.is_object());
    CHECK(report["results"].size() == 3); // two kinds of launches, one of barriers
}

TEST_CASE("decode needs no vocabulary and counts the bytes of weights and cache") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/tiny.gguf";
    REQUIRE(ptxgen_bench({"synth", "--shape", "tiny", path}).code == 0);
    const auto report = report_of({"decode", path, "--tokens", "2", "--prompt-tokens", "3", "--context-fill", "0,5",
                                   "--activations", "f32", "--no-ceiling"});
    REQUIRE(report.is_object());
    const auto model = load_model(path);
    REQUIRE(model);
    double weights = 0;
    for (const auto& tensor : model->file.tensors())
        if (tensor.name != "token_embd.weight") weights += static_cast<double>(tensor.bytes);
    REQUIRE(report["results"].size() == 3);
    for (const int fill : {0, 5}) {
        const auto& row = report["results"][fill == 0 ? 1 : 2];
        CHECK(row["context"] == fill);
        // 8 layers, 2 key heads of 64, keys and values in f32, fill + 1 and fill + 2 positions.
        const double cache = 8.0 * 2 * 64 * 2 * 4 * (fill + 1.5);
        CHECK(row["GB_per_token"].get<double>() * 1e9 == doctest::Approx(weights + cache).epsilon(1e-9));
        CHECK(row["tok_per_s"].get<double>() > 0);
    }
}

TEST_CASE("the rival must be a folder with llama.cpp in it") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/tiny.gguf";
    REQUIRE(ptxgen_bench({"synth", "--shape", "tiny", path}).code == 0);
    const auto finished = ptxgen_bench(
        {"decode", path, "--device", "emulator", "--json", folder.path() + "/r.json", "--rival", folder.path()});
    CHECK(finished.code == 1);
    CHECK(finished.err.find("no libllama*.so in '" + folder.path()) != std::string::npos);
    CHECK(ptxgen_bench({"decode", path, "--rival", "/no/such/folder"}).code == 2);
}

TEST_CASE("ptxgen-run says that a model has no vocabulary") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/tiny.gguf";
    REQUIRE(ptxgen_bench({"synth", "--shape", "tiny", path}).code == 0);
    CHECK(test::not_one_clear_error(test::ptxgen_run({path, "-q", "What?"}), {"no_vocab", "no vocabulary"}) == "");
}

TEST_CASE("the table goes to standard output and the JSON to a file") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/stream.json";
    const auto finished = ptxgen_bench({"stream", "--device", "emulator", "--mb", "1", "--runs", "1", "--json", path});
    CHECK(finished.code == 0);
    CHECK(finished.out.find("GB_per_s") != std::string::npos);
    CHECK(nlohmann::json::parse(test::content_of(path))["results"].size() == 2);
}

TEST_CASE("a benchmark's mistakes in usage and failures are told apart") {
    CHECK(ptxgen_bench({}).code == 2);
    CHECK(ptxgen_bench({"strem"}).code == 2);
    CHECK(ptxgen_bench({"stream", "--runs", "0"}).code == 2);
    CHECK(ptxgen_bench({"synth", "--shape", "qwen3-9b", "x.gguf"}).code == 2);
    CHECK(test::not_one_clear_error(ptxgen_bench({"synth", "--shape", "tiny", "/no/such/folder/x.gguf"}),
                                    {"/no/such/folder/x.gguf", "No such file"}) == "");
}

TEST_CASE("a synthetic model has its shape, llama.cpp's mix of types, and weights of a sane size") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/tiny.gguf";
    const auto finished = ptxgen_bench({"synth", "--shape", "tiny", "--quant", "q4_k_m", path});
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    const auto model = load_model(path);
    REQUIRE_MESSAGE(model, model.error().message);
    CHECK(model->shape.layers == 8);
    CHECK(model->shape.hidden == 256);
    CHECK(model->shape.ffn == 512);
    CHECK(model->shape.vocab == 512);
    CHECK(!model->shape.tied_output);
    CHECK(model->token_embd->type == TensorType::q4_k);
    CHECK(model->output->type == TensorType::q6_k);
    for (std::size_t i = 0; i < 8; i++) {
        // The first and last eighth, and every third between.
        const auto varying = i == 0 || i == 3 || i == 6 || i == 7 ? TensorType::q6_k : TensorType::q4_k;
        CHECK_MESSAGE(model->layers[i].attn_v->type == varying, i);
        CHECK_MESSAGE(model->layers[i].ffn_down->type == varying, i);
        CHECK_MESSAGE(model->layers[i].ffn_gate->type == TensorType::q4_k, i);
    }
    for (const gguf::Tensor* tensor : {model->layers[3].ffn_down, model->layers[4].attn_q, model->output}) {
        std::vector<float> values(tensor->elements());
        quant::dequantize(tensor->type, tensor->data, values.size(), values.data());
        double sum = 0, squares = 0;
        for (const float value : values) {
            sum += value;
            squares += double{value} * value;
        }
        const auto count = static_cast<double>(values.size());
        const double expected = 1 / std::sqrt(static_cast<double>(tensor->ne[0]));
        CHECK(std::sqrt(squares / count) == doctest::Approx(expected).epsilon(0.1));
        CHECK(std::abs(sum / count) < 0.1 * expected);
    }
}
