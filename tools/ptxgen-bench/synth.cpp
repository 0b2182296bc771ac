#include "tools/common/io.hpp"
#include "tools/ptxgen-bench/benchmarks.hpp"
#include "tools/ptxgen-bench/synth_model.hpp"

#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <vector>

namespace ptxgen::tools {
namespace {

struct SynthOptions {
    std::string shape, quant = "q4_k_m", file;
};

Status synth(const SynthOptions& options) {
    for (const SynthShape& shape : synth_shapes()) {
        if (shape.name != options.shape) continue;
        const auto start = std::chrono::steady_clock::now();
        const auto written = write_synthetic_model(shape, options.file);
        if (!written) return written.error();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        fmt::print("{}: {}, {:.3f} GB, {:.4f} GB read for a token, written in {:.1f} s\n", options.file, shape.name,
                   static_cast<double>(written->file_bytes) * 1e-9,
                   static_cast<double>(written->bytes_per_token) * 1e-9, took.count());
        return {};
    }
    return Error{fmt::format("no shape '{}'", options.shape)}; // the command line lets no other pass
}

} // namespace

void add_synth(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<SynthOptions>();
    auto* command =
        app.add_subcommand("synth", "Write a GGUF model with random weights in the shape of a published one");
    std::vector<std::string> shapes;
    for (const SynthShape& shape : synth_shapes()) shapes.emplace_back(shape.name);
    command->add_option("--shape", options->shape, "Model whose dimensions it has")
        ->required()
        ->check(CLI::IsMember(shapes));
    command->add_option("--quant", options->quant, "Mix of tensor types (default q4_k_m)")
        ->check(CLI::IsMember({"q4_k_m"}));
    command->add_option("file", options->file, "File to write")->required();
    command->footer("The file has no vocabulary: for ptxgen-bench and llama.cpp, not for ptxgen-run.\n"
                    "Example:\n  ptxgen-bench synth --shape qwen3-8b --quant q4_k_m /tmp/qwen3-8b.gguf");
    command->callback([options, exit_with] {
        if (auto ok = synth(*options); !ok) exit_with(fail(ok.error().message));
    });
}

} // namespace ptxgen::tools
