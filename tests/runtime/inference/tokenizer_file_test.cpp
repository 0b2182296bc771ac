#include "runtime/inference/tokenizer.hpp"

#include "tests/support/metadata_writer.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace ptxgen;

namespace {

using Strings = std::vector<std::string>;
using Types = std::vector<std::int32_t>;

std::string load_error(const test::MetadataWriter& writer) {
    const auto file = writer.open();
    REQUIRE(file.ok());
    const auto tokenizer = Tokenizer::load(*file);
    return tokenizer ? "" : tokenizer.error().message;
}

Tokenizer load(const test::MetadataWriter& writer) {
    const auto file = writer.open();
    REQUIRE(file.ok());
    auto tokenizer = Tokenizer::load(*file);
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
    return std::move(*tokenizer);
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

test::MetadataWriter small_bpe(Strings merges, const char* pre = "gpt-2") {
    test::MetadataWriter writer;
    writer.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", pre);
    writer.add("tokenizer.ggml.tokens", Strings{"a", "b", "ab", "abc", "c", "Ġ", "Ġa", "<|im_end|>", "bc"});
    writer.add("tokenizer.ggml.token_type", Types{1, 1, 1, 1, 1, 1, 1, 3, 1});
    return writer.add("tokenizer.ggml.merges", merges);
}

std::vector<TokenId> ids_of(const Tokenizer& tokenizer, std::string_view text, bool parse_special = false) {
    auto ids = tokenizer.encode(text, {.parse_special = parse_special});
    REQUIRE(ids.ok());
    return *ids;
}

} // namespace

TEST_CASE("merges apply in the order of the list") {
    using Ids = std::vector<TokenId>;
    const Tokenizer left = load(small_bpe({"a b", "b c", "ab c", "Ġ a"}));
    CHECK(ids_of(left, "abc") == Ids{3});
    CHECK(ids_of(left, "ab a") == Ids{2, 6});
    const Tokenizer right = load(small_bpe({"b c", "a b", "ab c"}));
    CHECK(ids_of(right, "abc") == Ids{0, 8});
    // "Ġab" is no token: its ASCII characters stay, the space is lost, as in llama.cpp.
    const Tokenizer intermediate = load(small_bpe({"a b", "Ġ ab"}));
    CHECK(ids_of(intermediate, " ab") == Ids{0, 1});
    // With ignore_merges a word that is a token needs no merges.
    CHECK(ids_of(load(small_bpe({"a b"}, "llama-bpe")), "abc") == Ids{3});
    CHECK(ids_of(load(small_bpe({"a b"})), "abc") == Ids{2, 4});
    CHECK(ids_of(left, "") == Ids{});
    CHECK(ids_of(left, "a<|im_end|>b", true) == Ids{0, 7, 1});
    CHECK(left.end_of_generation() == Ids{7});
}

TEST_CASE("malformed tokenizers are errors that name the key") {
    const Strings tokens{"<unk>", "<s>", "</s>", "a"};
    const auto spm = [&] {
        test::MetadataWriter writer;
        writer.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", tokens);
        return writer;
    };
    CHECK(load_error(spm()) == "");
    CHECK(contains(load_error(test::MetadataWriter()), "tokenizer.ggml.model"));
    {
        const std::string error = load_error(test::MetadataWriter().add("tokenizer.ggml.model", "t5"));
        CHECK(contains(error, "'t5' is not supported"));
        CHECK(contains(error, "gpt2"));
    }
    CHECK(contains(load_error(test::MetadataWriter().add("tokenizer.ggml.model", "llama")), "tokenizer.ggml.tokens"));
    CHECK(contains(
        load_error(test::MetadataWriter().add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", 3u)),
        "tokenizer.ggml.tokens"));
    CHECK(contains(
        load_error(test::MetadataWriter().add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", Strings{})),
        "at least one"));
    CHECK(contains(load_error(test::MetadataWriter()
                                  .add("tokenizer.ggml.model", "llama")
                                  .add("tokenizer.ggml.tokens", Strings{"x", "x"})),
                   "distinct"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.scores", std::vector<float>{1, 2})), "expected 4 elements"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.scores",
                                        std::vector<float>{1, 2, std::numeric_limits<float>::quiet_NaN(), 4})),
                   "NaN"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.token_type", Types{1, 1, 1, 1, 1})), "expected 4 elements"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.scores", "x")), "tokenizer.ggml.scores"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.eos_token_id", 4u)), "below 4"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.bos_token_id", "x")), "tokenizer.ggml.bos_token_id"));
    CHECK(contains(load_error(spm().add("tokenizer.ggml.add_bos_token", 7u)), "tokenizer.ggml.add_bos_token"));
    CHECK(contains(load_error(spm().add("tokenizer.chat_template", 7u)), "tokenizer.chat_template"));
    {
        const std::string error = load_error(small_bpe({}, "tekken9"));
        CHECK(contains(error, "'tekken9' is not supported"));
        CHECK(contains(error, "smollm"));
    }
    for (const char* merge : {"", "ab", " ", "a ", " a"}) {
        CAPTURE(merge);
        CHECK(contains(load_error(small_bpe({"a b", merge})), "tokenizer.ggml.merges"));
    }
    test::MetadataWriter no_merges;
    no_merges.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.tokens", tokens);
    CHECK(contains(load_error(no_merges), "tokenizer.ggml.merges"));
}

TEST_CASE("odd but loadable vocabularies do not crash") {
    // Token types out of range, empty tokens, no byte tokens, special ids by default outside the vocabulary.
    test::MetadataWriter writer;
    writer.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", Strings{"", "<0x4", "<0xZZ>", "▁"});
    writer.add("tokenizer.ggml.token_type", Types{-7, 6, 6, 99}).add("tokenizer.ggml.unknown_token_id", 1u);
    const Tokenizer tokenizer = load(writer);
    // By its first bits \xff starts four bytes, so it takes half of the "▁" that stands for the space along.
    CHECK(ids_of(tokenizer, "\xff\xfe x") == std::vector<TokenId>{3, 1, 1, 1, 1, 1, 1});
    for (TokenId id = 0; id < 4; ++id) CHECK(tokenizer.piece(id, true) == "");
    CHECK(tokenizer.token_text(0) == "[EMPTY_0]");
    CHECK_FALSE(load(small_bpe({})).bos().has_value());
}
