// ptxgen-run with tiny models: what it prints, and that it is what the reference computes.
#include "runtime/inference/model.hpp"
#include "runtime/inference/tokenizer.hpp"
#include "tests/support/greedy_truth.hpp"
#include "tests/support/reference_forward.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <cmath>
#include <csignal>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <regex>

using namespace ptxgen;
using test::not_one_clear_error;
using test::ptxgen_run;

namespace {

using Ids = std::vector<std::int32_t>;

/// The words of a run with a model on the emulator, without a chat format.
std::vector<std::string> raw(const std::string& model, std::initializer_list<std::string> more) {
    std::vector<std::string> words{model, "--raw", "--device", "emulator"};
    words.insert(words.end(), more);
    return words;
}

nlohmann::json answer(const std::vector<std::string>& words, const test::RunOptions& options = {}) {
    auto with_json = words;
    with_json.emplace_back("--json");
    const auto finished = ptxgen_run(with_json, options);
    CHECK_MESSAGE(finished.code == 0, finished.err);
    auto json = nlohmann::json::parse(finished.out, nullptr, false);
    REQUIRE_MESSAGE(json.is_object(), finished.out);
    return json;
}

/// The reference's greedy ids, up to an end token.
Ids greedy(const std::string& path, Ids prompt, std::size_t count) {
    const auto model = load_model(path);
    REQUIRE(model.ok());
    const auto tokenizer = Tokenizer::load(model->file);
    REQUIRE(tokenizer.ok());
    test::ReferenceForward reference(*model);
    Ids ids;
    for (Ids next = std::move(prompt); ids.size() < count; next = {ids.back()}) {
        ids.push_back(test::best_of(reference.evaluate(next, test::ReferenceForward::Logits::last)).id);
        if (tokenizer->is_end_of_generation(ids.back())) break;
    }
    return ids;
}

} // namespace

TEST_CASE("--json is one object with the reference's greedy ids") {
    const test::TinyFiles files;
    for (const char* name : {"llama-rope", "qwen2", "qwen3", "gemma3", "llama-spm"}) {
        CAPTURE(name);
        const std::string model = files.model(name);
        const auto json = answer(raw(model, {"-q", "the cat", "-t", "0", "-n", "6"}));
        const Ids prompt = json.at("prompt_ids");
        const Ids ids = json.at("ids");
        if (std::string_view(name) == "llama-rope") CHECK(prompt == Ids{257, 32, 99, 97, 116});
        if (std::string_view(name) == "llama-spm") CHECK(prompt.front() == 1); // the model asks for BOS
        CHECK(ids == greedy(model, prompt, 6));
        CHECK(json.at("tokens") == ids.size());
        CHECK(json.at("ttft_s") > 0);
        CHECK(json.at("tok_per_s") > 0);
        CHECK(json.at("launches") > 0);
        CHECK_FALSE(json.at("device").get<std::string>().empty());
        CHECK(test::is_whole_utf8(json.at("text").get<std::string>()));
    }
}

TEST_CASE("--logits has a row for every evaluated position, in order") {
    const test::TinyFiles files;
    const std::string path = files.model("llama-rope");
    const std::string file = files.path("logits.f32");
    const auto json = answer(raw(path, {"-q", "the cat", "-t", "0", "-n", "4", "--logits", file}));
    Ids ids = json.at("prompt_ids");
    const Ids generated = json.at("ids");
    ids.insert(ids.end(), generated.begin(), generated.end() - 1); // nothing follows the last
    const auto model = load_model(path);
    REQUIRE(model.ok());
    const auto expected = test::ReferenceForward(*model).evaluate(ids);
    const std::string content = test::content_of(file);
    REQUIRE(content.size() == expected.size() * sizeof(float));
    double largest = 0;
    double most = 0;
    for (std::size_t i = 0; i < expected.size(); i++) {
        float value = 0;
        std::memcpy(&value, &content[i * sizeof value], sizeof value);
        largest = std::max(largest, std::abs(expected[i]));
        most = std::max(most, std::abs(value - expected[i]));
    }
    CHECK(most <= 1e-4 * largest);
}

TEST_CASE("the prompt comes from -q or from standard input") {
    const test::TinyFiles files;
    const std::string model = files.model("llama-rope");
    test::RunOptions piped;
    piped.input = "the cat";
    CHECK(answer(raw(model, {"-n", "2", "-t", "0"}), piped).at("prompt_ids") == Ids{257, 32, 99, 97, 116});
    CHECK(answer(raw(model, {"-n", "2", "-t", "0", "-q", "a<|im_end|>"}), piped).at("prompt_ids") == Ids{97, 260});
}

TEST_CASE("without --raw the prompt is a message of the model's chat format") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2"); // its template is ChatML
    const auto json = answer({model, "-q", "a", "-n", "2", "-t", "0", "--device", "emulator", "--system", "b"});
    const std::string text = "<|im_start|>system\nb<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n";
    CHECK(json.at("prompt_ids") == answer(raw(model, {"-q", text, "-n", "1"})).at("prompt_ids"));
    const Ids ids = json.at("prompt_ids");
    CHECK(std::count(ids.begin(), ids.end(), 259) == 3);
    CHECK(not_one_clear_error(ptxgen_run({files.model("llama-spm"), "-q", "a", "--device", "emulator"}), {"--raw"}) ==
          "");
}

TEST_CASE("a seed makes an answer that can be had again") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2");
    const auto with_seed = [&](const char* seed) -> Ids {
        return answer(raw(model, {"-q", "a", "-t", "1.5", "-n", "24", "-s", seed})).at("ids");
    };
    const Ids first = with_seed("5");
    CHECK(with_seed("5") == first);
    CHECK(with_seed("6") != first);
}

TEST_CASE("-n counts tokens, and --stop ends the answer before its text") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2");
    const auto whole = answer(raw(model, {"-q", "the", "-t", "0", "-n", "30"}));
    const std::string text = whole.at("text");
    REQUIRE(whole.at("ids").size() > 4);
    CHECK(answer(raw(model, {"-q", "the", "-t", "0", "-n", "3"})).at("ids").size() == 3);
    // A stop text of two characters from the middle of the answer, on character boundaries.
    std::size_t begin = text.size() / 3;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) begin--;
    std::size_t end = begin;
    for (int characters = 0; characters < 2; characters++) do
            end++;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
    const std::string stop = text.substr(begin, end - begin);
    const auto stopped = answer(raw(model, {"-q", "the", "-t", "0", "-n", "30", "--stop", stop}));
    CHECK(stopped.at("text") == text.substr(0, text.find(stop)));
    CHECK(stopped.at("ids").size() < whole.at("ids").size());
}

TEST_CASE("streamed text is whole characters at every step, and the report follows on standard error") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2"); // its tokens are bytes
    test::RunOptions watch;
    int steps = 0;
    watch.on_output = [&](std::string_view out) {
        CHECK(test::is_whole_utf8(out));
        steps++;
        return 0;
    };
    const auto finished = ptxgen_run(raw(model, {"-q", "a", "-t", "2", "-s", "3", "-n", "60"}), watch);
    CHECK(finished.code == 0);
    CHECK(steps > 2);
    CHECK(std::regex_match(finished.err, std::regex("TTFT: [0-9]+\\.[0-9]{3} s\nGenerated tokens: [0-9]+\n"
                                                    "Tokens per second: [0-9]+\\.[0-9]{2} tok/s\n")));
    const auto silent = ptxgen_run(raw(model, {"-q", "a", "-t", "2", "-s", "3", "-n", "60", "-r", "0"}));
    CHECK(silent.err.empty());
    CHECK(silent.out == finished.out);
    const std::string text = answer(raw(model, {"-q", "a", "-t", "2", "-s", "3", "-n", "60"})).at("text");
    CHECK(finished.out == text + "\n");
}

TEST_CASE("the cache in f16, checks and threads change nothing that is seen here") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2");
    const auto plain = answer(raw(model, {"-q", "the", "-t", "0", "-n", "4"})).at("ids");
    CHECK(answer(raw(model, {"-q", "the", "-t", "0", "-n", "4", "--check", "on", "--threads", "1"})).at("ids") ==
          plain);
    CHECK(answer(raw(model, {"-q", "the", "-t", "0", "-n", "4", "--kv", "f16"})).at("ids") == plain);
}

TEST_CASE("Ctrl-C ends an answer cleanly") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen3-k");
    test::RunOptions interrupting;
    bool sent = false;
    interrupting.on_output = [&](std::string_view) { return std::exchange(sent, true) ? 0 : SIGINT; };
    const auto finished = ptxgen_run(raw(model, {"-q", "a", "-t", "2", "-s", "1"}), interrupting);
    CHECK(finished.signal == 0);
    CHECK(finished.code == 0);
    CHECK(finished.out.back() == '\n');
    CHECK(test::is_whole_utf8(finished.out));
    CHECK(finished.err.find("Tokens per second") != std::string::npos);
    CHECK(finished.out.size() < 400);
}

TEST_CASE("a chat at a terminal shows the load, answers and ends at the end of the input") {
    const test::TinyFiles files;
    test::RunOptions terminal;
    terminal.terminal = true;
    int answers = 0;
    terminal.input = "hello\nagain\n\x04";
    const auto finished = ptxgen_run({files.model("qwen2"), "-t", "0", "-n", "3", "--device", "emulator"}, terminal);
    CHECK_FALSE(finished.timed_out);
    CHECK_MESSAGE(finished.code == 0, finished.out);
    for (std::size_t at = 0; (at = finished.out.find("A: ", at)) != std::string::npos; at++) answers++;
    CHECK(answers == 2);
    CHECK(finished.out.find("loading [") != std::string::npos);
}

TEST_CASE("a question in a chat follows the conversation before it, or stands alone with -m 0") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2");
    const auto turn = [](const std::string& question) {
        return "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n";
    };
    const auto text_of = [&](const std::string& prompt) -> std::string {
        return answer(raw(model, {"-q", prompt, "-t", "0", "-n", "5"})).at("text");
    };
    const std::string first = text_of(turn("hello"));
    const std::string follows = text_of(turn("hello") + first + "<|im_end|>\n" + turn("why"));
    const std::string alone = text_of(turn("why"));
    REQUIRE(follows != alone);
    test::RunOptions terminal;
    terminal.terminal = true;
    terminal.input = "hello\nwhy\n\x04";
    for (const bool multi_turn : {true, false}) {
        CAPTURE(multi_turn);
        auto shown = ptxgen_run(
            {model, "-t", "0", "-n", "5", "-r", "0", "--device", "emulator", "-m", multi_turn ? "1" : "0"}, terminal);
        CHECK(shown.code == 0);
        std::erase(shown.out, '\r');
        const std::size_t at = shown.out.rfind("A: ");
        REQUIRE(at != std::string::npos);
        std::string expected = multi_turn ? follows : alone;
        std::erase(expected, '\r');
        CHECK(shown.out.substr(at + 3, expected.size() + 1) == expected + "\n");
    }
}

TEST_CASE("SmolLM2 is asked in its chat format, and answers as the reference does") {
    const auto truth = test::load_greedy_truth("smollm2");
    REQUIRE(truth.ok());
    const auto path = test::real_model(truth->model, "a question to SmolLM2");
    if (!path) return;
    const test::GreedyPrompt& expected = truth->prompts[0];
    const auto json = answer({*path, "-q", "What is CUDA?", "-t", "0", "-n", "4", "--device", "emulator"});
    CHECK(json.at("prompt_ids") == expected.prompt_ids);
    CHECK(test::greedy_difference(expected, json.at("ids").get<Ids>()) == "");
    CHECK(json.at("text").get<std::string>().rfind("CUDA", 0) == 0);
}
