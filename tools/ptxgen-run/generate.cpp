#include "tools/ptxgen-run/generate.hpp"

#include "runtime/inference/utf8_stream.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

/// Passes text on, but holds back what may become a stop text.
class StopFilter {
public:
    explicit StopFilter(const std::vector<std::string>& stops) : stops_(stops) {}

    /// The text that is safe to show; sets `found` when a stop text is complete.
    std::string push(std::string_view text, bool& found) {
        held_ += text;
        std::size_t first = std::string::npos;
        for (const auto& stop : stops_)
            if (!stop.empty()) first = std::min(first, held_.find(stop));
        if (first != std::string::npos) {
            found = true;
            held_.resize(first);
            return std::exchange(held_, {});
        }
        std::size_t keep = 0;
        for (const auto& stop : stops_)
            for (std::size_t n = std::min(stop.size(), held_.size() + 1) - (stop.empty() ? 0 : 1); n > keep; n--)
                if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
        std::string safe = held_.substr(0, held_.size() - keep);
        held_.erase(0, held_.size() - keep);
        return safe;
    }
    std::string finish() { return std::exchange(held_, {}); }

private:
    const std::vector<std::string>& stops_;
    std::string held_;
};

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
}

} // namespace

Result<Answer> generate(Engine& engine, const Tokenizer& tokenizer, Sampler& sampler, std::span<const TokenId> prompt,
                        const GenerateOptions& options) {
    using Clock = std::chrono::steady_clock;
    Answer answer;
    Utf8Stream utf8;
    StopFilter filter(options.stop_texts);
    const auto show = [&](std::string text) {
        answer.text += text;
        if (options.on_text && !text.empty()) options.on_text(text);
    };
    const auto cancelled = [&] { return options.cancelled && options.cancelled->load(std::memory_order_relaxed); };

    const auto start = Clock::now();
    std::vector<float> last;
    std::span<const float> logits;
    if (options.on_logits) {
        const auto keep = [&](std::span<const float> row) -> Status {
            last.assign(row.begin(), row.end());
            return options.on_logits(row);
        };
        if (auto ok = engine.evaluate_all(prompt, keep); !ok) return std::move(ok).error();
        logits = last;
    } else {
        auto evaluated = engine.evaluate(prompt);
        if (!evaluated) return std::move(evaluated).error();
        logits = *evaluated;
    }
    const std::uint64_t launches_before = engine.launches();
    std::vector<TokenId> stop_ids = tokenizer.end_of_generation();
    stop_ids.insert(stop_ids.end(), options.stop_ids.begin(), options.stop_ids.end());
    Clock::time_point first_token{}, last_token{};
    bool stopped = false;
    // Shows a token; whether the answer goes on behind it.
    const auto take = [&](TokenId id) {
        sampler.accept(id);
        last_token = Clock::now();
        if (answer.ids.empty()) first_token = last_token;
        answer.ids.push_back(id);
        if (std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end()) return false;
        show(filter.push(utf8.push(tokenizer.piece(id)), stopped));
        if (stopped || (options.max_tokens && answer.ids.size() >= options.max_tokens)) return false;
        return !cancelled();
    };
    const auto context_full = [&] {
        if (engine.position() < engine.context()) return false;
        answer.unfinished = fmt::format("context full: it holds {} positions; a larger one (-c) lets the answer go on",
                                        engine.context());
        return true;
    };

    bool more = !cancelled();
    if (more) {
        auto id = sampler.sample(logits);
        if (!id) return std::move(id).error();
        more = take(*id);
    }
    if (sampler.is_greedy() && !options.on_logits) {
        // The engine draws by itself, which needs no logits on the host.
        if (more && !context_full()) {
            const auto most = options.max_tokens ? options.max_tokens - 1 : UINT32_MAX;
            const auto drawn = engine.generate(answer.ids.back(), most, stop_ids, [&](TokenId id) {
                more = take(id);
                return more;
            });
            if (!drawn) return drawn.error();
            if (more) (void)context_full();
        }
        more = false;
    }
    while (more && !context_full()) {
        const TokenId next[] = {answer.ids.back()};
        auto evaluated = engine.evaluate(next);
        if (!evaluated) return std::move(evaluated).error();
        logits = *evaluated;
        if (options.on_logits)
            if (auto ok = options.on_logits(logits); !ok) return std::move(ok).error();
        auto id = sampler.sample(logits);
        if (!id) return std::move(id).error();
        more = take(*id);
    }
    if (!stopped) {
        show(filter.push(utf8.finish(), stopped));
        if (!stopped) show(filter.finish());
    }
    answer.launches = engine.launches() - launches_before;
    if (!answer.ids.empty()) answer.ttft_seconds = seconds_between(start, first_token);
    const double decode_seconds = seconds_between(first_token, last_token);
    if (answer.ids.size() > 1 && decode_seconds > 0)
        answer.tokens_per_second = static_cast<double>(answer.ids.size() - 1) / decode_seconds;
    return answer;
}

} // namespace ptxgen::tools
