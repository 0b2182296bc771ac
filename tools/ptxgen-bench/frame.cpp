#include "tools/ptxgen-bench/frame.hpp"

#include "runtime/open_device.hpp"
#include "tools/common/io.hpp"

#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

void add_common(CLI::App& command, CommonOptions& options) {
    command.add_option("--threads", options.threads, "Host threads of the emulator, 0 is all cores (default 0)")
        ->check(CLI::Range(0, 1024));
    command.add_option("--runs", options.runs, "Measured runs; their median is reported (default 15)")
        ->check(CLI::Range(1, 10000));
    command.add_option("--warm-up", options.warm_up, "Runs before them (default 3)")->check(CLI::Range(0, 10000));
    command.add_option("--json", options.json, "Write the results as JSON to this file; -: instead of the table")
        ->type_name("FILE|-");
}

} // namespace

CLI::App* add_benchmark(CLI::App& app, const ExitWith& exit_with, const std::string& name, const std::string& summary,
                        std::function<Status(Bench&)> body) {
    auto* command = app.add_subcommand(name, summary);
    auto options = std::make_shared<CommonOptions>();
    command->add_option("--device", options->device, "auto, cuda or emulator (default auto)")
        ->check(CLI::IsMember({"auto", "cuda", "emulator"}));
    command->add_option("--gpu", options->gpu, "Number of the GPU (default 0)");
    add_common(*command, *options);
    command->callback([options, name, exit_with, body = std::move(body)] {
        const auto run = [&]() -> Status {
            runtime::DeviceRequest request;
            const auto choice = runtime::parse_device_choice(options->device);
            if (!choice) return choice.error();
            request.choice = *choice;
            request.gpu = options->gpu;
            request.emulator.threads = options->threads;
            request.emulator.checks = false;
            auto opened = runtime::open_device(request);
            if (!opened) return opened.error();
            if (!opened->note.empty()) fmt::print(stderr, "note: {}\n", opened->note);
            Report report(name, options->json);
            report.set_device(opened->device->properties());
            Bench bench{*opened->device, *options, report};
            if (auto ok = body(bench); !ok) return ok;
            return report.finish();
        };
        if (auto ok = run(); !ok) exit_with(fail(ok.error().message));
    });
    return command;
}

CLI::App* add_host_benchmark(CLI::App& app, const ExitWith& exit_with, const std::string& name,
                             const std::string& summary, std::function<Status(const CommonOptions&, Report&)> body) {
    auto* command = app.add_subcommand(name, summary);
    auto options = std::make_shared<CommonOptions>();
    add_common(*command, *options);
    command->callback([options, name, exit_with, body = std::move(body)] {
        Report report(name, options->json);
        auto ok = body(*options, report);
        if (ok) ok = report.finish();
        if (!ok) exit_with(fail(ok.error().message));
    });
    return command;
}

} // namespace ptxgen::tools
