#include "kernels/gemv/gemv.hpp"
#include "kernels/ring/gemv_ring.hpp"
#include "kernels/ring/matmul_ring.hpp"
#include "tools/ptxgen-bench/measure.hpp"

#include <fmt/format.h>
#include <memory>

namespace ptxgen::tools {
namespace {

struct GemvOptions {
    std::string type = "q4_k", kernel = "ring", source = "auto";
    std::uint32_t rows = 0, cols = 4096, tokens = 1;
    std::uint32_t ctas = 0, stages = 0, stage_units = 4, in_flight = 0;
    std::uint32_t warps = 0, row_tiles = 0, token_tile = 64;
    bool ceiling = true;
};

Result<TensorType> type_named(const std::string& text) {
    for (const TensorTypeInfo& info : tensor_types())
        if (lower_name(info.type) == text) return info.type;
    return Error{fmt::format("unknown type '{}'; types are spelled like q4_k", text)};
}

/// A kernel to time, and the bytes of weights that it reads.
struct Subject {
    kernels::Generated generated;
    kernels::Grid grid;
    std::uint64_t bytes = 0;
    bool columns = false; ///< x is to be column blocks
};

Result<Subject> matmul_subject(Bench& bench, const GemvOptions& options, TensorType type, std::uint32_t rows) {
    const auto& properties = bench.device.properties();
    kernels::MatmulRingConfig config;
    config.type = type;
    config.rows = rows;
    config.cols = options.cols;
    config.token_tile = options.token_tile;
    config = kernels::spread(config, options.tokens, properties.multiprocessors, properties.target);
    if (options.warps) config.warps = options.warps;
    if (options.row_tiles) config.row_tiles = options.row_tiles;
    auto generated = kernels::matmul_ring(config, properties.target, properties.ptx_version);
    if (!generated) return generated.error();
    return Subject{std::move(*generated), kernels::matmul_ring_grid(config, options.tokens),
                   kernels::ring_bytes(type, rows, options.cols), true};
}

Result<Subject> subject(Bench& bench, const GemvOptions& options, TensorType type, std::uint32_t rows) {
    if (options.kernel == "matmul") return matmul_subject(bench, options, type, rows);
    if (options.tokens > 8) return Error{"more than 8 tokens are for --kernel matmul"};
    const auto& properties = bench.device.properties();
    const std::uint64_t stored = row_bytes(type, options.cols) * rows;
    if (options.kernel == "general") {
        kernels::GemvConfig config;
        config.type = type;
        config.rows = rows;
        config.cols = options.cols;
        config.token_tile = options.tokens;
        config = kernels::spread(config, properties.multiprocessors);
        const auto complete = kernels::completed(config);
        if (!complete) return complete.error();
        auto generated = kernels::gemv(*complete, properties.target, properties.ptx_version);
        if (!generated) return generated.error();
        return Subject{std::move(*generated), kernels::gemv_grid(*complete, options.tokens), stored};
    }
    kernels::GemvRingConfig config;
    config.type = type;
    config.rows = rows;
    config.cols = options.cols;
    config.token_tile = options.tokens;
    config.ctas = options.ctas ? options.ctas : properties.multiprocessors;
    config.stages = options.stages;
    config.stage_units = options.stage_units;
    config.in_flight = options.in_flight;
    config.shared_bytes = properties.shared_bytes_per_block_optin;
    if (options.source != "auto")
        config.source = options.source == "bulk" ? kernels::RingSource::bulk : kernels::RingSource::direct;
    auto generated = kernels::gemv_ring(config, properties.target, properties.ptx_version);
    if (!generated) return generated.error();
    return Subject{std::move(*generated), kernels::gemv_ring_grid(config, options.tokens),
                   kernels::ring_bytes(type, rows, options.cols)};
}

/// f32 rows of x as column blocks.
Result<runtime::Buffer> to_columns(Bench& bench, const GemvOptions& options, const runtime::Buffer& x) {
    const kernels::RingColumnsConfig config{.cols = options.cols};
    const auto& properties = bench.device.properties();
    const auto generated = kernels::ring_columns(config, properties.target, properties.ptx_version);
    if (!generated) return generated.error();
    const auto text = print(generated->module);
    if (!text) return text.error();
    auto module = bench.device.load(*text);
    if (!module) return module.error();
    const auto kernel = (*module)->kernel(generated->name());
    if (!kernel) return kernel.error();
    auto columns = bench.device.allocate(kernels::ring_column_bytes(options.tokens, options.cols));
    if (!columns) return columns.error();
    const auto grid = kernels::ring_columns_grid(config, options.tokens);
    runtime::LaunchConfig launch;
    launch.grid = {grid.x, grid.y, grid.z};
    launch.block = {generated->launch.block_x};
    auto& stream = bench.device.stream();
    if (auto ok = stream.launch(**kernel, launch, {x.address(), columns->address(), options.tokens}); !ok)
        return ok.error();
    if (auto ok = stream.synchronize(); !ok) return ok.error();
    return columns;
}

Status run(Bench& bench, const GemvOptions& options) {
    const auto type = type_named(options.type);
    if (!type) return type.error();
    // About 1.2 GB on a GPU, so that no cache holds it.
    const std::uint64_t row_size = std::max<std::uint64_t>(row_bytes(*type, options.cols), 1);
    const bool emulator = bench.device.properties().is_emulator;
    const auto rows =
        options.rows ? options.rows : static_cast<std::uint32_t>((emulator ? 2'000'000 : 1'200'000'000) / row_size);
    const auto made = subject(bench, options, *type, rows);
    if (!made) return made.error();
    const auto text = print(made->generated.module);
    if (!text) return text.error();
    auto module = bench.device.load(*text);
    if (!module) return module.error();
    const auto kernel = (*module)->kernel(made->generated.name());
    if (!kernel) return kernel.error();
    const auto attributes = (*kernel)->attributes();
    if (!attributes) return attributes.error();

    auto weights = random_buffer(bench, made->bytes, 1);
    if (!weights) return weights.error();
    auto x = random_buffer(bench, std::uint64_t{options.cols} * options.tokens * 4, 2);
    if (!x) return x.error();
    if (made->columns) {
        x = to_columns(bench, options, *x);
        if (!x) return x.error();
    }
    auto y = bench.device.allocate(std::size_t{rows} * options.tokens * 4);
    if (!y) return y.error();
    runtime::LaunchConfig launch;
    launch.grid = {made->grid.x, made->grid.y, made->grid.z};
    launch.block = {made->generated.launch.block_x};
    launch.shared_bytes = made->generated.launch.dynamic_shared_bytes;
    const auto timing = time_on_device(bench, [&](runtime::Stream& stream) {
        return stream.launch(**kernel, launch, {weights->address(), x->address(), y->address(), options.tokens});
    });
    if (!timing) return timing.error();
    const double rate = static_cast<double>(made->bytes) / timing->median * 1e-3;
    Report::Row row{{"kernel", made->generated.name()},
                    {"rows", rows},
                    {"cols", options.cols},
                    {"tokens", options.tokens},
                    {"ctas", made->grid.x},
                    {"shared_bytes", launch.shared_bytes},
                    {"registers", attributes->registers},
                    {"local_bytes", attributes->local_bytes},
                    {"MB", static_cast<double>(made->bytes) * 1e-6},
                    {"us", timing->median},
                    {"us_min", timing->min},
                    {"GB_per_s", rate},
                    {"TOPS", 2e-6 * rows * options.cols * options.tokens / timing->median}};
    // After the kernel: behind a stream of 5 GB, matrices of 1 and 2 GB were seen to run at seven eighths of their rate
    // on an H200, those of 5 GB not.
    if (options.ceiling) {
        const auto ceiling = measure_ceiling(bench);
        if (!ceiling) return ceiling.error();
        row.emplace_back("of_ceiling", rate / ceiling->gb_per_s);
    }
    bench.report.add(row);
    return {};
}

} // namespace

void add_gemv(CLI::App& app, const ExitWith& exit_with) {
    auto options = std::make_shared<GemvOptions>();
    auto* command = add_benchmark(app, exit_with, "gemv", "Matrix times vector, against the rate of reading memory",
                                  [options](Bench& bench) { return run(bench, *options); });
    command->add_option("--type", options->type, "How the matrix is stored (default: q4_k)");
    command->add_option("--rows", options->rows, "Rows (default: 1.2 GB, 2 MB on the emulator)");
    command->add_option("--cols", options->cols, "Columns (default: 4096)")->check(CLI::Range(32, 1 << 24));
    command
        ->add_option("--tokens", options->tokens,
                     "Vectors: up to 8 that share a pass, or any number for matmul (default: 1)")
        ->check(CLI::Range(1, 65536));
    command->add_option("--kernel", options->kernel, "ring, general or matmul (default: ring)")
        ->check(CLI::IsMember({"ring", "general", "matmul"}));
    command->add_option("--source", options->source, "ring: auto, bulk or direct (default: auto)")
        ->check(CLI::IsMember({"auto", "bulk", "direct"}));
    command->add_option("--ctas", options->ctas, "ring: CTAs (default: one a multiprocessor)");
    command->add_option("--stages", options->stages, "ring: stages (default: as many as fit)");
    command->add_option("--stage-units", options->stage_units, "ring: units of a stage (default: 4)");
    command->add_option("--in-flight", options->in_flight, "ring: stages on their way at once (default: all)");
    command->add_option("--token-tile", options->token_tile, "matmul: tokens of a CTA (default: 64)");
    command->add_option("--warps", options->warps, "matmul: warps of a CTA (default: as the engine would)");
    command->add_option("--row-tiles", options->row_tiles, "matmul: row tiles of a warp (default: likewise)");
    command->add_flag("!--no-ceiling", options->ceiling, "Do not measure the rate of reading memory");
}

} // namespace ptxgen::tools
