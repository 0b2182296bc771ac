#include "runtime/emulator/emulator.hpp"
#include "kernels/gemv/gemv.hpp"
#include "tools/ptxgen-bench/measure.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

namespace ptxgen::tools {
namespace {

using namespace ptxgen::runtime;

struct Workload {
    std::string name, ptx, kernel;
    LaunchConfig config;
    std::vector<std::size_t> buffers; ///< bytes of each buffer argument, filled with small numbers
    std::uint32_t last = 0;           ///< the last, scalar argument
};

std::string module_of(const std::string& body) {
    return ".version 7.0\n.target sm_75\n.address_size 64\n\n.visible .entry k(.param .u64 a, .param .u64 b, .param "
           ".u32 n)\n{\n"
           "    .reg .pred %p<4>;\n    .reg .b32 %r<20>;\n    .reg .f32 %f<20>;\n    .reg .b64 %rd<10>;\n"
           "    ld.param.u64 %rd1, [a];\n    ld.param.u64 %rd2, [b];\n    ld.param.u32 %r9, [n];\n"
           "    mov.u32 %r1, %tid.x;\n    mov.u32 %r2, %ctaid.x;\n    mov.u32 %r3, %ntid.x;\n    mad.lo.u32 %r4, %r2, "
           "%r3, %r1;\n"
           "    mov.u32 %r5, 0;\n    mov.f32 %f1, 0f00000000;\n" +
           body +
           "    mul.wide.u32 %rd5, %r4, 4;\n    add.u64 %rd5, %rd2, %rd5;\n    st.global.f32 [%rd5], %f1;\n    "
           "ret;\n}\n";
}

Result<std::vector<Workload>> workloads() {
    std::vector<Workload> all;
    kernels::GemvConfig config;
    config.type = TensorType::q4_1;
    config.rows = 1536;
    config.cols = 576;
    const auto complete = kernels::completed(config);
    if (!complete) return complete.error();
    const auto generated = kernels::gemv(*complete, Target{75});
    if (!generated) return generated.error();
    const auto text = print(generated->module);
    if (!text) return text.error();
    const kernels::Grid grid = kernels::gemv_grid(*complete, 1);
    const std::size_t weights = std::size_t{config.rows} * config.cols / 32 * 20;
    all.push_back({"gemv_q4_1",
                   *text,
                   generated->name(),
                   {.grid = {grid.x, grid.y, grid.z}, .block = {32 * complete->warps_per_cta}},
                   {weights, std::size_t{config.cols} * 4, std::size_t{config.rows} * 4},
                   1});
    const LaunchConfig many{.grid = {64}, .block = {128}};
    const std::size_t words = 64 * 128 * 4;
    all.push_back(
        {"coalesced",
         module_of(
             "L:\n    mul.lo.u32 %r6, %r5, 128;\n    add.u32 %r6, %r6, %r1;\n    and.b32 %r6, %r6, 8191;\n    "
             "mul.wide.u32 %rd3, %r6, 4;\n"
             "    add.u64 %rd4, %rd1, %rd3;\n    ld.global.f32 %f2, [%rd4];\n    fma.rn.f32 %f1, %f2, %f2, %f1;\n    "
             "mul.f32 %f3, %f1, 0f3f000000;\n"
             "    add.f32 %f1, %f3, %f2;\n    add.u32 %r5, %r5, 1;\n    setp.lt.u32 %p1, %r5, %r9;\n    @%p1 bra L;\n"),
         "k",
         many,
         {words, words},
         200});
    all.push_back({"gather",
                   module_of("    mov.u32 %r6, %r4;\nL:\n    mad.lo.u32 %r6, %r6, 1664525, 1013904223;\n    shr.u32 "
                             "%r7, %r6, 19;\n    mul.wide.u32 %rd3, %r7, 4;\n    add.u64 %rd4, %rd1, %rd3;\n"
                             "    ld.global.f32 %f2, [%rd4];\n    add.f32 %f1, %f1, %f2;\n    add.u32 %r5, %r5, 1;\n   "
                             " setp.lt.u32 %p1, %r5, %r9;\n    @%p1 bra L;\n"),
                   "k",
                   many,
                   {words, words},
                   200});
    all.push_back({"divergent",
                   module_of("    mov.u32 %r6, %r4;\nL:\n    mad.lo.u32 %r6, %r6, 1664525, 1013904223;\n    shr.u32 "
                             "%r7, %r6, 30;\n    setp.eq.u32 %p2, %r7, 0;\n    @%p2 bra A;\n"
                             "    add.f32 %f1, %f1, 0f3f800000;\n    mul.f32 %f1, %f1, 0f3f700000;\n    fma.rn.f32 "
                             "%f1, %f1, %f1, 0f3f000000;\n    bra B;\nA:\n    sub.f32 %f1, %f1, 0f3f800000;\n"
                             "    mul.f32 %f1, %f1, 0f3e000000;\n    abs.f32 %f1, %f1;\nB:\n    add.u32 %r5, %r5, 1;\n "
                             "   setp.lt.u32 %p1, %r5, %r9;\n    @%p1 bra L;\n"),
                   "k",
                   many,
                   {words, words},
                   200});
    return all;
}

struct Measured {
    double per_second = 0; ///< thread instructions
    double milliseconds = 0;
};

Result<Measured> measure(const Workload& workload, const CommonOptions& options, bool checks) {
    EmulatorOptions emulator;
    emulator.checks = checks;
    emulator.threads = options.threads;
    emulator.memory_bytes = 1u << 30;
    const auto device = create_emulator(emulator);
    auto module = device->load(workload.ptx);
    if (!module) return module.error();
    const auto kernel = (*module)->kernel(workload.kernel);
    if (!kernel) return kernel.error();
    std::vector<Buffer> buffers;
    std::vector<KernelArg> args;
    for (const std::size_t bytes : workload.buffers) {
        auto buffer = device->allocate(bytes);
        if (!buffer) return buffer.error();
        if (auto status = device->stream().fill(buffer->address(), 0x22, bytes); !status) return status.error();
        args.emplace_back(buffer->address());
        buffers.push_back(std::move(*buffer));
    }
    args.emplace_back(workload.last);
    std::vector<double> microseconds;
    std::uint64_t instructions = 0; // the same in every launch
    for (unsigned run = 0; run < options.warm_up + options.runs; run++) {
        const std::uint64_t before = device->executed_instructions();
        const auto start = std::chrono::steady_clock::now();
        if (auto status = device->stream().launch(**kernel, workload.config, args); !status) return status.error();
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
        instructions = device->executed_instructions() - before;
        if (run >= options.warm_up) microseconds.push_back(took.count());
    }
    const double median = summarise(std::move(microseconds)).median;
    return Measured{static_cast<double>(instructions) / median * 1e6, median * 1e-3};
}

Status bench_emulator(const CommonOptions& options, Report& report) {
    const auto all = workloads();
    if (!all) return all.error();
    for (const Workload& workload : *all)
        for (const bool checks : {true, false}) {
            const auto measured = measure(workload, options, checks);
            if (!measured) return Error{fmt::format("{}: {}", workload.name, measured.error().message)};
            report.add({{"kernel", workload.name},
                        {"checks", checks},
                        {"G_thread_instructions_per_s", measured->per_second * 1e-9},
                        {"ms", measured->milliseconds}});
        }
    return {};
}

} // namespace

void add_emulator(CLI::App& app, const ExitWith& exit_with) {
    add_host_benchmark(
        app, exit_with, "emulator",
        "Thread instructions per second of the emulator, with checks on and off, on the Q4_1 GEMV and on "
        "kernels whose accesses are coalesced, gathered, and whose branches diverge",
        bench_emulator);
}

} // namespace ptxgen::tools
