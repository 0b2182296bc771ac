#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"
#include "runtime/emulator/emulator.hpp"
#include "runtime/open_device.hpp"
#include "tools/common/dim3.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"
#include "tools/ptxgen/run_args.hpp"

#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

struct RunOptions {
    std::string file, kernel, grid, block, cluster, device = "emulator";
    std::uint32_t shared = 0, sms = 4, threads = 1;
    std::uint64_t seed = 1;
    int gpu = 0;
    bool cooperative = false;
    std::vector<std::string> args;
};

Result<std::unique_ptr<runtime::Device>> open(const RunOptions& options, const Module& module) {
    runtime::EmulatorOptions emulator;
    if (module.target) emulator.target = *module.target;
    if (module.version) emulator.ptx_version = std::max(emulator.ptx_version, *module.version);
    emulator.multiprocessors = options.sms;
    emulator.threads = options.threads;
    emulator.seed = options.seed;
    emulator.checks = true;
    if (options.device == "emulator") return std::unique_ptr<runtime::Device>(runtime::create_emulator(emulator));
    runtime::DeviceRequest request;
    request.choice = options.device == "cuda" ? runtime::DeviceChoice::cuda : runtime::DeviceChoice::automatic;
    request.gpu = options.gpu;
    request.emulator = emulator;
    auto opened = runtime::open_device(request);
    if (!opened) return std::move(opened).error();
    if (!opened->note.empty()) fmt::print(stderr, "note: {}\n", opened->note);
    return std::move(opened->device);
}

Status run(const RunOptions& options) {
    auto text = read_file(options.file);
    if (!text) return std::move(text).error();
    const auto [module_ir, diagnostics] = check_text(*text);
    if (!diagnostics.empty()) fmt::print(stderr, "{}", render(diagnostics, *text, options.file));
    if (has_errors(diagnostics)) return Error{fmt::format("'{}' has errors; nothing was launched", options.file)};

    const Function* function = module_ir.find_function(options.kernel);
    if (!function || !function->is_kernel) {
        std::vector<std::string> names;
        for (const auto& f : module_ir.functions)
            if (f.is_kernel) names.push_back(f.name);
        return Error{fmt::format("'{}' has no kernel '{}'; it has {}", options.file, options.kernel,
                                 names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")))};
    }
    std::vector<RunArg> args;
    for (const auto& argument : options.args) {
        auto arg = parse_run_arg(argument);
        if (!arg) return std::move(arg).error();
        args.push_back(std::move(*arg));
    }
    if (auto matched = match_parameters(*function, args); !matched) return matched;

    runtime::LaunchConfig config;
    for (auto [option, value, target] :
         {std::tuple{"--grid", &options.grid, &config.grid}, std::tuple{"--block", &options.block, &config.block}}) {
        auto dim = parse_dim3(option, *value);
        if (!dim) return std::move(dim).error();
        *target = *dim;
    }
    if (!options.cluster.empty()) {
        auto dim = parse_dim3("--cluster", options.cluster);
        if (!dim) return std::move(dim).error();
        config.cluster = *dim;
    }
    config.shared_bytes = options.shared;
    config.cooperative = options.cooperative;

    auto opened = open(options, module_ir);
    if (!opened) return std::move(opened).error();
    runtime::Device& device = **opened;
    auto module = device.load(*text);
    if (!module) return std::move(module).error();
    auto kernel = (*module)->kernel(options.kernel);
    if (!kernel) return std::move(kernel).error();

    std::vector<runtime::Buffer> buffers(args.size());
    std::vector<runtime::KernelArg> values;
    for (std::size_t i = 0; i < args.size(); i++) {
        if (!args[i].is_buffer) {
            values.emplace_back(args[i].bytes);
            continue;
        }
        auto buffer = device.allocate(args[i].bytes.size());
        if (!buffer) return std::move(buffer).error();
        buffers[i] = std::move(*buffer);
        if (auto copied =
                device.stream().copy_to_device(buffers[i].address(), args[i].bytes.data(), args[i].bytes.size());
            !copied)
            return copied;
        values.emplace_back(buffers[i].address());
    }
    if (auto launched = device.stream().launch(**kernel, config, std::span<const runtime::KernelArg>(values));
        !launched)
        return launched;
    if (auto done = device.stream().synchronize(); !done) return done;

    for (std::size_t i = 0; i < args.size(); i++) {
        if (args[i].save_to.empty()) continue;
        std::vector<std::byte> content(args[i].bytes.size());
        if (auto copied = device.stream().copy_to_host(content.data(), buffers[i].address(), content.size()); !copied)
            return copied;
        if (auto done = device.stream().synchronize(); !done) return done;
        if (args[i].save_to == "-") {
            fmt::print("{}\n", format_elements(args[i].type, content));
        } else if (auto written =
                       write_file(args[i].save_to, {reinterpret_cast<const char*>(content.data()), content.size()});
                   !written) {
            return written;
        }
    }
    return {};
}

} // namespace

void add_run(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("run", "Launch a kernel of a PTX file");
    auto options = std::make_shared<RunOptions>();
    command->add_option("file", options->file, "PTX file")->required();
    command->add_option("--kernel", options->kernel, "Name of the kernel")->required();
    command->add_option("--grid", options->grid, "CTAs: X[,Y,Z]")->required();
    command->add_option("--block", options->block, "Threads of a CTA: X[,Y,Z]")->required();
    command->add_option("--cluster", options->cluster, "CTAs of a cluster: X[,Y,Z]");
    command->add_option("--shared", options->shared, "Dynamic shared memory of a CTA in bytes");
    command->add_flag("--cooperative", options->cooperative, "All CTAs are resident at once, or the launch fails");
    command->add_option("--device", options->device, "emulator (default), cuda or auto")
        ->check(CLI::IsMember({"emulator", "cuda", "auto"}));
    command->add_option("--gpu", options->gpu, "Number of the GPU (default 0)")->check(CLI::NonNegativeNumber);
    command->add_option("--sms", options->sms, "Multiprocessors of the emulated device (default 4)")
        ->check(CLI::Range(1, 1024));
    command
        ->add_option("--threads", options->threads,
                     "Host threads of the emulator; 1 (default) is reproducible, 0 all cores")
        ->check(CLI::Range(0, 1024));
    command->add_option("--seed", options->seed, "Seed of the emulated schedule (default 1)");
    command->add_option("--arg", options->args, "One for each parameter, in order")->allow_extra_args(false);
    command->footer(
        "An argument is a scalar (u32=5, f32=1.5) or a buffer TYPE[COUNT]=CONTENT with CONTENT one of zero, iota,\n"
        "random:SEED, @FILE. '>FILE' behind it saves the buffer after the launch, '>-' prints it.\n"
        "The emulator presents a device of the file's target and checks bounds, alignment, initialisation and\n"
        "barriers; a finding ends the run with exit code 1.\n\n"
        "Example:\n  ptxgen run axpy.ptx --kernel axpy --grid 4 --block 256 \\\n"
        "      --arg u32=1024 --arg f32=2 --arg 'f32[1024]=iota' --arg 'f32[1024]=zero>-'");
    command->callback([=] {
        const auto status = run(*options);
        exit_with(status ? exit_ok : fail(status.error().message));
    });
}

} // namespace ptxgen::tools
