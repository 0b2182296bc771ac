#include "runtime/inference/engine.hpp"
#include "runtime/inference/persistent_engine.hpp"
#include "runtime/inference/random.hpp"
#include "tools/common/engine_options.hpp"
#include "tools/ptxgen-bench/measure.hpp"
#include "tools/ptxgen-bench/rival.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <vector>

namespace ptxgen::tools {
namespace {

struct DecodeOptions {
    std::string model, policy, scheduler, kv, rival;
    EngineWords words;
    EngineOptions engine; ///< what the words say
    PersistentOptions persistent;
    std::vector<std::uint32_t> in_flight;
    std::optional<std::uint32_t> tokens, prompt_tokens;
    std::vector<std::uint32_t> fills;
    bool ceiling = true;
    bool profile = false;
};

/// What a run measures. The emulator gets less: it is slow.
struct Plan {
    std::uint32_t tokens, prompt_tokens;
    std::vector<std::uint32_t> fills; ///< positions in the cache before the tokens
    std::uint32_t context() const {
        return std::max(*std::max_element(fills.begin(), fills.end()) + tokens, prompt_tokens);
    }
};

Plan plan_for(const DecodeOptions& options, bool on_gpu) {
    Plan plan{options.tokens.value_or(on_gpu ? 128 : 4), options.prompt_tokens.value_or(on_gpu ? 512 : 16),
              options.fills};
    if (plan.fills.empty()) plan.fills = on_gpu ? std::vector<std::uint32_t>{0, 4096} : std::vector<std::uint32_t>{0};
    return plan;
}

/// What is timed: an engine of ours, or the rival.
class Subject {
public:
    virtual ~Subject() = default;
    virtual Status append(std::span<const TokenId> ids) = 0;
    virtual Status rewind(std::uint32_t position) = 0;
    /// Decodes `count` tokens, one at a time, greedily or (the rival) whatever comes.
    virtual Status decode(std::uint32_t count) = 0;
};

class OurEngine final : public Subject {
public:
    explicit OurEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

    Status append(std::span<const TokenId> ids) override {
        const auto logits = engine_->evaluate(ids);
        return logits ? Status{} : Status{logits.error()};
    }
    Status rewind(std::uint32_t position) override { return engine_->rewind(position); }
    Status decode(std::uint32_t count) override {
        const auto drawn = engine_->generate(1, count, {}, [](TokenId) { return true; });
        if (!drawn) return drawn.error();
        if (*drawn == count) return {};
        return Error{fmt::format("the engine drew {} tokens instead of {}", *drawn, count)};
    }

private:
    std::unique_ptr<Engine> engine_;
};

class RivalEngine final : public Subject {
public:
    explicit RivalEngine(Rival& rival) : rival_(rival) {}

    Status append(std::span<const TokenId> ids) override {
        constexpr std::size_t most = 2048;
        for (; !ids.empty(); ids = ids.subspan(std::min(most, ids.size())))
            if (auto ok = rival_.evaluate(ids.first(std::min(most, ids.size()))); !ok) return ok;
        return {};
    }
    Status rewind(std::uint32_t position) override { return rival_.rewind(position); }
    Status decode(std::uint32_t count) override {
        for (std::uint32_t i = 0; i < count; i++) {
            const TokenId id[] = {static_cast<TokenId>(random_.below(rival_.vocab()))};
            if (auto ok = rival_.evaluate(id); !ok) return ok;
        }
        return {};
    }

private:
    Rival& rival_;
    Random random_{1};
};

std::vector<TokenId> random_ids(std::uint32_t vocab, std::uint32_t count) {
    Random random(count);
    std::vector<TokenId> ids;
    for (std::uint32_t i = 0; i < count; i++) ids.push_back(static_cast<TokenId>(random.below(vocab)));
    return ids;
}

/// Bytes of weights that decoding a token reads: all but an embedding that is not the output matrix too.
std::uint64_t weight_bytes(const Model& model) {
    std::uint64_t bytes = 0;
    for (const auto& tensor : model.file.tensors())
        if (model.shape.tied_output || &tensor != model.token_embd) bytes += tensor.bytes;
    return bytes;
}

/// Bytes of keys and values that a token reads, on average over `tokens` of them from position `fill` on.
double cache_bytes(const ModelShape& shape, std::uint32_t element_bytes, std::uint32_t fill, std::uint32_t tokens) {
    double bytes = 0;
    for (std::uint32_t layer = 0; layer < shape.layers; layer++)
        for (std::uint32_t t = 0; t < tokens; t++) {
            std::uint32_t seen = fill + t + 1;
            if (shape.is_sliding(layer)) seen = std::min(seen, shape.sliding_window);
            bytes += 2.0 * shape.kv_heads * shape.head_dim * element_bytes * seen / tokens;
        }
    return bytes;
}

Result<Timing> time_on_host(const CommonOptions& options, const std::function<Status()>& prepare,
                            const std::function<Status()>& work) {
    std::vector<double> times;
    for (unsigned run = 0; run < options.warm_up + options.runs; run++) {
        if (auto ok = prepare(); !ok) return ok.error();
        const auto start = std::chrono::steady_clock::now();
        if (auto ok = work(); !ok) return ok.error();
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
        if (run >= options.warm_up) times.push_back(took.count());
    }
    return summarise(std::move(times));
}

class DecodeBench {
public:
    DecodeBench(Bench& bench, const Plan& plan, const Model& model, bool f16)
        : bench_(bench), plan_(plan), model_(model), f16_(f16) {}

    Status measure_ceiling_first() {
        const auto ceiling = measure_ceiling(bench_);
        if (!ceiling) return ceiling.error();
        ceiling_ = ceiling->gb_per_s;
        return {};
    }

    Status measure(std::string_view name, Subject& subject) {
        if (plan_.prompt_tokens > 0)
            if (auto ok = measure_prompt(name, subject); !ok) return ok;
        for (std::size_t i = 0; i < plan_.fills.size(); i++)
            if (auto ok = measure_decode(name, subject, i); !ok) return ok;
        return {};
    }

private:
    Status measure_prompt(std::string_view name, Subject& subject) {
        const auto ids = random_ids(model_.shape.vocab, plan_.prompt_tokens);
        const auto timing = time_on_host(
            bench_.options, [&] { return subject.rewind(0); }, [&] { return subject.append(ids); });
        if (!timing) return timing.error();
        bench_.report.add({{"engine", name},
                           {"prompt_tokens", ids.size()},
                           {"ttft_ms", timing->median * 1e-3},
                           {"ttft_ms_min", timing->min * 1e-3},
                           {"ttft_ms_max", timing->max * 1e-3},
                           {"prompt_tok_per_s", static_cast<double>(ids.size()) / timing->median * 1e6}});
        return {};
    }

    Status measure_decode(std::string_view name, Subject& subject, std::size_t index) {
        const std::uint32_t fill = plan_.fills[index];
        if (auto ok = subject.rewind(0); !ok) return ok;
        if (fill > 0)
            if (auto ok = subject.append(random_ids(model_.shape.vocab, fill)); !ok) return ok;
        const auto timing = time_on_host(
            bench_.options, [&] { return subject.rewind(fill); }, [&] { return subject.decode(plan_.tokens); });
        if (!timing) return timing.error();
        const double per_token = timing->median / plan_.tokens; // microseconds
        const double bytes =
            static_cast<double>(weight_bytes(model_)) + cache_bytes(model_.shape, f16_ ? 2 : 4, fill, plan_.tokens);
        const double rate = 1e6 / per_token;
        Report::Row row{{"engine", name},
                        {"context", fill},
                        {"tokens", plan_.tokens},
                        {"tok_per_s", rate},
                        {"tok_per_s_min", plan_.tokens / timing->max * 1e6},
                        {"tok_per_s_max", plan_.tokens / timing->min * 1e6},
                        {"GB_per_token", bytes * 1e-9},
                        {"GB_per_s", bytes * rate * 1e-9},
                        {"share_of_ceiling", ceiling_ > 0 ? nlohmann::ordered_json(bytes * rate * 1e-9 / ceiling_)
                                                          : nlohmann::ordered_json()}};
        // The first subject is ours.
        if (rates_.size() == index) rates_.push_back(rate);
        row.emplace_back("ours_to_this", rates_[index] / rate);
        bench_.report.add(row);
        return {};
    }

    Bench& bench_;
    const Plan& plan_;
    const Model& model_;
    bool f16_;
    double ceiling_ = 0;        ///< GB/s; 0: not measured
    std::vector<double> rates_; ///< our tokens a second, by fill
};

Status bench_decode(Bench& bench, const DecodeOptions& options) {
    // What the rival lacks is known before minutes go by.
    std::unique_ptr<Rival> rival;
    if (!options.rival.empty()) {
        auto opened = Rival::open(options.rival);
        if (!opened) return opened.error();
        rival = std::move(*opened);
    }
    const EngineWords& words = options.words;
    const auto model = load_model(options.model);
    if (!model) return model.error();
    const bool on_gpu = !bench.device.properties().is_emulator;
    const bool f16 = options.kv.empty() ? on_gpu : options.kv == "f16";

    EngineOptions engine_options = options.engine;
    engine_options.kv = f16 ? KvType::f16 : KvType::f32;
    const Plan plan = plan_for(options, on_gpu);
    engine_options.context = plan.context();
    std::uint32_t note = 0;
    std::string profile;
    if (options.profile) engine_options.on_profile = [&](std::string_view table) { profile = table; };
    engine_options.on_note = [&](std::string_view text) { bench.report.note(fmt::format("note {}", ++note), text); };

    bench.report.note("model", options.model);
    bench.report.note("weights_GB_per_token", static_cast<double>(weight_bytes(*model)) * 1e-9);
    bench.report.note("kv", f16 ? "f16" : "f32");
    DecodeBench decode(bench, plan, *model, f16);
    if (options.ceiling)
        if (auto ok = decode.measure_ceiling_first(); !ok) return ok;
    {
        auto engine = engine_options.kind == EngineKind::persistent
                          ? create_persistent_engine(bench.device, *model, engine_options, options.persistent)
                          : create_engine(bench.device, *model, engine_options);
        if (!engine) return engine.error();
        OurEngine ours(std::move(*engine));
        const bool q8_1 = on_gpu && !engine_options.policy;
        const std::string activations = words.activations != "auto" ? words.activations : q8_1 ? "q8_1" : "f32";
        std::string name = fmt::format("{} {}", words.engine, activations);
        if (engine_options.policy) name += fmt::format(" {}", engine_options.policy->text());
        if (auto ok = decode.measure(name, ours); !ok) return ok;
        if (!profile.empty()) bench.report.note("profile", "\n" + profile);
    }
    if (!rival) return {};
    Rival::Options rival_options;
    rival_options.context = engine_options.context;
    rival_options.kv_f16 = f16;
    rival_options.gpu = on_gpu;
    rival_options.flash_attention = on_gpu || f16;
    if (auto ok = rival->load(options.model, rival_options); !ok) return ok;
    bench.report.note("rival", fmt::format("{} on {}", rival->version(), rival->device()));
    RivalEngine theirs(*rival);
    return decode.measure(rival->version(), theirs);
}

} // namespace

void add_decode(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<DecodeOptions>();
    auto* command =
        add_benchmark(app, exit_with, "decode", "Tokens a second of a model, and of llama.cpp on the same file",
                      [options](Bench& bench) { return bench_decode(bench, *options); });
    command->add_option("model", options->model, "GGUF file; needs no vocabulary")->required();
    command->add_option("--tokens", options->tokens, "Tokens decoded in a run (default 128; 4 on the emulator)")
        ->check(CLI::Range(1, 1 << 20));
    command
        ->add_option(
            "--prompt-tokens", options->prompt_tokens,
            "Tokens of the prompt whose time to the first token is measured, 0: none (default 512; 16 on the emulator)")
        ->check(CLI::Range(0, 1 << 20));
    command
        ->add_option(
            "--context-fill", options->fills,
            "Positions that the cache holds before the tokens, one or several (default 0,4096; 0 on the emulator)")
        ->delimiter(',')
        ->check(CLI::Range(0, 1 << 20));
    command->add_option("--engine", options->words.engine, "auto, graph or persistent (default auto)")
        ->check(CLI::IsMember({"auto", "graph", "persistent"}));
    command->add_option("--activations", options->words.activations, "auto, f32 or q8_1 (default auto)")
        ->check(CLI::IsMember({"auto", "f32", "q8_1"}));
    auto* policy = command->add_option("--policy", options->policy,
                                       "Policy of the matrix kernels, such as \"max_steals(8)\": the graph engine at "
                                       "f32 activations");
    auto* scheduler = command->add_option("--scheduler", options->scheduler,
                                          "With --policy: clc (sm_100 and later), ticket, static or auto (default)");
    command
        ->add_option("--kv", options->kv, "Type of the cache, f16 or f32 (default f16 on a GPU, f32 on the emulator)")
        ->check(CLI::IsMember({"f16", "f32"}));
    command->add_option("--rival", options->rival, "Folder with llama.cpp's shared libraries: time it too")
        ->check(CLI::ExistingDirectory);
    command->add_flag("--profile", options->profile,
                      "Also print where a token of the persistent engine spends its time, a little slower");
    command
        ->add_option("--in-flight", options->in_flight,
                     "Persistent engine: stages of weights on their way at once in a CTA that multiplies, and in one "
                     "that waits for others (default: a round of 16 units, and 1)")
        ->delimiter(',')
        ->expected(2)
        ->check(CLI::Range(1, 64));
    command
        ->add_option(
            "--stage-units", options->persistent.stage_units,
            "Persistent engine: units of 16 rows and 256 columns in a stage (default 8, or 4 where products are short)")
        ->check(CLI::IsMember({1, 2, 4, 8, 16}));
    command->add_flag("!--no-ceiling", options->ceiling, "Leave out the read ceiling and the share of it");
    command->parse_complete_callback([=] {
        if (policy->count() > 0) options->words.policy = options->policy;
        if (scheduler->count() > 0) options->words.scheduler = options->scheduler;
        auto engine = read_engine_words(options->words);
        if (!engine) throw CLI::ValidationError(engine.error().message);
        options->engine = std::move(*engine);
        const bool tuned = !options->in_flight.empty() || options->persistent.stage_units;
        if (tuned && options->engine.kind != EngineKind::persistent)
            throw CLI::ValidationError("--in-flight and --stage-units need --engine persistent");
        if (!options->in_flight.empty()) {
            options->persistent.busy_stages = options->in_flight[0];
            options->persistent.waiting_stages = options->in_flight[1];
        }
    });
    command->footer(
        "A run decodes all of the tokens; its median, slowest and fastest rates are reported. Bytes are those of\n"
        "the weights and of the keys and values that a token reads.\n"
        "Example:\n  ptxgen-bench decode model.gguf --context-fill 0,4096 --rival llama.cpp/bin --json decode.json");
}

} // namespace ptxgen::tools
