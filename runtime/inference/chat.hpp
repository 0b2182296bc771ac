#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/jinja/jinja.hpp"
#include "runtime/inference/tokenizer.hpp"

#include <ctime>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// One turn of a conversation.
struct Message {
    std::string role; ///< "system", "user" or "assistant"
    std::string content;
};

/// The families of chat formats that are recognised. SmolLM and Qwen are ChatML with their own default system messages
/// and thinking blocks, which their templates spell out.
enum class ChatFamily { chatml, llama3, gemma, mistral };

/// "ChatML", "Llama 3", …
std::string_view name(ChatFamily family);

/// How a model wants a conversation to be spelled: its GGUF file's `tokenizer.chat_template`.
struct ChatFormat {
    ChatFamily family;
    jinja::Template prompt;              ///< the template itself, which decides every character
    std::string bos_token, eos_token;    ///< their texts, which templates print
    std::vector<std::string> stop_texts; ///< what ends an answer, for vocabularies where it is not one end token
    bool knows_thinking = false;         ///< the template reads `enable_thinking`
    bool needs_date = false;             ///< the template calls strftime_now without asking whether it exists
};

/// Errors: no template, a template of no known family, one that cannot be parsed; each names --raw as the way out.
Result<ChatFormat> recognise_chat_format(std::string_view chat_template, std::string_view bos_token,
                                         std::string_view eos_token);
/// With the template and the tokens of the tokenizer.
Result<ChatFormat> recognise_chat_format(const Tokenizer& tokenizer);

struct RenderOptions {
    /// End with what starts the assistant's turn.
    bool add_generation_prompt = true;
    /// Defined in the template only if set; templates that know it think by default.
    std::optional<bool> enable_thinking;
    /// What strftime_now prints from. Without it, templates that have a date of their own for that case (Llama 3.2: 26
    /// Jul 2024) use it, so that a conversation gives the same text on any day; those that do not get today's date,
    /// local.
    std::optional<std::tm> date;
};

/// The text that Jinja renders with `messages`, `add_generation_prompt`, `bos_token`, `eos_token` and, if set,
/// `enable_thinking`. Error: the template rejects the conversation (its own words), or uses what is not supported.
Result<std::string> render(const ChatFormat& format, std::span<const Message> messages,
                           const RenderOptions& options = {});

/// The ids of a rendered conversation: special tokens parsed, BOS added if the model wants one and the text does not
/// begin with it.
Result<std::vector<TokenId>> encode_chat(const Tokenizer& tokenizer, std::string_view rendered);

/// The tokens that end an answer besides Tokenizer::end_of_generation: those of `stop_texts` that are in the
/// vocabulary.
std::vector<TokenId> stop_ids(const ChatFormat& format, const Tokenizer& tokenizer);

} // namespace ptxgen
