#include "runtime/cuda/module_cache.hpp"
#include "runtime/inference/model.hpp"
#include "runtime/open_device.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"

#include <fmt/format.h>
#include <map>

namespace ptxgen::tools {
namespace {

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576.0); }

void print_device(runtime::Device& device) {
    const auto& p = device.properties();
    fmt::print("  device               {}\n", p.name);
    fmt::print("  driver               {}\n", p.driver);
    fmt::print("  target               {}\n", to_string(p.target));
    fmt::print("  PTX version          up to {}\n", to_string(p.ptx_version));
    fmt::print("  multiprocessors      {}\n", p.multiprocessors);
    fmt::print("  shared memory        {} bytes per block, {} with opt-in\n", p.shared_bytes_per_block,
               p.shared_bytes_per_block_optin);
    if (auto memory = device.memory_info())
        fmt::print("  memory               {} free of {}\n", mebibytes(memory->free_bytes),
                   mebibytes(memory->total_bytes));
}

int device_info() {
    fmt::print("CUDA\n");
    runtime::DeviceRequest request;
    request.choice = runtime::DeviceChoice::cuda;
    if (auto cuda = runtime::open_device(request))
        print_device(*cuda->device);
    else
        fmt::print("  none: {}\n", cuda.error().message);
    if (const auto options = cuda::ModuleCacheOptions::from_environment()) {
        const auto stats = cuda::ModuleCache(*options).stats();
        fmt::print("  module cache         {}, {} entries, {} of at most {}\n", options->directory.string(),
                   stats.entries, mebibytes(stats.bytes), mebibytes(options->max_bytes));
    } else {
        fmt::print("  module cache         off\n");
    }
    fmt::print("emulator\n");
    request.choice = runtime::DeviceChoice::emulator;
    if (auto emulator = runtime::open_device(request))
        print_device(*emulator->device);
    else
        fmt::print("  none: {}\n", emulator.error().message);
    return exit_ok;
}

int model_info(const std::string& path) {
    auto model = load_model(path);
    if (!model) return fail(model.error().message);
    const auto& s = model->shape;
    fmt::print("{}\n", path);
    fmt::print("  architecture         {}\n", name(s.architecture));
    fmt::print("  layers               {}\n", s.layers);
    fmt::print("  hidden size          {}\n", s.hidden);
    fmt::print("  heads                {} of {}, {} for keys and values\n", s.heads, s.head_dim, s.kv_heads);
    fmt::print("  feed-forward size    {}\n", s.ffn);
    fmt::print("  vocabulary           {}{}\n", s.vocab, s.tied_output ? ", output tied to the embedding" : "");
    fmt::print("  context              {}\n", s.context);
    if (s.sliding_window > 0)
        fmt::print("  sliding window       {} positions, but in every layer number {}\n", s.sliding_window,
                   s.sliding_period);
    fmt::print("  rope                 {}, {} of {} elements, base {}\n",
               s.rope.kind == RopeKind::neox ? "NeoX" : "interleaved", s.rope.dim, s.head_dim, s.rope.base);
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> types;
    std::uint64_t total = 0;
    for (const auto& tensor : model->file.tensors()) {
        auto& [count, bytes] = types[std::string(name(tensor.type))];
        count++;
        bytes += tensor.bytes;
        total += tensor.bytes;
    }
    fmt::print("  tensors              {}, {}\n", model->file.tensors().size(), mebibytes(total));
    for (const auto& [type, sum] : types) fmt::print("    {:<18} {}, {}\n", type, sum.first, mebibytes(sum.second));
    return exit_ok;
}

} // namespace

void add_info(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("info", "Describe the devices of this machine, or a model");
    auto path = std::make_shared<std::string>();
    command->add_option("model", *path, "GGUF file (default: the devices)");
    command->footer("Examples:\n  ptxgen info\n  ptxgen info model.gguf");
    command->callback([=] { exit_with(path->empty() ? device_info() : model_info(*path)); });
}

} // namespace ptxgen::tools
