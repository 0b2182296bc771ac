#include "tools/common/io.hpp"
#include "tools/ptxgen-bench/benchmarks.hpp"
#include "tools/ptxgen-bench/rival.hpp"

#include <fmt/format.h>
#include <iostream>
#include <memory>
#include <vector>

namespace ptxgen::tools {
namespace {

struct RivalLogitsOptions {
    std::string model, rival, output;
    unsigned threads = 0;
};

Status rival_logits(const RivalLogitsOptions& options) {
    std::vector<std::int32_t> ids;
    for (std::int32_t id = 0; std::cin >> id;) ids.push_back(id);
    if (!std::cin.eof()) return Error{"standard input must hold token ids, in decimal"};
    if (ids.empty()) return Error{"no token ids on standard input"};
    auto rival = Rival::open(options.rival);
    if (!rival) return rival.error();
    Rival::Options rival_options;
    rival_options.context = static_cast<std::uint32_t>(ids.size());
    rival_options.kv_f16 = rival_options.gpu = rival_options.flash_attention = false;
    rival_options.threads = options.threads;
    if (auto ok = (*rival)->load(options.model, rival_options); !ok) return ok;
    std::string rows;
    for (const std::int32_t id : ids) {
        if (auto ok = (*rival)->evaluate({&id, 1}); !ok) return ok;
        const auto logits = (*rival)->logits();
        rows.append(reinterpret_cast<const char*>(logits.data()), logits.size_bytes());
    }
    return write_file(options.output, rows);
}

} // namespace

void add_rival_logits(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<RivalLogitsOptions>();
    auto* command = app.add_subcommand("rival-logits",
                                       "Logits that llama.cpp computes on the CPU, for token ids on standard input");
    command->add_option("model", options->model, "GGUF file")->required();
    command->add_option("--rival", options->rival, "Folder with llama.cpp's shared libraries")
        ->required()
        ->check(CLI::ExistingDirectory);
    command->add_option("-o,--output", options->output, "File for f32 [ids][vocabulary]; -: standard output")
        ->required();
    command->add_option("--threads", options->threads, "Host threads, 0 is all cores (default 0)");
    command->footer(
        "The cache is f32, and attention is computed without flash attention.\n"
        "Example:\n  echo 1 9690 198 | ptxgen-bench rival-logits model.gguf --rival llama.cpp/bin -o logits.f32");
    command->callback([options, exit_with] {
        if (auto ok = rival_logits(*options); !ok) exit_with(fail(ok.error().message));
    });
}

} // namespace ptxgen::tools
