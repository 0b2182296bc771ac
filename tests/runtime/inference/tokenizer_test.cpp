#include "runtime/inference/tokenizer.hpp"

#include "tests/support/metadata_writer.hpp"
#include "tests/support/models.hpp"

#include <chrono>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace ptxgen;

namespace {

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
    std::vector<std::string> out;
    std::size_t at = 0;
    for (std::size_t end; (end = text.find(separator, at)) != std::string::npos; at = end + separator.size())
        out.push_back(text.substr(at, end - at));
    out.push_back(text.substr(at));
    return out;
}

/// "5 7*3" is 5 7 7 7.
std::vector<TokenId> unpack(const std::string& line) {
    std::vector<TokenId> ids;
    std::istringstream in(line);
    for (std::string word; in >> word;) {
        const std::size_t star = word.find('*');
        const int count = star == std::string::npos ? 1 : std::stoi(word.substr(star + 1));
        ids.insert(ids.end(), static_cast<std::size_t>(count), std::stoi(word));
    }
    return ids;
}

/// A vocabulary that llama.cpp's ids are recorded for (scripts/compare-tokenizers --record), and what llama.cpp says
/// about its special tokens.
struct Vocabulary {
    std::string name, file;
    TokenId bos;
    bool wants_bos;
    std::vector<TokenId> end_of_generation;
};

const std::vector<Vocabulary> vocabularies{
    {"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 1, false, {0, 2, 4}},
    {"gemma3", "gemma-3-270m-q4_k_m.gguf", 2, true, {1, 106, 212}},
    {"llama-bpe", "ggml-vocab-llama-bpe.gguf", 128000, true, {128001, 128009}},
    {"qwen2", "ggml-vocab-qwen2.gguf", 151643, false, {128247, 151643, 151645}},
    {"llama-spm", "ggml-vocab-llama-spm.gguf", 1, true, {2}},
    {"gpt-2", "ggml-vocab-gpt-2.gguf", 50256, false, {50256}},
    {"phi-3", "ggml-vocab-phi-3.gguf", 1, true, {2, 32000, 32007}},
    {"starcoder", "ggml-vocab-starcoder.gguf", 0, false, {0, 4}},
};

/// Nothing, and a note, where the file is not there.
std::optional<Tokenizer> load_tokenizer(const Vocabulary& vocabulary, const char* test) {
    const auto path = test::find_model(vocabulary.file);
    if (!path) {
        std::cout << fmt::format("[SKIP] {}: {} is not in the folder PTXGEN_MODELS\n", test, vocabulary.file);
        return std::nullopt;
    }
    const auto file = gguf::File::open(*path, gguf::Contents::metadata);
    REQUIRE_MESSAGE(file.ok(), file.error().message);
    auto tokenizer = Tokenizer::load(*file);
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
    return std::move(*tokenizer);
}

std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special = false) {
    auto ids = tokenizer.encode(text, {.parse_special = parse_special});
    REQUIRE(ids.ok());
    return *ids;
}

} // namespace

TEST_CASE("1,000 tricky strings give llama.cpp's ids") {
    const auto strings = split(read_file(PTXGEN_SOURCE_DIR "/tests/data/tokenizer/strings.bin"), std::string(1, '\0'));
    REQUIRE(strings.size() == 1000);
    for (const Vocabulary& vocabulary : vocabularies) {
        CAPTURE(vocabulary.name);
        const auto tokenizer = load_tokenizer(vocabulary, "tricky strings");
        if (!tokenizer) continue;
        const auto lines =
            split(read_file(fmt::format(PTXGEN_SOURCE_DIR "/tests/data/tokenizer/{}.ids", vocabulary.name)), "\n");
        REQUIRE(lines.size() > 1000);
        std::map<std::size_t, std::string> special;
        for (std::size_t i = 1000; i < lines.size(); ++i)
            if (const std::size_t colon = lines[i].find(':'); colon != std::string::npos)
                special[std::stoul(lines[i])] = lines[i].substr(colon + 1);
        CHECK(!special.empty());
        for (std::size_t i = 0; i < strings.size(); ++i) {
            CAPTURE(i);
            CAPTURE(strings[i]);
            const auto plain = unpack(lines[i]);
            CHECK(encode(*tokenizer, strings[i]) == plain);
            CHECK(encode(*tokenizer, strings[i], true) == (special.contains(i) ? unpack(special[i]) : plain));
        }
    }
}

TEST_CASE("llama.cpp's own cases beside its vocabulary files") {
    for (const Vocabulary& vocabulary : vocabularies) {
        CAPTURE(vocabulary.name);
        const auto input = test::find_model(vocabulary.file + ".inp"),
                   output = test::find_model(vocabulary.file + ".out");
        if (!input || !output) continue;
        const auto tokenizer = load_tokenizer(vocabulary, "llama.cpp's cases");
        if (!tokenizer) continue;
        const auto cases = split(read_file(*input), "\n__ggml_vocab_test__\n");
        const auto expected = split(read_file(*output), "\n");
        REQUIRE(expected.size() >= cases.size() - 1);
        for (std::size_t i = 0; i + 1 < cases.size(); ++i) {
            CAPTURE(cases[i]);
            CHECK(encode(*tokenizer, cases[i]) == unpack(expected[i]));
        }
    }
}

TEST_CASE("special ids are those of llama.cpp, and pieces give the text back") {
    const auto strings = split(read_file(PTXGEN_SOURCE_DIR "/tests/data/tokenizer/strings.bin"), std::string(1, '\0'));
    for (const Vocabulary& vocabulary : vocabularies) {
        CAPTURE(vocabulary.name);
        const auto tokenizer = load_tokenizer(vocabulary, "special ids");
        if (!tokenizer) continue;
        CHECK(tokenizer->bos() == vocabulary.bos);
        CHECK(tokenizer->wants_bos() == vocabulary.wants_bos);
        CHECK(tokenizer->end_of_generation() == vocabulary.end_of_generation);
        for (const TokenId id : vocabulary.end_of_generation) CHECK(tokenizer->is_end_of_generation(id));
        CHECK_FALSE(tokenizer->is_end_of_generation(-1));
        CHECK_FALSE(tokenizer->is_end_of_generation(1000));
        CHECK(tokenizer->piece(-1) == "");
        CHECK(tokenizer->piece(static_cast<TokenId>(tokenizer->size())) == "");
        CHECK(tokenizer->token_text(-1) == "");
        const auto with_bos = tokenizer->encode("x", {.add_bos = true});
        REQUIRE(with_bos.ok());
        CHECK((with_bos->front() == vocabulary.bos) == vocabulary.wants_bos);

        const std::string text = "Hello  wörld,\n\tit's 2024 👍🏽 你好";
        const bool space = vocabulary.name == "llama-spm" || vocabulary.name == "phi-3";
        CHECK(tokenizer->decode(encode(*tokenizer, text)) == (space ? " " : "") + text);
    }
}

TEST_CASE("SmolLM2's control tokens are shown on request only") {
    const auto tokenizer = load_tokenizer(vocabularies[0], "control tokens");
    if (!tokenizer) return;
    CHECK(tokenizer->find("<|im_end|>") == 2);
    CHECK(tokenizer->eot() == 2);
    CHECK(tokenizer->piece(2) == "");
    CHECK(tokenizer->piece(2, true) == "<|im_end|>");
    CHECK(tokenizer->token_text(905) == "Ġworld");
    CHECK(tokenizer->piece(905) == " world");
    CHECK(tokenizer->chat_template().find("<|im_start|>") != std::string_view::npos);
}

TEST_CASE("a megabyte takes about a second, whatever it is") {
    for (const std::size_t which : {0, 1}) {
        const auto tokenizer = load_tokenizer(vocabularies[which], "a megabyte");
        if (!tokenizer) continue;
        for (const std::string_view unit :
             {"a", " ", "\n", " \n", "1", "!", "中", "<unused", "<|im_end|>\n\n\n", "\xff", "the GPU "}) {
            CAPTURE(unit);
            std::string text;
            while (text.size() < (1 << 20)) text += unit;
            const auto start = std::chrono::steady_clock::now();
            const auto ids = encode(*tokenizer, text, true);
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            CHECK(!ids.empty());
            CHECK(took.count() < 20); // quadratic would be hours; sanitizers and a busy machine are allowed for
        }
    }
}
