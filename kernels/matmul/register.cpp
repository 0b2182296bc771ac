#include "kernels/matmul/matmul.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {
namespace {

MatmulConfig config_of(const ParameterValues& values) {
    const auto digit = [&](std::string_view name) { return static_cast<std::uint32_t>(values.word(name)[0] - '0'); };
    MatmulConfig config;
    config.tile_m = values.u32("tile-m");
    config.tile_n = values.u32("tile-n");
    config.tile_k = values.u32("tile-k");
    config.thread_m = digit("thread-m");
    config.thread_n = digit("thread-n");
    config.dynamic_shared = values.word("shared") == "dynamic";
    return config;
}

} // namespace

std::vector<KernelSpec> matmul_kernels() {
    KernelSpec kernel;
    kernel.name = "matmul";
    kernel.family = "matmul";
    kernel.summary = "f32 matrix product in tiles, for any m, n and k";
    const MatmulConfig fallback;
    kernel.parameters = {
        ParameterSpec::integer("tile-m", "rows of a CTA's tile", fallback.tile_m, 4, 256, 4),
        ParameterSpec::integer("tile-n", "columns of a CTA's tile", fallback.tile_n, 4, 256, 4),
        ParameterSpec::integer("tile-k", "depth of a slice in shared memory", fallback.tile_k, 1, 64),
        ParameterSpec::choice("thread-m", "rows of a thread's part of the tile", {"4", "1", "2", "8"}),
        ParameterSpec::choice("thread-n", "columns of a thread's part of the tile", {"4", "1", "2", "8"}),
        ParameterSpec::choice("shared", "who sizes the shared memory: the kernel or the launch", {"static", "dynamic"}),
    };
    kernel.generate = [](const ParameterValues& values, std::optional<Target> target,
                         std::optional<PtxVersion> version) { return matmul(config_of(values), target, version); };
    kernel.tiles = [](const ParameterValues& values) -> Result<TileKernel> {
        const MatmulConfig config = config_of(values);
        if (auto ok = check_matmul(config); !ok) return ok.error();
        return matmul_tile(config);
    };
    return {kernel};
}

} // namespace ptxgen::kernels
