// Prints what the tests' reference computes, for the scripts that make and check test data.
#include "tests/reference/checks.hpp"
#include "tests/support/gguf_writer.hpp"
#include "tests/support/reference_forward.hpp"
#include "tests/support/tiny_models.hpp"

#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <iterator>

using namespace ptxgen;

namespace {

constexpr const char* usage = R"(usage: ptxgen-reference COMMAND …
  tiny FOLDER [NAME VOCABULARY.gguf]  write the tiny random-weight models FOLDER/tiny-NAME.gguf, all of them with the
                                      vocabulary of the tests or one with the vocabulary of a GGUF file
  logits MODEL.gguf OUT.f64 [CHUNK]   ids on standard input; the float64 logits of every position, CHUNK ids at a time
  greedy MODEL.gguf N                 one line of prompt ids on standard input for each prompt; N lines each:
                                      best id, its distance to the second best logit
  prompts TRUTH.json                  the model's file name, then a line "INDEX NAME IDS" for each prompt
  text TRUTH.json INDEX               that prompt's text and nothing else
  greedy-check TRUTH.json INDEX ANSWER.json
                                      ids of ptxgen-run --json against the truth; exits 1 if they differ
  logits-check MODEL.gguf ANSWER.json LOGITS.f32
                                      ids and logits of ptxgen-run --json --logits against the reference: a line
                                      "POSITIONS DIFFERENCE IDS", max|d|/max|logit| and what the ids are; exits 1 if the
                                      logits differ by more than 1e-4 (with --bound B behind: by B) or the ids differ
)";

int fail(const std::string& message) {
    fmt::print(stderr, "ptxgen-reference: {}\n", message);
    return 1;
}

bool write_file(const std::string& path, const void* data, std::size_t bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    return out.good();
}

std::vector<std::int32_t> parse_ids(const std::string& text) {
    std::vector<std::int32_t> ids;
    std::size_t at = 0;
    while ((at = text.find_first_of("0123456789", at)) != std::string::npos) {
        std::size_t used = 0;
        ids.push_back(std::stoi(text.substr(at, 9), &used));
        at += used;
    }
    return ids;
}

int write_tiny(const std::string& folder, const char* only, const char* vocabulary_path) {
    if (!only) {
        for (const test::TinyModel& model : test::tiny_models()) {
            const auto bytes = test::tiny_model_file(model);
            if (!write_file(fmt::format("{}/tiny-{}.gguf", folder, model.name), bytes.data(), bytes.size()))
                return fail("cannot write to " + folder);
        }
        return 0;
    }
    const auto vocabulary = gguf::File::open(vocabulary_path, gguf::Contents::metadata);
    if (!vocabulary) return fail(vocabulary.error().message);
    if (!vocabulary->contains("tokenizer.ggml.tokens")) return fail(fmt::format("{} has no tokens", vocabulary_path));
    for (const test::TinyModel& model : test::tiny_models()) {
        if (model.name != only) continue;
        const auto bytes = test::tiny_model_file(model, &*vocabulary);
        const bool ok = write_file(fmt::format("{}/tiny-{}.gguf", folder, model.name), bytes.data(), bytes.size());
        return ok ? 0 : fail("cannot write to " + folder);
    }
    return fail(fmt::format("there is no tiny model '{}'", only));
}

int print_logits(const Model& model, const std::string& path, std::size_t chunk) {
    const auto ids = parse_ids({std::istreambuf_iterator<char>(std::cin), {}});
    test::ReferenceForward reference(model);
    std::vector<double> logits;
    for (std::size_t i = 0; i < ids.size(); i += chunk) {
        const auto part = reference.evaluate(std::span(ids).subspan(i, std::min(chunk, ids.size() - i)));
        logits.insert(logits.end(), part.begin(), part.end());
    }
    return write_file(path, logits.data(), logits.size() * sizeof(double)) ? 0 : fail("cannot write " + path);
}

int print_greedy(const Model& model, int count) {
    test::ReferenceForward reference(model);
    std::vector<std::int32_t> evaluated;
    for (std::string line; std::getline(std::cin, line);) {
        auto ids = parse_ids(line);
        if (ids.empty()) return fail("a prompt has no ids");
        // What a prompt shares with the one before it is in the cache already; its last id is always evaluated anew.
        std::size_t shared = 0;
        while (shared + 1 < ids.size() && shared < evaluated.size() && ids[shared] == evaluated[shared]) shared++;
        reference.truncate(shared);
        std::span<const std::int32_t> next = std::span(ids).subspan(shared);
        evaluated = ids;
        for (int i = 0; i < count; i++) {
            const auto logits = reference.evaluate(next, test::ReferenceForward::Logits::last);
            const test::Best best = test::best_of(logits);
            fmt::print("{} {:.6f}\n", best.id, best.gap);
            evaluated.push_back(best.id);
            next = std::span(evaluated).last(1);
        }
        std::fflush(stdout);
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 2 ? argv[1] : "";
    const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
    if (const auto code = test::run_check(command, words)) return *code;
    if (command == "tiny" && (argc == 3 || argc == 5))
        return write_tiny(argv[2], argc == 5 ? argv[3] : nullptr, argc == 5 ? argv[4] : nullptr);
    if ((command != "logits" && command != "greedy") || argc < 4) {
        fmt::print(stderr, "{}", usage);
        return 2;
    }
    const auto model = load_model(argv[2]);
    if (!model) return fail(model.error().message);
    if (command == "logits") return print_logits(*model, argv[3], argc > 4 ? std::stoul(argv[4]) : 64);
    return print_greedy(*model, std::stoi(argv[3]));
}
