#pragma once

#include "runtime/inference/device_model.hpp"
#include "runtime/inference/engine.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace ptxgen {

/// What tests and measurements vary.
struct PersistentOptions {
    double wait_seconds = 10; ///< after which a CTA that waits for another one gives up, in the device's time
    std::uint32_t split_positions = 256;         ///< kernels::DecoderConfig::split_positions
    std::optional<std::uint32_t> silent_cta;     ///< kernels::DecoderConfig::silent_cta
    bool tears_blocks = false;                   ///< kernels::DecoderConfig::tears_blocks
    std::optional<bool> wide_packets;            ///< 16-byte packets; by default where the device takes PTX 8.3
    std::optional<std::uint32_t> busy_stages;    ///< kernels::DecoderConfig::busy_stages
    std::optional<std::uint32_t> waiting_stages; ///< kernels::DecoderConfig::waiting_stages
    std::optional<std::uint32_t> stage_units;    ///< kernels::DecoderConfig::stage_units
    std::optional<bool> ring;                    ///< stream weights through a ring; by default where the device can
};

/// The engine that decodes many tokens in one cooperative launch. Prompts go through a graph engine on the same weights
/// and the same cache. evaluate() of one token and evaluate_all() are launches that give logits; generate() is one
/// launch for all its tokens. Errors: those of create_graph_engine(); a model whose sizes the decoder cannot split;
/// more CTAs than are resident at once; in launches, a wait that took too long, with what each CTA was waiting for.
Result<std::unique_ptr<Engine>> create_persistent_engine(runtime::Device& device, const Model& model,
                                                         const EngineOptions& options = {},
                                                         const PersistentOptions& persistent = {});

} // namespace ptxgen
