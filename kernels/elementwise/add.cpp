#include "kernels/elementwise/add.hpp"

#include "kernels/elementwise/elementwise.hpp"

namespace ptxgen::kernels {

Result<Generated> add(const AddConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 1, 1u << 24); !ok) return ok.error();
    const ElementwiseRows rows{config.width};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("add");
    const auto x = k.param<global_ptr<f32>>("x", "f32 [tokens][width], in place", row_alignment(config.width));
    const auto y = k.param<global_ptr<const f32>>("y", "f32 [tokens][width]", row_alignment(config.width));
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(ElementwiseRows::threads);
    k.ret_if(k.ctaid.x >= tokens);
    emit_elements_of_thread(k, rows, [&](const Val<u32>& i) {
        const auto at = row(k, x, k.ctaid.x, config.width) + i;
        const Values a = load(k, at, rows.vector());
        const Values b = load(k, row(k, y, k.ctaid.x, config.width) + i, rows.vector());
        Values sums;
        for (std::size_t e = 0; e < a.size(); e++) sums.push_back(a[e] + b[e]);
        store(k, at, sums);
    });
    return finish(std::move(module), rows.launch());
}

Grid add_grid(const AddConfig& config, std::uint32_t tokens) { return ElementwiseRows{config.width}.grid(tokens); }

} // namespace ptxgen::kernels
