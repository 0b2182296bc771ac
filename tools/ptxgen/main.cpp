#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"

#include <fmt/format.h>

int main(int argc, char** argv) {
    using namespace ptxgen::tools;
    CLI::App app{"ptxgen: emits, verifies, formats and runs PTX."};
    app.name("ptxgen");
    app.require_subcommand(1);
    app.set_version_flag("--version", "ptxgen " PTXGEN_VERSION);
    app.footer("Examples:\n"
               "  ptxgen list\n"
               "  ptxgen emit gemv_q4_k --rows 4096 --cols 4096 --target sm_90 -o gemv.ptx\n"
               "  ptxgen verify gemv.ptx\n"
               "  ptxgen run axpy.ptx --kernel axpy --grid 4 --block 256 \\\n"
               "      --arg u32=1024 --arg f32=2 --arg 'f32[1024]=iota' --arg 'f32[1024]=zero>-'\n"
               "  ptxgen info model.gguf\n\n"
               "Exit codes: 0 success, 1 error, 2 wrong usage. 'ptxgen COMMAND --help' explains one command.");
    int code = exit_ok;
    const auto exit_with = [&code](int value) { code = value; };
    add_list(app, exit_with);
    add_emit(app, exit_with);
    add_verify(app, exit_with);
    add_fmt(app, exit_with);
    add_run(app, exit_with);
    add_info(app, exit_with);
    add_tokenize(app, exit_with);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    return code;
}
