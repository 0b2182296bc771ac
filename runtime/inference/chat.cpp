#include "runtime/inference/chat.hpp"

#include <fmt/format.h>

#include <array>

namespace ptxgen {

namespace {

struct Family {
    ChatFamily family;
    std::string_view name;
    /// All of these are in the template's text.
    std::array<std::string_view, 2> marks;
    /// Ends a turn; empty where eos_token does.
    std::string_view stop;
};

// In this order: a template may mention the marks of a later one.
constexpr std::array<Family, 4> families{{
    {ChatFamily::chatml, "ChatML", {"<|im_start|>", "<|im_end|>"}, "<|im_end|>"},
    {ChatFamily::llama3, "Llama 3", {"<|start_header_id|>", "<|end_header_id|>"}, "<|eot_id|>"},
    {ChatFamily::gemma, "Gemma", {"<start_of_turn>", "<end_of_turn>"}, "<end_of_turn>"},
    {ChatFamily::mistral, "Mistral", {"[INST]", "[/INST]"}, ""},
}};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string today(const std::tm& date, const std::string& format) {
    std::array<char, 256> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), format.c_str(), &date);
    return std::string(text.data(), size);
}

jinja::Value strftime_function(const std::tm& date) {
    return jinja::Function([date](const jinja::Arguments& arguments) -> jinja::Value {
        const jinja::Value* format = arguments.find(0, "format");
        if (!format || !format->is(jinja::Value::Kind::string)) throw jinja::Failure{"strftime_now needs a format"};
        return today(date, format->string());
    });
}

} // namespace

std::string_view name(ChatFamily family) {
    for (const Family& row : families)
        if (row.family == family) return row.name;
    return "?";
}

Result<ChatFormat> recognise_chat_format(std::string_view chat_template, std::string_view bos_token,
                                         std::string_view eos_token) {
    if (chat_template.empty())
        return Error{"the model has no chat template (tokenizer.chat_template), so it is probably a base model; use "
                     "--raw to give "
                     "it the prompt as it is"};
    if (chat_template.size() > (1 << 20))
        return Error{
            fmt::format("expected a chat template of at most 1 MiB, found {} bytes; use --raw to give the model the "
                        "prompt as it is",
                        chat_template.size())};
    for (const Family& row : families) {
        if (!contains(chat_template, row.marks[0]) || !contains(chat_template, row.marks[1])) continue;
        auto prompt = jinja::Template::parse(chat_template);
        if (!prompt)
            return Error{
                fmt::format("the model's {} chat template cannot be read: {}; use --raw to give it the prompt as it is",
                            row.name, prompt.error().message)};
        ChatFormat out{row.family, std::move(*prompt), std::string(bos_token), std::string(eos_token), {}};
        if (!row.stop.empty()) out.stop_texts.emplace_back(row.stop);
        if (row.stop != eos_token && !eos_token.empty()) out.stop_texts.emplace_back(eos_token);
        out.knows_thinking = contains(chat_template, "enable_thinking");
        out.needs_date = contains(chat_template, "strftime_now") && !contains(chat_template, "strftime_now is defined");
        return out;
    }
    return Error{"the model's chat template is none of the known formats (ChatML with Qwen and SmolLM, Llama 3, Gemma, "
                 "Mistral); "
                 "use --raw to give it the prompt as it is, special tokens included"};
}

Result<ChatFormat> recognise_chat_format(const Tokenizer& tokenizer) {
    const auto text = [&](std::optional<TokenId> id) { return id ? tokenizer.token_text(*id) : std::string_view(); };
    return recognise_chat_format(tokenizer.chat_template(), text(tokenizer.bos()), text(tokenizer.eos()));
}

Result<std::string> render(const ChatFormat& format, std::span<const Message> messages, const RenderOptions& options) {
    jinja::List list;
    for (const Message& message : messages)
        list.emplace_back(jinja::Dict{{"role", message.role}, {"content", message.content}});
    jinja::Dict variables{{"messages", std::move(list)},
                          {"add_generation_prompt", options.add_generation_prompt},
                          {"bos_token", format.bos_token},
                          {"eos_token", format.eos_token}};
    if (options.enable_thinking) variables.emplace_back("enable_thinking", *options.enable_thinking);
    if (options.date || format.needs_date) {
        std::tm date{};
        if (options.date) {
            date = *options.date;
        } else {
            const std::time_t now = std::time(nullptr);
            localtime_r(&now, &date);
        }
        variables.emplace_back("strftime_now", strftime_function(date));
    }
    auto text = format.prompt.render(variables);
    if (!text)
        return Error{fmt::format(
            "the model's chat template rejects the conversation: {}; use --raw to give the model the prompt "
            "as it is",
            text.error().message)};
    return text;
}

Result<std::vector<TokenId>> encode_chat(const Tokenizer& tokenizer, std::string_view rendered) {
    const auto bos = tokenizer.bos();
    const bool has_bos = bos && rendered.starts_with(tokenizer.token_text(*bos));
    return tokenizer.encode(rendered, {.add_bos = !has_bos, .parse_special = true});
}

std::vector<TokenId> stop_ids(const ChatFormat& format, const Tokenizer& tokenizer) {
    std::vector<TokenId> out;
    for (const std::string& text : format.stop_texts)
        if (const auto id = tokenizer.find(text)) out.push_back(*id);
    return out;
}

} // namespace ptxgen
