#include "tools/common/bench_emulator.hpp"
#include "tools/common/io.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

void add_emulator(CLI::App& app, int& code) {
    auto* command =
        app.add_subcommand("emulator", "Thread instructions per second of the emulator, with checks on and off");
    auto options = std::make_shared<EmulatorBenchOptions>();
    command->add_option("--threads", options->threads, "Host threads, 0 is all cores (default 1)")
        ->check(CLI::Range(0, 1024));
    command->add_option("--runs", options->runs, "Measured launches of each kernel (default 15)")
        ->check(CLI::Range(1, 10000));
    command->add_flag("--json", options->json, "JSON instead of a table");
    command->callback([options, &code] {
        std::string out, error;
        code = bench_emulator(*options, out, error);
        fmt::print("{}", out);
        if (!error.empty()) code = fail(error);
    });
}

} // namespace
} // namespace ptxgen::tools

int main(int argc, char** argv) {
    using namespace ptxgen::tools;
    CLI::App app{"ptxgen-bench: measures this machine and what ptxgen makes of it."};
    app.name("ptxgen-bench");
    app.require_subcommand(1);
    app.set_version_flag("--version", "ptxgen-bench " PTXGEN_VERSION);
    int code = exit_ok;
    add_emulator(app, code);
    app.footer("Example:\n  ptxgen-bench emulator\n\nExit codes: 0 success, 1 error, 2 wrong usage.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    return code;
}
