#include "kernels/elementwise/gated.hpp"

#include "kernels/elementwise/elementwise.hpp"

#include <cmath>
#include <numbers>

namespace ptxgen::kernels {
namespace {

/// x / (1 + 2^exponent)
Val<f32> logistic_gate(KernelBuilder& k, const Val<f32>& x, const Val<f32>& exponent) {
    return k.div(x, k.ex2(exponent, approx) + 1.f);
}

Result<Generated> gated(std::string_view name, Activation activation, const GatedConfig& config,
                        std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 1, 1u << 24); !ok) return ok.error();
    const ElementwiseRows rows{config.width};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel(name);
    const auto gate = k.param<global_ptr<const f32>>("gate", "f32 [tokens][width]", row_alignment(config.width));
    const auto up = k.param<global_ptr<const f32>>("up", "f32 [tokens][width]", row_alignment(config.width));
    const auto out =
        k.param<global_ptr<f32>>("out", "f32 [tokens][width], may be gate or up", row_alignment(config.width));
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(ElementwiseRows::threads);
    k.ret_if(k.ctaid.x >= tokens);
    emit_elements_of_thread(k, rows, [&](const Val<u32>& i) {
        const Values g = load(k, row(k, gate, k.ctaid.x, config.width) + i, rows.vector());
        const Values u = load(k, row(k, up, k.ctaid.x, config.width) + i, rows.vector());
        Values products;
        for (std::size_t e = 0; e < g.size(); e++) products.push_back(emit_activation(k, activation, g[e]) * u[e]);
        store(k, row(k, out, k.ctaid.x, config.width) + i, products);
    });
    return finish(std::move(module), rows.launch());
}

} // namespace

Val<f32> emit_silu(KernelBuilder& k, const Val<f32>& x) {
    return logistic_gate(k, x, x * k.imm<f32>(-std::numbers::log2e));
}

Val<f32> emit_gelu(KernelBuilder& k, const Val<f32>& x) {
    const double factor = -2 * std::numbers::log2e * std::sqrt(2 / std::numbers::pi);
    const auto square = x * x;
    const auto slope = k.fma(square, k.imm<f32>(0.044715 * factor), k.imm<f32>(factor));
    return logistic_gate(k, x, x * slope);
}

Val<f32> emit_activation(KernelBuilder& k, Activation activation, const Val<f32>& x) {
    return activation == Activation::swiglu ? emit_silu(k, x) : emit_gelu(k, x);
}

Result<Generated> swiglu(const GatedConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    return gated("swiglu", Activation::swiglu, config, target, version);
}

Result<Generated> geglu(const GatedConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    return gated("geglu", Activation::geglu, config, target, version);
}

Grid gated_grid(const GatedConfig& config, std::uint32_t tokens) { return ElementwiseRows{config.width}.grid(tokens); }

} // namespace ptxgen::kernels
