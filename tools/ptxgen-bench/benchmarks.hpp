#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace ptxgen::tools {

using ExitWith = std::function<void(int)>;

/// Each adds one benchmark: its subcommand with options and what runs when it is given.
void add_agree(CLI::App& app, const ExitWith& exit_with);
void add_barrier(CLI::App& app, const ExitWith& exit_with);
void add_decode(CLI::App& app, const ExitWith& exit_with);
void add_emulator(CLI::App& app, const ExitWith& exit_with);
void add_gemv(CLI::App& app, const ExitWith& exit_with);
void add_rival_logits(CLI::App& app, const ExitWith& exit_with);
void add_policy(CLI::App& app, const ExitWith& exit_with);
void add_stream(CLI::App& app, const ExitWith& exit_with);
void add_synth(CLI::App& app, const ExitWith& exit_with);

} // namespace ptxgen::tools
