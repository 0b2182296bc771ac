#include "runtime/inference/tokenizer/pretokenizer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace ptxgen::tokenization {

namespace {

using Names = std::string_view;

// GPT-2's expression; the final \s+ picks up the single space before a word.
#define GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
// Llama 3's and Qwen2's differ in how many digits stay together.
#define LLAMA3(NUMBERS)                                                                                                \
    R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|)" NUMBERS                       \
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"

constexpr std::array gpt2_patterns{Names(GPT2)};
constexpr std::array starcoder_patterns{Names(R"(\p{N})"), Names(GPT2)};
constexpr std::array llama3_patterns{Names(LLAMA3(R"(\p{N}{1,3})"))};
constexpr std::array qwen2_patterns{Names(LLAMA3(R"(\p{N})"))};
constexpr std::array default_patterns{Names(R"([\p{P}$+<=>^~|]+)"), Names(GPT2), Names(R"(\p{N}+)"),
                                      Names(R"([0-9][0-9][0-9])")};
constexpr std::array falcon_patterns{Names(R"([\p{P}$+<=>^~|`]+)"), Names(GPT2), Names(R"([0-9][0-9][0-9])")};

#undef GPT2
#undef LLAMA3

constexpr std::array default_names{Names("default"), Names("")};
constexpr std::array falcon_names{Names("falcon")};
constexpr std::array gpt2_names{
    Names("gpt-2"),      Names("phi-2"),       Names("mpt"),         Names("olmo"),           Names("jais"),
    Names("trillion"),   Names("exaone4"),     Names("gigachat"),    Names("a.x-4.0"),        Names("mellum"),
    Names("jina-es"),    Names("jina-de"),     Names("jina-v1-en"),  Names("jina-v2-code"),   Names("jina-v2-es"),
    Names("jina-v2-de"), Names("roberta-bpe"), Names("modern-bert"), Names("granite-docling")};
constexpr std::array llama3_names{Names("llama-bpe"), Names("llama3"),    Names("llama-v3"),
                                  Names("falcon3"),   Names("falcon-h1"), Names("pixtral"),
                                  Names("midm-2.0"),  Names("lfm2"),      Names("jina-v5-nano")};
constexpr std::array dbrx_names{Names("dbrx"), Names("smaug-bpe"), Names("glm4"), Names("chatglm-bpe")};
constexpr std::array qwen2_names{Names("qwen2"),   Names("deepseek-r1-qwen"), Names("kormo"),
                                 Names("f2llmv2"), Names("stablelm2"),        Names("megrez"),
                                 Names("hunyuan"), Names("solar-open"),       Names("grok-2")};
constexpr std::array starcoder_names{Names("starcoder"), Names("smollm"), Names("refact"),     Names("command-r"),
                                     Names("codeshell"), Names("exaone"), Names("minerva-7b"), Names("mellum2")};

constexpr std::array all_rules{
    PretokenizerRules{default_names, default_patterns},
    PretokenizerRules{gpt2_names, gpt2_patterns},
    PretokenizerRules{llama3_names, llama3_patterns, true, true},
    PretokenizerRules{dbrx_names, llama3_patterns},
    PretokenizerRules{qwen2_names, qwen2_patterns},
    PretokenizerRules{starcoder_names, starcoder_patterns},
    PretokenizerRules{falcon_names, falcon_patterns},
};

} // namespace

Result<const PretokenizerRules*> pretokenizer_rules(const gguf::File& file) {
    constexpr std::string_view key = "tokenizer.ggml.pre";
    const auto pre = file.get_or<std::string_view>(key, "default");
    if (!pre) return pre.error();
    std::vector<std::string_view> known;
    for (const PretokenizerRules& rules : all_rules)
        for (const std::string_view name : rules.names) {
            if (name == *pre) return &rules;
            if (!name.empty()) known.push_back(name);
        }
    return file.key_error(
        key, fmt::format("pre-tokenizer '{}' is not supported; supported are {}", *pre, fmt::join(known, ", ")));
}

} // namespace ptxgen::tokenization
