#include "runtime/inference/chat.hpp"

#include "tests/support/models.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

using namespace ptxgen;

namespace {

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// The text of a template by the name it has in renderings.json: inside a model file, or in the folder `templates`
/// beside the models.
std::optional<std::string> find_template(const std::string& name) {
    if (!name.ends_with(".gguf")) {
        const auto path = test::find_model("templates/" + name + ".jinja");
        return path ? std::optional(read_file(*path)) : std::nullopt;
    }
    const auto path = test::find_model(name);
    if (!path) return std::nullopt;
    const auto file = gguf::File::open(*path, gguf::Contents::metadata);
    REQUIRE(file.ok());
    return std::string(*file->get<std::string_view>("tokenizer.chat_template"));
}

ChatFamily expected_family(const std::string& name) {
    if (name.starts_with("meta-llama")) return ChatFamily::llama3;
    if (name.starts_with("google-gemma")) return ChatFamily::gemma;
    return name.find("istral") != std::string::npos || name.find("Devstral") != std::string::npos ? ChatFamily::mistral
                                                                                                  : ChatFamily::chatml;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

const std::string chatml =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

} // namespace

TEST_CASE("real templates render conversations as Python's jinja2 does") {
    // scripts/render-chats made the file.
    const auto data = nlohmann::json::parse(std::ifstream(PTXGEN_SOURCE_DIR "/tests/data/chat/renderings.json"));
    std::map<std::string, std::vector<Message>> conversations;
    for (const auto& [name, messages] : data["conversations"].items()) {
        conversations[name];
        for (const auto& message : messages) conversations[name].push_back({message["role"], message["content"]});
    }
    for (const auto& entry : data["templates"]) {
        const std::string name = entry["template"];
        CAPTURE(name);
        const auto text = find_template(name);
        if (!text) {
            std::cout << fmt::format("[SKIP] real templates: {} is not in the folder PTXGEN_MODELS\n", name);
            continue;
        }
        const auto format =
            recognise_chat_format(*text, entry["bos_token"].get<std::string>(), entry["eos_token"].get<std::string>());
        REQUIRE_MESSAGE(format.ok(), format.error().message);
        CHECK(format->family == expected_family(name));
        for (const auto& item : entry["cases"]) {
            const std::string conversation = item["conversation"];
            CAPTURE(conversation);
            CAPTURE(item.dump());
            RenderOptions options{
                .add_generation_prompt = item["add_generation_prompt"], .enable_thinking = {}, .date = {}};
            if (item.contains("enable_thinking")) options.enable_thinking = item["enable_thinking"].get<bool>();
            if (item.contains("date")) {
                REQUIRE(item["date"] == "2025-01-31");
                options.date = std::tm{};
                options.date->tm_year = 125, options.date->tm_mon = 0, options.date->tm_mday = 31;
            }
            const auto rendered = render(*format, conversations.at(conversation), options);
            if (item["text"].is_null()) {
                CHECK_FALSE(rendered.ok());
                if (!rendered) CHECK(contains(rendered.error().message, "--raw"));
                continue;
            }
            REQUIRE_MESSAGE(rendered.ok(), rendered.error().message);
            std::string expected = item["text"];
            if (expected.starts_with('\1')) expected = entry["begin"].get<std::string>() + expected.substr(1);
            CHECK(*rendered == expected);
        }
    }
}

TEST_CASE("formats are recognised by their marks, others are errors that name --raw") {
    const auto family = [](std::string_view text) {
        const auto format = recognise_chat_format(text, "<s>", "</s>");
        return format ? std::string(name(format->family)) : format.error().message;
    };
    CHECK(family(chatml) == "ChatML");
    CHECK(family("{{ '<|start_header_id|>user<|end_header_id|>' }}") == "Llama 3");
    CHECK(family("<start_of_turn>user<end_of_turn>") == "Gemma");
    CHECK(family("[INST] {{ messages[0].content }} [/INST]") == "Mistral");
    for (const std::string& bad :
         {std::string(), std::string("{{ messages[0].content }}"), std::string("<|im_start|><|im_end|>{{"),
          std::string("<|im_start|>{% include 'x' %}<|im_end|>"), std::string(2 << 20, 'x')}) {
        CHECK(contains(family(bad), "--raw"));
        CHECK(family(bad).find('\n') == std::string::npos);
    }
}

TEST_CASE("stop texts are what ends a turn and the end token") {
    const auto stops = [](std::string_view text) {
        const auto format = recognise_chat_format(text, "<s>", "</s>");
        REQUIRE(format.ok());
        return format->stop_texts;
    };
    CHECK(stops(chatml) == std::vector<std::string>{"<|im_end|>", "</s>"});
    CHECK(stops("[INST][/INST]") == std::vector<std::string>{"</s>"});
    CHECK(stops("<start_of_turn><end_of_turn>") == std::vector<std::string>{"<end_of_turn>", "</s>"});
}

TEST_CASE("a date is today's only where the template has none of its own") {
    const std::vector<Message> messages{{"user", "x"}};
    const std::string marks = "<|im_start|><|im_end|>";
    const auto rendered = [&](const std::string& text, const RenderOptions& options) {
        const auto format = recognise_chat_format(marks + text, "", "");
        REQUIRE(format.ok());
        const auto out = render(*format, messages, options);
        REQUIRE_MESSAGE(out.ok(), out.error().message);
        return out->substr(marks.size());
    };
    const std::string asks = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}fixed{% endif %}",
                      calls = "{{ strftime_now('%Y-%m-%d') }}";
    CHECK(rendered(asks, {}) == "fixed");
    CHECK(rendered(calls, {}).size() == 10);
    CHECK(rendered(calls, {}).starts_with("20"));
    RenderOptions dated;
    dated.date = std::tm{};
    dated.date->tm_year = 124, dated.date->tm_mon = 6, dated.date->tm_mday = 26;
    CHECK(rendered(asks, dated) == "2024");
    CHECK(rendered(calls, dated) == "2024-07-26");
}

TEST_CASE("SmolLM2's conversation becomes its special tokens; Gemma base has no template") {
    const auto load = [](const char* file_name) -> std::optional<Tokenizer> {
        const auto path = test::find_model(file_name);
        if (!path) {
            std::cout << fmt::format("[SKIP] chat: {} is not in the folder PTXGEN_MODELS\n", file_name);
            return std::nullopt;
        }
        const auto file = gguf::File::open(*path, gguf::Contents::metadata);
        REQUIRE(file.ok());
        auto tokenizer = Tokenizer::load(*file);
        REQUIRE(tokenizer.ok());
        return std::move(*tokenizer);
    };
    if (const auto tokenizer = load("SmolLM2-135M-Instruct.Q4_1.gguf")) {
        const auto format = recognise_chat_format(*tokenizer);
        REQUIRE(format.ok());
        CHECK(format->family == ChatFamily::chatml);
        CHECK_FALSE(format->knows_thinking);
        CHECK(stop_ids(*format, *tokenizer) == std::vector<TokenId>{2});
        const std::vector<Message> messages{{"user", "What is CUDA?"}};
        const auto text = render(*format, messages);
        REQUIRE(text.ok());
        CHECK(*text ==
              "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
              "<|im_start|>user\nWhat is CUDA?<|im_end|>\n<|im_start|>assistant\n");
        const auto ids = encode_chat(*tokenizer, *text);
        REQUIRE(ids.ok());
        // llama.cpp's ids of the same text, special tokens parsed.
        CHECK(*ids == std::vector<TokenId>{1,     9690, 198,   2683, 359, 253,   5356, 5646, 11173, 3365, 3511, 308,
                                           34519, 28,   7018,  411,  407, 19712, 8182, 2,    198,   1,    4093, 198,
                                           1780,  314,  39971, 4895, 47,  2,     198,  1,    520,   9531, 198});
    }
    if (const auto tokenizer = load("gemma-3-270m-q4_k_m.gguf")) {
        const auto format = recognise_chat_format(*tokenizer);
        REQUIRE_FALSE(format.ok());
        CHECK(contains(format.error().message, "--raw"));
        const auto ids = encode_chat(*tokenizer, "<bos>Hi");
        REQUIRE(ids.ok());
        const auto with = encode_chat(*tokenizer, "Hi");
        REQUIRE(with.ok());
        CHECK(*ids == *with); // one BOS, whether the text has it or not
        CHECK(ids->front() == 2);
    }
}
