#include "runtime/inference/chat.hpp"
#include "runtime/inference/model.hpp"
#include "runtime/inference/utf8_stream.hpp"
#include "runtime/open_device.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen-run/generate.hpp"
#include "tools/ptxgen-run/options.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <unistd.h>

namespace ptxgen::tools {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// A load bar on standard error; nothing when that is no terminal.
class ProgressBar {
public:
    void show(double share) {
        if (!terminal_) return;
        constexpr int width = 40;
        const int filled = static_cast<int>(share * width + 0.5);
        if (filled == shown_) return;
        shown_ = filled;
        fmt::print(stderr, "\rloading [{:#<{}}{:.<{}}]", "", filled, "", width - filled);
    }
    ~ProgressBar() {
        if (terminal_ && shown_ >= 0) fmt::print(stderr, "\r{:60}\r", "");
    }

private:
    bool terminal_ = isatty(STDERR_FILENO) != 0;
    int shown_ = -1;
};

/// Everything that answers questions with one model.
class Runner {
public:
    Runner(const RunnerOptions& options, Tokenizer tokenizer, std::optional<ChatFormat> format)
        : options_(options), tokenizer_(std::move(tokenizer)), format_(std::move(format)) {}

    Status open_engine(const Model& model);
    Status open_logits();

    /// Ids of a prompt by itself (--raw) or of the conversation so far.
    Result<std::vector<TokenId>> encode(const std::string& prompt);
    Result<Answer> answer(const std::string& prompt);
    Status chat();
    int report(const Answer& answer, std::span<const TokenId> prompt) const;

    const std::vector<TokenId>& prompt_ids() const { return prompt_ids_; }

private:
    const RunnerOptions& options_;
    Tokenizer tokenizer_;
    std::optional<ChatFormat> format_;
    std::unique_ptr<runtime::Device> device_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<FILE, decltype([](FILE* file) { std::fclose(file); })> logits_;
    std::vector<Message> conversation_;
    std::vector<TokenId> evaluated_; ///< what the engine's cache holds
    std::vector<TokenId> prompt_ids_;
    std::optional<Sampler> sampler_;
};

Status Runner::open_engine(const Model& model) {
    runtime::DeviceRequest request;
    request.choice = options_.device == "cuda"       ? runtime::DeviceChoice::cuda
                     : options_.device == "emulator" ? runtime::DeviceChoice::emulator
                                                     : runtime::DeviceChoice::automatic;
    request.gpu = options_.gpu;
    request.emulator.threads = options_.threads;
    request.emulator.checks = options_.checks;
    auto opened = runtime::open_device(request);
    if (!opened) return std::move(opened).error();
    if (!opened->note.empty()) fmt::print(stderr, "note: {}\n", opened->note);
    device_ = std::move(opened->device);

    EngineOptions engine_options = options_.engine;
    engine_options.context = options_.context;
    const bool f16 = options_.kv.empty() ? !device_->properties().is_emulator : options_.kv == "f16";
    engine_options.kv = f16 ? KvType::f16 : KvType::f32;
    std::optional<ProgressBar> bar(std::in_place);
    engine_options.on_progress = [&bar](double share) { bar->show(share); };
    std::vector<std::string> notes;
    engine_options.on_note = [&](std::string_view note) { notes.emplace_back(note); };
    auto engine = create_engine(*device_, model, engine_options);
    if (!engine) return std::move(engine).error();
    engine_ = std::move(*engine);
    bar.reset();
    for (const auto& note : notes) fmt::print(stderr, "note: {}\n", note);

    SamplerOptions sampling;
    sampling.temperature = options_.temperature;
    sampling.top_k = options_.top_k;
    sampling.top_p = options_.top_p;
    sampling.min_p = options_.min_p;
    sampling.repeat_penalty = options_.repeat_penalty;
    sampling.seed = options_.seed_given ? options_.seed : std::random_device{}();
    auto sampler = Sampler::create(sampling);
    if (!sampler) return std::move(sampler).error();
    sampler_.emplace(std::move(*sampler));
    return {};
}

Status Runner::open_logits() {
    if (options_.logits.empty()) return {};
    logits_.reset(std::fopen(options_.logits.c_str(), "wb"));
    if (!logits_) return Error{fmt::format("cannot write '{}': {}", options_.logits, std::strerror(errno))};
    return {};
}

Result<std::vector<TokenId>> Runner::encode(const std::string& prompt) {
    if (!is_valid_utf8(prompt)) return Error{"the prompt is not valid UTF-8"};
    if (options_.raw) return tokenizer_.encode(prompt, {.add_bos = tokenizer_.wants_bos(), .parse_special = true});
    if (conversation_.empty() && !options_.system.empty()) conversation_.push_back({"system", options_.system});
    conversation_.push_back({"user", prompt});
    RenderOptions render_options;
    if (format_->knows_thinking) render_options.enable_thinking = options_.reasoning;
    auto text = render(*format_, conversation_, render_options);
    if (!text) return std::move(text).error();
    return encode_chat(tokenizer_, *text);
}

Result<Answer> Runner::answer(const std::string& prompt) {
    auto ids = encode(prompt);
    if (!ids) return std::move(ids).error();
    if (ids->empty()) return Error{"the prompt is empty"};
    prompt_ids_ = *ids;
    // What the cache already holds of it need not be evaluated again; the last token always is, for its logits.
    std::size_t common = 0;
    while (common < evaluated_.size() && common + 1 < ids->size() && evaluated_[common] == (*ids)[common]) common++;
    if (auto ok = engine_->rewind(static_cast<std::uint32_t>(common)); !ok) return std::move(ok).error();

    GenerateOptions generate_options;
    generate_options.max_tokens = options_.max_tokens;
    generate_options.stop_texts = options_.stop;
    if (format_) {
        generate_options.stop_ids = stop_ids(*format_, tokenizer_);
        generate_options.stop_texts.insert(generate_options.stop_texts.end(), format_->stop_texts.begin(),
                                           format_->stop_texts.end());
    }
    generate_options.cancelled = &interrupted;
    if (!options_.json)
        generate_options.on_text = [](std::string_view text) {
            std::fwrite(text.data(), 1, text.size(), stdout);
            std::fflush(stdout);
        };
    if (logits_)
        generate_options.on_logits = [this](std::span<const float> row) -> Status {
            if (std::fwrite(row.data(), sizeof(float), row.size(), logits_.get()) == row.size()) return {};
            return Error{fmt::format("cannot write '{}': {}", options_.logits, std::strerror(errno))};
        };
    sampler_->clear();
    for (const TokenId id : *ids) sampler_->accept(id);
    auto answer = generate(*engine_, tokenizer_, *sampler_, std::span(*ids).subspan(common), generate_options);
    if (!answer) return answer;
    evaluated_ = *ids;
    evaluated_.insert(evaluated_.end(), answer->ids.begin(), answer->ids.end());
    evaluated_.resize(std::min<std::size_t>(evaluated_.size(), engine_->position()));
    if (!options_.raw) conversation_.push_back({"assistant", answer->text});
    return answer;
}

int Runner::report(const Answer& answer, std::span<const TokenId> prompt) const {
    if (options_.json) {
        const nlohmann::json json{{"prompt_ids", std::vector<TokenId>(prompt.begin(), prompt.end())},
                                  {"ids", answer.ids},
                                  {"text", answer.text},
                                  {"ttft_s", answer.ttft_seconds},
                                  {"tokens", answer.ids.size()},
                                  {"tok_per_s", answer.tokens_per_second},
                                  {"device", device_->properties().name},
                                  {"launches", answer.launches}};
        fmt::print("{}\n", json.dump(2));
    } else {
        fmt::print("\n");
    }
    std::fflush(stdout);
    if (options_.report)
        fmt::print(stderr, "TTFT: {:.3f} s\nGenerated tokens: {}\nTokens per second: {:.2f} tok/s\n",
                   answer.ttft_seconds, answer.ids.size(), answer.tokens_per_second);
    return answer.unfinished.empty() ? exit_ok : fail(answer.unfinished);
}

Status Runner::chat() {
    fmt::print(stderr, "Ask a question; Ctrl-D ends the chat, Ctrl-C an answer.\n");
    std::string line;
    while (true) {
        fmt::print(stderr, "Q: ");
        if (!std::getline(std::cin, line)) break;
        if (line.empty()) continue;
        interrupted = false;
        if (!options_.multi_turn) conversation_.clear();
        fmt::print(stderr, "A: ");
        auto given = answer(line);
        if (!given) {
            // The question that failed is no part of the conversation.
            if (!conversation_.empty() && conversation_.back().role == "user") conversation_.pop_back();
            fmt::print(stderr, "error: {}\n", given.error().message);
            continue;
        }
        (void)report(*given, prompt_ids_);
    }
    fmt::print(stderr, "\n");
    return {};
}

int run(const RunnerOptions& options) {
    std::optional<std::string> prompt = options.prompt;
    const bool interactive = !prompt && isatty(STDIN_FILENO);
    if (!prompt && !interactive) {
        prompt.emplace(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>{});
        if (!options.raw && !prompt->empty() && prompt->back() == '\n') prompt->pop_back();
    }
    if (prompt && !is_valid_utf8(*prompt))
        return fail("the prompt is not valid UTF-8; convert it, for example with iconv");
    if (interactive && options.json) return fail("--json needs a prompt: -q or standard input");

    auto model = load_model(options.model);
    if (!model) return fail(model.error().message);
    auto tokenizer = Tokenizer::load(model->file);
    if (!tokenizer) return fail(tokenizer.error().message);
    if (tokenizer->size() > model->shape.vocab)
        return fail(fmt::format("'{}': the tokenizer has {} tokens, the model only {}", options.model,
                                tokenizer->size(), model->shape.vocab));
    std::optional<ChatFormat> format;
    if (!options.raw) {
        auto recognised = recognise_chat_format(*tokenizer);
        if (!recognised) return fail(recognised.error().message);
        format = std::move(*recognised);
    }
    Runner runner(options, std::move(*tokenizer), std::move(format));
    if (auto ok = runner.open_logits(); !ok) return fail(ok.error().message);
    if (auto ok = runner.open_engine(*model); !ok) return fail(ok.error().message);
    if (interactive) {
        auto ok = runner.chat();
        return ok ? exit_ok : fail(ok.error().message);
    }
    auto answer = runner.answer(*prompt);
    if (!answer) return fail(answer.error().message);
    return runner.report(*answer, runner.prompt_ids());
}

} // namespace
} // namespace ptxgen::tools

int main(int argc, char** argv) {
    int code = ptxgen::tools::exit_ok;
    const auto options = ptxgen::tools::parse_options(argc, argv, code);
    if (!options) return code;
    std::signal(SIGINT, [](int) {
        // A second Ctrl-C ends the program at once.
        if (ptxgen::tools::interrupted.exchange(true)) _exit(130);
    });
    return ptxgen::tools::run(*options);
}
