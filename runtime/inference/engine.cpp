#include "runtime/inference/engine.hpp"

#include "runtime/inference/persistent_engine.hpp"
#include "runtime/inference/sampler.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {

Result<std::uint32_t> Engine::generate(TokenId first, std::uint32_t max_tokens, std::span<const TokenId> stop_ids,
                                       const OnToken& on_token) {
    SamplerOptions greedy;
    greedy.temperature = 0;
    auto sampler = Sampler::create(greedy);
    if (!sampler) return std::move(sampler).error();
    std::uint32_t drawn = 0;
    TokenId next = first;
    while (drawn < max_tokens) {
        if (drawn > 0 && position() >= context()) break; // the first one must say that it does not fit
        auto logits = evaluate(std::span(&next, 1));
        if (!logits) return std::move(logits).error();
        auto id = sampler->sample(*logits);
        if (!id) return std::move(id).error();
        next = *id;
        drawn++;
        if (!on_token(next) || std::find(stop_ids.begin(), stop_ids.end(), next) != stop_ids.end()) break;
    }
    return drawn;
}

namespace {

bool prefers_persistent(const runtime::DeviceProperties& device, const EngineOptions& options) {
    return options.kind == EngineKind::automatic && !device.is_emulator && device.target.sm >= 90 &&
           device.cooperative_launch && !options.policy && options.activations != ActivationFormat::f32;
}

} // namespace

Result<std::unique_ptr<Engine>> create_engine(runtime::Device& device, const Model& model,
                                              const EngineOptions& options) {
    if (options.kind == EngineKind::persistent && options.activations == ActivationFormat::f32)
        return Error{"the persistent engine's activations are q8_1: f32 needs the graph engine"};
    if (options.kind == EngineKind::persistent) return create_persistent_engine(device, model, options);
    if (prefers_persistent(device.properties(), options)) {
        auto engine = create_persistent_engine(device, model, options);
        if (engine) return engine;
        if (options.on_note) options.on_note(fmt::format("the graph engine decodes: {}", engine.error().message));
    }
    return create_graph_engine(device, model, options);
}

} // namespace ptxgen
