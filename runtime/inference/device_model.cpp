#include "runtime/inference/device_model.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr std::uint32_t default_context = 4096;

MatrixLayout layout_for(ActivationFormat activations) {
    return activations == ActivationFormat::q8_1 ? MatrixLayout::ring : MatrixLayout::stored;
}

/// Says once which matrices the general kernel multiplies.
void note_types_without_ring(const Model& model, const EngineOptions& options) {
    std::string names;
    for (const TensorType type : DeviceWeights::types_without_ring(model))
        names += fmt::format("{}{}", names.empty() ? "" : ", ", name(type));
    if (names.empty() || !options.on_note) return;
    options.on_note(
        fmt::format("matrices of type {} have no ring format: the general kernel multiplies them, slower", names));
}

double mebibytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

} // namespace

ActivationFormat activations_of(const EngineOptions& options, const runtime::DeviceProperties& properties) {
    if (options.activations != ActivationFormat::automatic) return options.activations;
    return properties.is_emulator || options.policy ? ActivationFormat::f32 : ActivationFormat::q8_1;
}

std::uint32_t context_of(const Model& model, const EngineOptions& options) {
    return options.context ? options.context : std::min(model.shape.context, default_context);
}

KvCache cache_of(const Model& model, const EngineOptions& options) {
    return {model.shape, context_of(model, options),
            options.kv == KvType::f32 ? kernels::CacheType::f32 : kernels::CacheType::f16};
}

kernels::DecodeAttentionConfig attention_of(const Model& model, const EngineOptions& options,
                                            const runtime::DeviceProperties& properties) {
    const std::uint32_t ctas = options.ctas ? options.ctas : properties.multiprocessors;
    return kernels::decode_attention_config(model.shape, cache_of(model, options).shape(), ctas,
                                            properties.target.sm >= 80);
}

std::uint64_t DeviceModel::bytes(const Model& model, const EngineOptions& options,
                                 const runtime::DeviceProperties& properties) {
    return DeviceWeights::bytes(model, layout_for(activations_of(options, properties))) +
           cache_of(model, options).bytes() + RopeTables(model.shape, context_of(model, options)).bytes();
}

Result<std::shared_ptr<DeviceModel>> DeviceModel::create(runtime::Device& device, const Model& model,
                                                         const EngineOptions& options,
                                                         const std::function<void(double)>& on_progress) {
    auto made = std::make_shared<DeviceModel>();
    made->shape = model.shape;
    made->activations = activations_of(options, device.properties());
    made->attention = attention_of(model, options, device.properties());
    const MatrixLayout layout = layout_for(made->activations);
    if (layout == MatrixLayout::ring) note_types_without_ring(model, options);
    const double weight_bytes = static_cast<double>(std::max<std::uint64_t>(DeviceWeights::bytes(model, layout), 1));
    auto weights = DeviceWeights::upload(device, model, layout, [&](std::uint64_t done) {
        if (on_progress) on_progress(std::min(1.0, static_cast<double>(done) / weight_bytes));
    });
    if (!weights) return std::move(weights).error();
    made->weights = std::move(*weights);
    made->cache = cache_of(model, options);
    if (auto ok = made->cache.allocate(device); !ok) return ok.error();
    std::span<const float> factors;
    if (model.rope_freqs)
        factors = {reinterpret_cast<const float*>(model.rope_freqs->data),
                   static_cast<std::size_t>(model.shape.rope.dim / 2)};
    made->rope = RopeTables(model.shape, context_of(model, options));
    if (auto ok = made->rope.upload(device, factors); !ok) return ok.error();
    if (auto ok = device.stream().synchronize(); !ok) return ok.error();
    return made;
}

Status check_room(runtime::Device& device, const Model& model, const EngineOptions& options, std::uint64_t needed) {
    if (options.context > model.shape.context)
        return Error{
            fmt::format("a context of {} positions is beyond the model's {}", options.context, model.shape.context)};
    auto memory = device.memory_info();
    if (!memory) return std::move(memory).error();
    if (needed > memory->free_bytes)
        return Error{fmt::format(
            "the model needs {:.1f} MiB of device memory with a context of {}, {:.1f} MiB are free on {}; "
            "a smaller context needs less",
            mebibytes(needed), context_of(model, options), mebibytes(memory->free_bytes), device.properties().name)};
    return {};
}

} // namespace ptxgen
