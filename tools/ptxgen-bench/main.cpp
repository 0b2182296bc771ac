#include "tools/common/io.hpp"
#include "tools/ptxgen-bench/benchmarks.hpp"

int main(int argc, char** argv) {
    using namespace ptxgen::tools;
    CLI::App app{"ptxgen-bench: measures this machine and what ptxgen makes of it."};
    app.name("ptxgen-bench");
    app.require_subcommand(1);
    app.set_version_flag("--version", "ptxgen-bench " PTXGEN_VERSION);
    app.footer(
        "Examples:\n"
        "  ptxgen-bench stream\n"
        "  ptxgen-bench decode model.gguf --rival llama.cpp/bin\n"
        "  ptxgen-bench agree model.gguf\n"
        "  ptxgen-bench emulator --threads 1 --json emulator.json\n\n"
        "Exit codes: 0 success, 1 error, 2 wrong usage. 'ptxgen-bench BENCHMARK --help' explains one benchmark.");
    int code = exit_ok;
    const auto exit_with = [&code](int value) { code = value; };
    add_stream(app, exit_with);
    add_gemv(app, exit_with);
    add_decode(app, exit_with);
    add_barrier(app, exit_with);
    add_policy(app, exit_with);
    add_agree(app, exit_with);
    add_synth(app, exit_with);
    add_rival_logits(app, exit_with);
    add_emulator(app, exit_with);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    return code;
}
