#include "runtime/inference/engine.hpp"
#include "runtime/inference/random.hpp"
#include "tools/common/agreement.hpp"
#include "tools/ptxgen-bench/frame.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <vector>

namespace ptxgen::tools {
namespace {

struct AgreeOptions {
    std::string model, kv, ids = "random";
    std::optional<std::uint32_t> tokens;
    std::uint32_t context = 0;
    std::uint64_t seed = 1;
    double bound = 1e-2;
    std::string graph_activations = "q8_1";
};

/// Positions whose logits are on the host at once: 128 rows of a vocabulary of 262,144 are 134 MB.
constexpr std::uint32_t block_positions = 128;

/// Evaluates the same ids by both engines, block by block, each engine with weights and a cache of its own.
class AgreeRun {
public:
    AgreeRun(Engine& graph, Engine& persistent, std::uint32_t vocab, const AgreeOptions& options)
        : graph_(graph), persistent_(persistent), vocab_(vocab), greedy_(options.ids == "greedy"),
          random_(options.seed), agreement_(options.bound) {}

    Status evaluate(std::uint32_t tokens) {
        while (agreement_.positions() < tokens) {
            if (auto ok = start_sequence(); !ok) return ok;
            auto left =
                static_cast<std::uint32_t>(std::min<std::uint64_t>(graph_.context(), tokens - agreement_.positions()));
            for (; left > 0; left -= std::min(left, block_positions))
                if (auto ok = evaluate_block(std::min(left, block_positions)); !ok) return ok;
        }
        return {};
    }

    const Agreement& agreement() const { return agreement_; }
    std::uint32_t sequences() const { return sequences_; }
    /// Where the position of this number in the run is.
    std::string place(std::uint64_t number) const {
        return fmt::format("position {} of sequence {}", number % graph_.context(), number / graph_.context());
    }

private:
    Status start_sequence() {
        sequences_++;
        drawn_.reset();
        if (auto ok = graph_.rewind(0); !ok) return ok;
        return persistent_.rewind(0);
    }

    /// A random id, or what the graph engine drew behind the one before.
    TokenId next_id() { return greedy_ && drawn_ ? *drawn_ : static_cast<TokenId>(random_.below(vocab_)); }

    /// The graph engine takes one token at a time, as it does when it decodes.
    Status evaluate_block(std::uint32_t positions) {
        ids_.clear();
        expected_.clear();
        while (ids_.size() < positions) {
            ids_.push_back(next_id());
            const auto logits = graph_.evaluate(std::span(ids_).last(1));
            if (!logits) return logits.error();
            expected_.insert(expected_.end(), logits->begin(), logits->end());
            drawn_ = static_cast<TokenId>(std::max_element(logits->begin(), logits->end()) - logits->begin());
        }
        std::size_t row = 0;
        return persistent_.evaluate_all(ids_, [&](std::span<const float> found) -> Status {
            const auto expected = std::span(expected_).subspan(row++ * vocab_, vocab_);
            const std::uint64_t number = agreement_.positions();
            if (auto ok = agreement_.add(expected, found); !ok)
                return Error{fmt::format("{}: {}", place(number), ok.error().message)};
            return {};
        });
    }

    Engine& graph_;
    Engine& persistent_;
    std::uint32_t vocab_;
    bool greedy_;
    Random random_;
    Agreement agreement_;
    std::uint32_t sequences_ = 0;
    std::optional<TokenId> drawn_;
    std::vector<TokenId> ids_;
    std::vector<float> expected_; ///< [ids_][vocab_]
};

Error disagreement(const AgreeRun& run, double bound) {
    const Agreement& agreement = run.agreement();
    std::string text = "the engines disagree";
    if (agreement.worst_ratio() > bound)
        text += fmt::format("; max |difference| / max |logit| is {:.3e} at {}, above {:.3g}", agreement.worst_ratio(),
                            run.place(agreement.worst_position()), bound);
    if (agreement.other_argmax_beyond_bound() > 0)
        text += fmt::format("; another argmax at {} positions where the graph engine's gap is above {:.3g} of max "
                            "|logit|, first at {}",
                            agreement.other_argmax_beyond_bound(), bound, run.place(agreement.first_beyond_bound()));
    return Error{text};
}

Status bench_agree(Bench& bench, const AgreeOptions& options) {
    const auto model = load_model(options.model);
    if (!model) return model.error();
    const bool on_gpu = !bench.device.properties().is_emulator;
    const bool f16 = options.kv.empty() ? on_gpu : options.kv == "f16";
    const std::uint32_t tokens = options.tokens.value_or(on_gpu ? 10000 : 32);

    EngineOptions engine_options;
    const bool exact = options.graph_activations == "f32";
    engine_options.activations = exact ? ActivationFormat::f32 : ActivationFormat::q8_1;
    engine_options.kv = f16 ? KvType::f16 : KvType::f32;
    engine_options.context = options.context;
    engine_options.kind = EngineKind::graph;
    const auto graph = create_engine(bench.device, *model, engine_options);
    if (!graph) return graph.error();
    engine_options.kind = EngineKind::persistent;
    engine_options.activations = ActivationFormat::q8_1;
    const auto persistent = create_engine(bench.device, *model, engine_options);
    if (!persistent) return persistent.error();

    bench.report.note("model", options.model);
    bench.report.note("kv", f16 ? "f16" : "f32");
    bench.report.note("graph_activations", options.graph_activations);
    bench.report.note("ids", options.ids);
    bench.report.note("seed", options.seed);
    bench.report.note("context", (*graph)->context());
    bench.report.note("bound", options.bound);
    const auto start = std::chrono::steady_clock::now();
    AgreeRun run(**graph, **persistent, model->shape.vocab, options);
    if (auto ok = run.evaluate(tokens); !ok) return ok;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;

    const Agreement& agreement = run.agreement();
    bench.report.note("seconds", took.count());
    bench.report.note("worst_at", run.place(agreement.worst_position()));
    bench.report.add({{"tokens", agreement.positions()},
                      {"sequences", run.sequences()},
                      {"max_difference", agreement.max_difference()},
                      {"max_logit", agreement.max_logit()},
                      {"worst_ratio", agreement.worst_ratio()},
                      {"other_argmax", agreement.other_argmax()},
                      {"other_argmax_beyond_bound", agreement.other_argmax_beyond_bound()},
                      {"share_equal", 1 - static_cast<double>(agreement.other_argmax()) / static_cast<double>(tokens)},
                      {"agree", agreement.holds()}});
    if (agreement.holds()) return {};
    // What was found is worth a file too.
    if (auto ok = bench.report.finish(); !ok) return ok;
    return disagreement(run, options.bound);
}

} // namespace

void add_agree(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<AgreeOptions>();
    auto* command =
        add_benchmark(app, exit_with, "agree", "Logits of the persistent engine against those of the graph engine",
                      [options](Bench& bench) { return bench_agree(bench, *options); });
    command->remove_option(command->get_option("--runs"));
    command->remove_option(command->get_option("--warm-up"));
    command->add_option("model", options->model, "GGUF file; needs no vocabulary")->required();
    command->add_option("--tokens", options->tokens, "Positions compared (default 10000; 32 on the emulator)")
        ->check(CLI::Range(1, 1 << 24));
    command
        ->add_option("--context", options->context,
                     "Positions of a sequence; more tokens are several sequences (default the model's, at most 4096)")
        ->check(CLI::Range(1, 1 << 20));
    command
        ->add_option("--ids", options->ids,
                     "random, or greedy: a random id, then what the graph engine draws (default random)")
        ->check(CLI::IsMember({"random", "greedy"}));
    command->add_option("--seed", options->seed, "Of the random ids (default 1)");
    command
        ->add_option("--kv", options->kv, "Type of the caches, f16 or f32 (default f16 on a GPU, f32 on the emulator)")
        ->check(CLI::IsMember({"f16", "f32"}));
    command
        ->add_option("--graph-activations", options->graph_activations,
                     "Of the graph engine: q8_1, or f32 to see what eight bits make of the logits (default q8_1)")
        ->check(CLI::IsMember({"q8_1", "f32"}));
    command->add_option("--bound", options->bound, "Largest difference, relative to max |logit| (default 0.01)")
        ->check(CLI::NonNegativeNumber);
    command->footer(
        "Both engines evaluate the same ids with activations at q8_1, the graph engine one token a time, the\n"
        "persistent engine in launches of several. Each has weights and a cache of its own on the device.\n"
        "Both round alike, so a difference of 0 is expected, and --bound 0 asks for it; anything else is an error of\n"
        "an engine or a race, even below the bound.\n"
        "worst_ratio is the largest of the positions' max |difference| / max |logit|; other_argmax_beyond_bound\n"
        "counts positions whose argmax differs though the graph engine's best logit exceeds the second best by more\n"
        "than the bound times max |logit|. A worst_ratio above the bound or such a position is an error, exit code 1.\n"
        "Example:\n  ptxgen-bench agree model.gguf --tokens 10000 --context 2048 --json agree.json");
}

} // namespace ptxgen::tools
