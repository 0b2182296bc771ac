#pragma once

#include "runtime/inference/engine.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ptxgen::tools {

/// What the command line of ptxgen-run says.
struct RunnerOptions {
    std::string model;
    std::optional<std::string> prompt;
    std::string system;
    double temperature = 0.6, top_p = 0.95, min_p = 0.0, repeat_penalty = 1.0;
    std::uint32_t top_k = 0;
    std::uint64_t seed = 0;
    bool seed_given = false;
    bool multi_turn = true, reasoning = true, report = true;
    std::vector<std::string> stop;
    std::uint32_t max_tokens = 0; ///< 0: until the end of the text or the context
    std::uint32_t context = 0;
    std::string device = "auto";
    int gpu = 0;
    unsigned threads = 0;
    bool checks = false;
    EngineOptions engine; ///< kind, activations, policy and scheduler; the rest by default
    std::string kv;       ///< empty: f32 on the emulator, f16 on a GPU
    bool raw = false, json = false;
    std::string logits;
};

/// Reads the command line. Nothing: the caller exits with `code` (help, version, or wrong usage).
std::optional<RunnerOptions> parse_options(int argc, char** argv, int& code);

} // namespace ptxgen::tools
