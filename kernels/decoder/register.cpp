#include "kernels/decoder/decoder.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {

DecoderConfig decoder_config(const ModelShape& model, const ParameterValues& values, std::optional<Target> target) {
    DecoderConfig config;
    config.shape = model;
    config.weights = weight_layout(model, true);
    config.ctas = values.u32("ctas");
    config.context = values.u32("context");
    config.cache = values.word("cache") == "f16" ? CacheType::f16 : CacheType::f32;
    const std::uint32_t sm = target ? target->sm : 80;
    config.mma = sm >= 80;
    config.ring = sm >= 90;
    // What a CTA may have on GPUs of that target.
    constexpr std::uint32_t kilobyte = 1024;
    config.shared_bytes = (sm >= 90 && sm < 120 ? 227 : sm >= 80 ? 99 : 64) * kilobyte;
    if (const auto given = values.u32("shared-bytes")) config.shared_bytes = given;
    return config;
}

std::vector<KernelSpec> decoder_kernels() {
    KernelSpec kernel;
    kernel.name = "persistent_decoder";
    kernel.family = "decoder";
    kernel.summary = "decodes many tokens of a model in one cooperative launch";
    kernel.needs_model = true;
    kernel.parameters = {
        ParameterSpec::integer("ctas", "CTAs, all resident at once", 132, 1, 4096),
        ParameterSpec::integer("context", "positions of the key and value cache", 4096, 1, 1 << 20),
        ParameterSpec::choice("cache", "element type of the cache", {"f16", "f32"}),
        ParameterSpec::integer("shared-bytes", "shared memory of a CTA, 0: what GPUs of the target have", 0, 0,
                               227 * 1024),
    };
    kernel.generate = [](const ParameterValues&, std::optional<Target>,
                         std::optional<PtxVersion>) -> Result<Generated> {
        return Error{"persistent_decoder is generated for a model: give one with --model FILE"};
    };
    kernel.generate_for_model = [](const ModelShape& model, const ParameterValues& values, std::optional<Target> target,
                                   std::optional<PtxVersion> version) {
        DecoderConfig config = decoder_config(model, values, target);
        config.wide_packets = !version || *version >= PtxVersion{8, 3};
        return persistent_decoder(config, target, version);
    };
    return {kernel};
}

} // namespace ptxgen::kernels
