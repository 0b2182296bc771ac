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
    std::string file, kernel, grid, block, cluster, device = "emulator", schedule;
    std::uint32_t shared = 0, sms = 4, threads = 1, resident = 0;
    std::uint64_t seed = 1, schedules = 1;
    int gpu = 0;
    bool cooperative = false;
    std::vector<std::string> args;
};

/// One run of the kernel: in which order the emulator lets things happen.
struct Run {
    runtime::Schedule schedule = runtime::Schedule::in_order;
    std::uint64_t seed = 1;
};

std::string_view name_of(runtime::Schedule schedule) {
    switch (schedule) {
    case runtime::Schedule::in_order: return "in_order";
    case runtime::Schedule::random: return "random";
    case runtime::Schedule::adversarial: return "adversarial";
    }
    return "";
}

/// Run `number` of those that the options ask for: in order first, then random and adversarial in turn.
Run run_of(const RunOptions& options, std::uint64_t number) {
    for (const auto schedule : {runtime::Schedule::in_order, runtime::Schedule::random, runtime::Schedule::adversarial})
        if (options.schedule == name_of(schedule)) return {schedule, options.seed + number};
    if (number == 0) return {runtime::Schedule::in_order, options.seed};
    return {number % 2 ? runtime::Schedule::random : runtime::Schedule::adversarial, options.seed + number - 1};
}

/// What is launched, the same in every run.
struct Job {
    std::string text;
    Module module;
    std::vector<RunArg> args;
    runtime::LaunchConfig config;
};

Result<std::unique_ptr<runtime::Device>> open(const RunOptions& options, const Job& job, const Run& run) {
    runtime::EmulatorOptions emulator;
    if (job.module.target) emulator.target = *job.module.target;
    if (job.module.version) emulator.ptx_version = std::max(emulator.ptx_version, *job.module.version);
    emulator.multiprocessors = options.sms;
    emulator.threads = options.threads;
    emulator.schedule = run.schedule;
    emulator.seed = run.seed;
    emulator.resident = options.resident;
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

Result<Job> prepare(const RunOptions& options) {
    if (options.device != "emulator" && (options.schedules > 1 || options.resident || !options.schedule.empty()))
        return Error{fmt::format("--device {}: --resident, --schedule and --schedules are for the emulator; a GPU "
                                 "decides itself what runs when",
                                 options.device)};
    auto text = read_file(options.file);
    if (!text) return std::move(text).error();
    auto [module_ir, diagnostics] = check_text(*text);
    if (!diagnostics.empty()) fmt::print(stderr, "{}", render(diagnostics, *text, options.file));
    if (has_errors(diagnostics)) return Error{fmt::format("'{}' has errors; nothing was launched", options.file)};
    Job job;
    job.text = std::move(*text);
    job.module = std::move(module_ir);

    const Function* function = job.module.find_function(options.kernel);
    if (!function || !function->is_kernel) {
        std::vector<std::string> names;
        for (const auto& f : job.module.functions)
            if (f.is_kernel) names.push_back(f.name);
        return Error{fmt::format("'{}' has no kernel '{}'; it has {}", options.file, options.kernel,
                                 names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")))};
    }
    for (const auto& argument : options.args) {
        auto arg = parse_run_arg(argument);
        if (!arg) return std::move(arg).error();
        job.args.push_back(std::move(*arg));
    }
    if (auto matched = match_parameters(*function, job.args); !matched) return matched.error();

    for (auto [option, value, target] : {std::tuple{"--grid", &options.grid, &job.config.grid},
                                         std::tuple{"--block", &options.block, &job.config.block}}) {
        auto dim = parse_dim3(option, *value);
        if (!dim) return std::move(dim).error();
        *target = *dim;
    }
    if (!options.cluster.empty()) {
        auto dim = parse_dim3("--cluster", options.cluster);
        if (!dim) return std::move(dim).error();
        job.config.cluster = *dim;
    }
    job.config.shared_bytes = options.shared;
    job.config.cooperative = options.cooperative;
    return job;
}

/// Launches on a fresh device with fresh arguments; `save`: writes the buffers that are to be saved.
Status run_once(const RunOptions& options, const Job& job, const Run& run, bool save) {
    auto opened = open(options, job, run);
    if (!opened) return std::move(opened).error();
    runtime::Device& device = **opened;
    auto module = device.load(job.text);
    if (!module) return std::move(module).error();
    auto kernel = (*module)->kernel(options.kernel);
    if (!kernel) return std::move(kernel).error();

    const std::vector<RunArg>& args = job.args;
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
    if (auto launched = device.stream().launch(**kernel, job.config, std::span<const runtime::KernelArg>(values));
        !launched)
        return launched;
    if (auto done = device.stream().synchronize(); !done) return done;

    for (std::size_t i = 0; save && i < args.size(); i++) {
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

Status run(const RunOptions& options) {
    const auto job = prepare(options);
    if (!job) return job.error();
    for (std::uint64_t k = 0; k < options.schedules; ++k) {
        const Run one = run_of(options, k);
        const auto status = run_once(options, *job, one, k + 1 == options.schedules);
        if (!status && options.schedules > 1)
            return Error{fmt::format("{}; schedule {} of {}, again with --schedule {} --seed {}",
                                     status.error().message, k, options.schedules, name_of(one.schedule), one.seed)};
        if (!status) return status;
    }
    if (options.schedules > 1) fmt::print(stderr, "note: {} schedules, no finding\n", options.schedules);
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
    command
        ->add_option("--resident", options->resident, "CTAs that the emulator holds at once (default: as many as fit)")
        ->check(CLI::Range(1u, 1u << 20));
    command
        ->add_option("--schedule", options->schedule,
                     "in_order, random or adversarial (default: in_order first, then the others in turn)")
        ->check(CLI::IsMember({"in_order", "random", "adversarial"}));
    command->add_option("--schedules", options->schedules, "Runs, each under a schedule of its own (default 1)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
    command->add_option("--seed", options->seed, "Seed of the first schedule (default 1)");
    command->add_option("--arg", options->args, "One for each parameter, in order")->allow_extra_args(false);
    command->footer(
        "An argument is a scalar (u32=5, f32=1.5) or a buffer TYPE[COUNT]=CONTENT with CONTENT one of zero, iota,\n"
        "random:SEED, @FILE. '>FILE' behind it saves the buffer after the launch, '>-' prints it.\n"
        "The emulator presents a device of the file's target and checks bounds, alignment, initialisation,\n"
        "barriers and asynchronous operations; a finding ends the run with exit code 1.\n\n"
        "A schedule is one of the orders in which CTAs, warps and asynchronous operations may go on. With\n"
        "--schedules N the kernel runs N times, each from fresh arguments: in order, then under random and\n"
        "adversarial schedules in turn with seeds from --seed on. The first finding ends it and names its seed;\n"
        "buffers are saved from the last run.\n\n"
        "Example:\n  ptxgen run axpy.ptx --kernel axpy --grid 4 --block 256 \\\n"
        "      --arg u32=1024 --arg f32=2 --arg 'f32[1024]=iota' --arg 'f32[1024]=zero>-'");
    command->callback([=] {
        const auto status = run(*options);
        exit_with(status ? exit_ok : fail(status.error().message));
    });
}

} // namespace ptxgen::tools
