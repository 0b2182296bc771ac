#pragma once

#include "runtime/inference/engine.hpp"
#include "runtime/inference/sampler.hpp"
#include "runtime/inference/tokenizer.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::tools {

/// How one answer is generated.
struct GenerateOptions {
    std::uint32_t max_tokens = 0;        ///< 0: no limit but the context
    std::vector<std::string> stop_texts; ///< the answer ends before the first of them
    std::vector<TokenId> stop_ids;       ///< besides the tokenizer's end-of-generation ids
    const std::atomic<bool>* cancelled = nullptr;
    /// Gets the answer as it grows: whole UTF-8 characters, never a part of a stop text.
    std::function<void(std::string_view)> on_text;
    /// Gets the logits of every evaluated position, if set.
    std::function<Status(std::span<const float>)> on_logits;
};

struct Answer {
    std::vector<TokenId> ids; ///< every token drawn, the end token included
    std::string text;
    double ttft_seconds = 0;      ///< from the start of the prompt's evaluation to the first token
    double tokens_per_second = 0; ///< of the tokens behind the first
    std::uint64_t launches = 0;   ///< kernel launches after the prompt
    std::string unfinished;       ///< why the answer ends before its end, if it does: the context is full
};

/// Evaluates `prompt` behind what the engine holds and draws tokens until the model ends, a stop text appears, the
/// limit or the context is reached, or `cancelled` becomes true.
Result<Answer> generate(Engine& engine, const Tokenizer& tokenizer, Sampler& sampler, std::span<const TokenId> prompt,
                        const GenerateOptions& options);

} // namespace ptxgen::tools
