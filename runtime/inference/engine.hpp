#pragma once

#include "policies/schedule.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"
#include "runtime/inference/model.hpp"
#include "runtime/inference/tokenizer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace ptxgen {

/// Storage of the key and value cache.
enum class KvType : std::uint8_t { f32, f16 };

/// What the matrix products multiply the weights with: f32; or, at q8_1, the activations rounded to eight bits with one
/// f32 scale for 32 of them. `automatic` is q8_1 on a GPU, f32 on the emulator and under a policy.
enum class ActivationFormat : std::uint8_t { automatic, f32, q8_1 };

/// Which engine: `automatic` is the persistent one on a GPU from sm_90 on, which streams weights through its ring; the
/// graph engine elsewhere, under a policy, at f32 activations, and where the persistent one cannot be made, which
/// on_note tells.
enum class EngineKind : std::uint8_t { automatic, graph, persistent };

struct EngineOptions {
    EngineKind kind = EngineKind::automatic; ///< for create_engine()
    ActivationFormat activations = ActivationFormat::automatic;
    std::uint32_t context = 0; ///< positions that the cache holds; 0: the model's, at most 4096
    KvType kv = KvType::f32;
    /// Prompt tokens that one round of launches evaluates at most; 0: 512 on a GPU, 64 on the emulator.
    std::uint32_t chunk = 0;
    /// Of the persistent engine's launches; 0: one on each multiprocessor. The graph engine's attention at q8_1 splits
    /// positions as if for so many, so that both give the same logits.
    std::uint32_t ctas = 0;
    /// Under which the graph engine's matrix products run (docs/policies.md); the logits stay the same bit for bit.
    /// Takes f32 activations: the kernels for q8_1 cannot be scheduled.
    std::optional<policies::Policy> policy = {};
    policies::Scheduler scheduler = policies::Scheduler::automatic; ///< with `policy`
    /// Called while weights are uploaded and kernels compiled, with a share of the work in [0, 1].
    std::function<void(double)> on_progress = {};
    /// Gets, behind every generate() of the persistent engine, a table of where the last token's time went. Asking for
    /// it makes the engine a little slower.
    std::function<void(std::string_view)> on_profile = {};
    /// Gets what a user may want to know about the choices made: one line each, once.
    std::function<void(std::string_view)> on_note = {};
};

/// Evaluates a model token by token, keeping the keys and values of what it has seen. One engine serves one sequence.
class Engine {
public:
    virtual ~Engine() = default;

    /// Appends tokens to the sequence and gives the logits of the last one, `vocab` floats that stay valid until the
    /// next call. Errors: an id outside the vocabulary, no room in the context, whatever the device says.
    virtual Result<std::span<const float>> evaluate(std::span<const TokenId> ids) = 0;
    /// The same, with the logits of every position, in order.
    using OnLogits = std::function<Status(std::span<const float>)>;
    virtual Status evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) = 0;

    /// Gets an id that generate() drew; false ends the generation.
    using OnToken = std::function<bool(TokenId)>;
    /// Draws greedily: appends `first`, takes the id of the highest logit (of equal ones the lowest), gives it to
    /// `on_token`, appends it, and so on, until `max_tokens` ids have been drawn, one of `stop_ids` has been (it is
    /// given to on_token too), on_token says no, or the context is full. The last id that was drawn is not appended.
    /// Gives how many were drawn. Engines that decode many tokens in one launch do it here; the default evaluates one
    /// at a time.
    virtual Result<std::uint32_t> generate(TokenId first, std::uint32_t max_tokens, std::span<const TokenId> stop_ids,
                                           const OnToken& on_token);

    /// Forgets all positions from this one on.
    virtual Status rewind(std::uint32_t position) = 0;

    virtual std::uint32_t position() const = 0; ///< tokens in the cache
    virtual std::uint32_t context() const = 0;  ///< tokens that it can hold
    virtual std::uint64_t launches() const = 0; ///< kernels launched so far
};

/// The engine that `options` ask for. Errors: the persistent engine with f32 activations or a policy, which it does not
/// have; those of the engine.
Result<std::unique_ptr<Engine>> create_engine(runtime::Device& device, const Model& model,
                                              const EngineOptions& options = {});

/// The engine that launches one kernel per operation. Builds the kernels for this model and device and uploads the
/// weights as they are in the file. Errors: a context beyond the model's; too little device memory (needed and free,
/// before any work); a kernel that the device does not take; a policy with q8_1 activations, or with a scheduler that
/// it or the device does not have; a scheduler without a policy.
Result<std::unique_ptr<Engine>> create_graph_engine(runtime::Device& device, const Model& model,
                                                    const EngineOptions& options = {});

/// Device memory that create_graph_engine will take on a device of these properties, in bytes.
std::uint64_t graph_engine_bytes(const Model& model, const EngineOptions& options,
                                 const runtime::DeviceProperties& properties);

} // namespace ptxgen
