#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace ptxgen::tools {

/// Each adds its subcommand to the program; the callback sets the exit code.
using ExitCode = std::function<void(int)>;
void add_list(CLI::App& app, ExitCode exit_with);
void add_emit(CLI::App& app, ExitCode exit_with);
void add_verify(CLI::App& app, ExitCode exit_with);
void add_fmt(CLI::App& app, ExitCode exit_with);
void add_run(CLI::App& app, ExitCode exit_with);
void add_info(CLI::App& app, ExitCode exit_with);
void add_tokenize(CLI::App& app, ExitCode exit_with);

} // namespace ptxgen::tools
