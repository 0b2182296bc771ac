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
