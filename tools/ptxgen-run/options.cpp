#include "tools/ptxgen-run/options.hpp"

#include "tools/common/engine_options.hpp"
#include "tools/common/io.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>

namespace ptxgen::tools {

std::optional<RunnerOptions> parse_options(int argc, char** argv, int& code) {
    RunnerOptions o;
    CLI::App app{
        "ptxgen-run: answers questions with a GGUF model, on the GPU if there is one, else on the CPU emulator."};
    app.name("ptxgen-run");
    app.set_version_flag("--version", "ptxgen-run " PTXGEN_VERSION);
    int multi_turn = 1, reasoning = 1, report = 1;
    std::string prompt, check = "off", policy, scheduler;
    EngineWords words;
    app.add_option("model", o.model, "GGUF file (of a split model: its first part)")->required();
    auto* prompt_option =
        app.add_option("-q,--prompt", prompt, "Question; without it standard input if piped, else a chat");
    app.add_option("--system", o.system, "System message");
    app.add_option("-t,--temperature", o.temperature, "Sampling temperature, 0 is greedy (default 0.6)")
        ->check(CLI::Range(0.0, 100.0));
    app.add_option("-p,--top-p", o.top_p, "Smallest set of tokens with this probability (default 0.95)")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--top-k", o.top_k, "The k most probable tokens, 0 is all (default 0)");
    app.add_option("--min-p", o.min_p, "Tokens of at least this share of the best one's probability (default 0)")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--repeat-penalty", o.repeat_penalty, "Divides logits of tokens already there (default 1: off)")
        ->check(CLI::Range(0.01, 100.0));
    auto* seed = app.add_option("-s,--seed", o.seed, "Seed of the sampler (default: from the clock)");
    app.add_option("-m,--multi-turn", multi_turn, "Keep the conversation between questions, 0 or 1 (default 1)")
        ->check(CLI::Range(0, 1));
    app.add_option("-k,--reasoning", reasoning, "Let the model think first, where it can, 0 or 1 (default 1)")
        ->check(CLI::Range(0, 1));
    app.add_option("-r,--report", report, "Speed report on standard error, 0 or 1 (default 1)")
        ->check(CLI::Range(0, 1));
    app.add_option("--stop", o.stop, "Ends the answer where this text appears; may be given several times")
        ->allow_extra_args(false);
    app.add_option("-n,--tokens", o.max_tokens,
                   "Tokens to generate at most (default: until the model ends or the context is full)")
        ->check(CLI::Range(1u, 0xffffffffu));
    app.add_option("-c,--context", o.context, "Positions to hold (default: the model's, at most 4096)")
        ->check(CLI::Range(1u, 0xffffffffu));
    app.add_option("--device", o.device, "auto (default), cuda or emulator")
        ->check(CLI::IsMember({"auto", "cuda", "emulator"}));
    app.add_option("--gpu", o.gpu, "Number of the GPU (default 0)")->check(CLI::NonNegativeNumber);
    app.add_option("--threads", o.threads, "Host threads of the emulator (default 0: all cores)")
        ->check(CLI::Range(0, 1024));
    app.add_option("--check", check, "Checks of the emulator, on or off (default off)")
        ->check(CLI::IsMember({"on", "off"}));
    app.add_option("--kv", o.kv, "Key and value cache, f32 or f16 (default f32 on the emulator, f16 on a GPU)")
        ->check(CLI::IsMember({"f32", "f16"}));
    app.add_option("--engine", words.engine,
                   "graph: a kernel for each operation; persistent: many tokens in one launch; auto (default): the "
                   "latter on a GPU from sm_90 on, unless f32 or a policy is asked for")
        ->check(CLI::IsMember({"auto", "graph", "persistent"}));
    app.add_option(
           "--activations", words.activations,
           "What weights are multiplied with: f32, or q8_1, rounded to eight bits as llama.cpp does on the CPU; "
           "auto (default): q8_1 on a GPU, f32 on the emulator and under a policy")
        ->check(CLI::IsMember({"auto", "f32", "q8_1"}));
    auto* policy_option = app.add_option(
        "--policy", policy,
        "Policy under which the matrix kernels' CTAs go on with further tiles, such as \"max_steals(8) && "
        "every_nth(2)\" ('ptxgen list --policies'): the graph engine at f32 activations, the tokens stay the same");
    auto* scheduler_option = app.add_option("--scheduler", scheduler,
                                            "With --policy: clc (sm_100 and later), ticket, static or auto (default)");
    app.add_flag("--raw", o.raw, "No chat format: the prompt as it is, special tokens parsed");
    app.add_option("--logits", o.logits,
                   "Write the logits of every evaluated position, float32 rows of the vocabulary");
    app.add_flag("--json", o.json, "Standard output is one JSON object with ids, text and timing");
    app.footer("Examples:\n"
               "  ptxgen-run SmolLM2-135M-Instruct.Q4_1.gguf -q \"What is CUDA?\"\n"
               "  ptxgen-run gemma-3-270m.gguf --raw -q \"The capital of France is\" -t 0 -n 16\n"
               "  echo \"Tell me a joke\" | ptxgen-run model.gguf -s 1\n"
               "  ptxgen-run model.gguf                   # a chat; Ctrl-D ends it\n\n"
               "Exit codes: 0 success, 1 error, 2 wrong usage.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        code = app.exit(error) == 0 ? exit_ok : exit_usage;
        return std::nullopt;
    }
    if (policy_option->count() > 0) words.policy = policy;
    if (scheduler_option->count() > 0) words.scheduler = scheduler;
    auto engine = read_engine_words(words);
    if (!engine) {
        fmt::print(stderr, "{}\n", engine.error().message);
        code = exit_usage;
        return std::nullopt;
    }
    o.engine = std::move(*engine);
    if (prompt_option->count() > 0) o.prompt = prompt;
    o.seed_given = seed->count() > 0;
    o.multi_turn = multi_turn != 0;
    o.reasoning = reasoning != 0;
    o.report = report != 0;
    o.checks = check == "on";
    return o;
}

} // namespace ptxgen::tools
