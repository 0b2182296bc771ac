#pragma once

#include "kernels/attention/decode_attention.hpp"
#include "runtime/inference/device_weights.hpp"
#include "runtime/inference/engine.hpp"
#include "runtime/inference/kv_cache.hpp"
#include "runtime/inference/rope_table.hpp"

#include <cstdint>
#include <memory>

namespace ptxgen {

/// What every engine of one sequence needs of a model in device memory: weights, the key and value cache, rope tables.
/// Engines that continue each other's sequences share one.
struct DeviceModel {
    ModelShape shape;
    ActivationFormat activations = ActivationFormat::f32; ///< f32: weights as stored; q8_1: in the ring format
    DeviceWeights weights;
    KvCache cache;
    RopeTables rope;
    /// At q8_1, how one token's attention is divided and put together: alike in all engines, to the last bit.
    kernels::DecodeAttentionConfig attention;

    std::uint32_t context() const { return cache.shape().capacity; }

    /// Uploads and allocates. `on_progress` gets a share of the work in [0, 1].
    static Result<std::shared_ptr<DeviceModel>> create(runtime::Device& device, const Model& model,
                                                       const EngineOptions& options,
                                                       const std::function<void(double)>& on_progress);
    /// Device memory that create() takes.
    static std::uint64_t bytes(const Model& model, const EngineOptions& options,
                               const runtime::DeviceProperties& properties);
};

/// What options.activations stand for on a device: never `automatic`.
ActivationFormat activations_of(const EngineOptions& options, const runtime::DeviceProperties& properties);

/// Positions that the cache holds: options.context, or the model's, at most 4096.
std::uint32_t context_of(const Model& model, const EngineOptions& options);

/// The cache for that, unallocated.
KvCache cache_of(const Model& model, const EngineOptions& options);

/// DeviceModel::attention for that cache: for as many CTAs as the persistent engine has.
kernels::DecodeAttentionConfig attention_of(const Model& model, const EngineOptions& options,
                                            const runtime::DeviceProperties& properties);

/// The errors of a context beyond the model's and of too little device memory: `needed` bytes against what is free.
Status check_room(runtime::Device& device, const Model& model, const EngineOptions& options, std::uint64_t needed);

} // namespace ptxgen
