#include "ptxgen/verify/verify.hpp"
#include "ptxgen/text/text.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ptxgen::tools {

namespace {

int verify_file(const std::string& path, bool json) {
    auto text = read_file(path);
    if (!text) return fail(text.error().message);
    const auto diagnostics = check_text(*text).diagnostics;
    if (json) {
        auto all = nlohmann::json::array();
        for (const auto& d : diagnostics)
            all.push_back({{"line", d.location.line},
                           {"column", d.location.column},
                           {"severity", d.severity == Severity::error ? "error" : "warning"},
                           {"rule", d.rule},
                           {"message", d.message}});
        fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    } else {
        fmt::print("{}", render(diagnostics, *text, path));
        if (diagnostics.empty()) fmt::print("{}: no findings\n", path);
    }
    return has_errors(diagnostics) ? exit_error : exit_ok;
}

int format_file(const std::string& path, const std::string& output) {
    auto text = read_file(path);
    if (!text) return fail(text.error().message);
    const auto parsed = parse(*text);
    if (!parsed.ok()) {
        fmt::print(stderr, "{}", render(parsed.diagnostics, *text, path));
        return exit_error;
    }
    auto printed = print(parsed.module);
    if (!printed) return fail(printed.error().message);
    if (auto written = write_file(output, *printed); !written) return fail(written.error().message);
    return exit_ok;
}

} // namespace

void add_verify(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("verify", "Report all mistakes in a PTX file");
    auto path = std::make_shared<std::string>();
    auto json = std::make_shared<bool>(false);
    command->add_option("file", *path, "PTX file")->required();
    command->add_flag("--json", *json, "An array of objects with line, column, severity, rule and message");
    command->footer("Exit code 1 if there is an error, 0 with warnings alone.\n\nExample:\n  ptxgen verify kernel.ptx");
    command->callback([=] { exit_with(verify_file(*path, *json)); });
}

void add_fmt(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("fmt", "Parse a PTX file and print it in one style");
    auto path = std::make_shared<std::string>();
    auto output = std::make_shared<std::string>("-");
    command->add_option("file", *path, "PTX file")->required();
    command->add_option("-o,--output", *output, "File to write (default: standard output)");
    command->footer("Example:\n  ptxgen fmt kernel.ptx -o kernel.ptx");
    command->callback([=] { exit_with(format_file(*path, *output)); });
}

} // namespace ptxgen::tools
