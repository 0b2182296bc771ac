#pragma once

#include "kernels/gemv/gemv.hpp"
#include "policies/schedule.hpp"
#include "runtime/inference/activations.hpp"
#include "runtime/inference/device_model.hpp"
#include "runtime/inference/kernel_set.hpp"
#include "runtime/inference/model.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ptxgen {

/// Launches in order.
using LaunchPlan = std::vector<PlannedLaunch>;

/// How the matrix products are scheduled.
struct ProductSchedule {
    policies::Policy policy;
    policies::Scheduler scheduler;  ///< never `automatic`
    runtime::DevicePtr tickets = 0; ///< of scheduler ticket; launches that follow each other share it
};

/// How a layer's attention is launched at f32, with one token's positions split over enough CTAs to fill a GPU.
kernels::AttentionConfig attention_config(const ModelShape& shape, const kernels::KvCacheShape& cache, bool sliding,
                                          const runtime::DeviceProperties& properties);

/// Appends to a plan the launches that evaluate a model, one kernel for each operation. After the first error nothing
/// more is appended; status() is that error.
class PlanBuilder {
public:
    /// `tokens`: 1, or about as many as the plan will be launched with. `schedule`: nothing, or how products run that
    /// take weights as they are stored. All references must outlive the builder, and what they refer to on the device
    /// the plan.
    PlanBuilder(LaunchPlan& plan, const runtime::Device& device, const Model& model, const DeviceModel& on_device,
                const Activations& buffers, KernelSet& kernels, std::uint32_t tokens,
                const std::optional<ProductSchedule>& schedule)
        : plan_(plan), device_(device), model_(model), on_device_(on_device), buffers_(buffers), kernels_(kernels),
          tokens_(tokens), token_tile_(tokens > 1 ? 8 : 1), schedule_(schedule) {}

    /// From the ids in Activations::state to the residual stream x behind the last layer.
    void layers();
    /// From row 0 of `x` to the logits.
    void output(runtime::DevicePtr x);
    /// The best logit's id and the next position into Activations::state.
    void next_token();

    const Status& status() const { return status_; }

private:
    void add(const std::string& key, const KernelSet::Generate& generate, PlannedLaunch::GridOf grid,
             std::span<const PlannedLaunch::Argument> arguments);
    void add(const std::string& key, const KernelSet::Generate& generate, PlannedLaunch::GridOf grid,
             std::initializer_list<PlannedLaunch::Argument> arguments) {
        add(key, generate, std::move(grid), std::span(arguments.begin(), arguments.size()));
    }
    void add_gather();
    void add_norm(runtime::DevicePtr x, const gguf::Tensor* weight, runtime::DevicePtr out);
    void add_head_inputs(std::uint32_t layer);
    /// Of either kernel of a layer's attention.
    std::array<PlannedLaunch::Argument, 7> attention_arguments(std::uint32_t layer) const;
    void add_attention(std::uint32_t layer);
    /// Of one token, as the persistent engine does it.
    void add_decode_attention(std::uint32_t layer);
    void add_gate();
    void add_residual(runtime::DevicePtr from);
    /// x += from, normed with `norm`.
    void add_normed_residual(runtime::DevicePtr from, const gguf::Tensor* norm);
    /// y = matrix · x (+ bias) (+ residual).
    struct Product {
        const gguf::Tensor* matrix;
        runtime::DevicePtr y;
        const gguf::Tensor* bias = nullptr;
        runtime::DevicePtr residual = 0;
    };
    /// Products of x, normed with `norm` if there is one.
    void add_products(runtime::DevicePtr x, const gguf::Tensor* norm, std::initializer_list<Product> products);
    /// Of matrices in the ring format, by one launch.
    void add_ring_products(runtime::DevicePtr x, const gguf::Tensor* norm, std::span<const Product> products);
    /// Whether products of matrices in the ring format are of many tokens at once.
    bool multiplies_many() const;
    /// The gated vector and its product.
    void add_down(const gguf::Tensor* matrix, const gguf::Tensor* post_norm);
    /// Of many tokens, from Activations::columns.
    void add_matmul(const Product& product);
    /// `x` as column blocks into Activations::columns.
    void add_columns(runtime::DevicePtr x, std::uint32_t width);
    /// `scaled`: the rows are multiplied by Activations::scale.
    void add_general_product(runtime::DevicePtr x, const Product& product, bool scaled);
    /// The product's kernel under schedule_.
    void add_scheduled_product(const std::string& key, const kernels::GemvConfig& config,
                               std::initializer_list<PlannedLaunch::Argument> arguments);
    /// Rounds `x` into Activations::rounded.
    void add_rounding(runtime::DevicePtr x, std::uint32_t width);
    /// Rounds x · norm there; 1 / rms becomes Activations::scale.
    void add_normed_rounding(runtime::DevicePtr x, const gguf::Tensor* norm);
    /// Whether vectors that are normed are rounded before the norm's factor, as the persistent engine does it.
    bool norms_late() const;
    void add_block_output(const gguf::Tensor* matrix, runtime::DevicePtr input, const gguf::Tensor* post_norm);

    LaunchPlan& plan_;
    const runtime::Device& device_;
    const Model& model_;
    const DeviceModel& on_device_;
    const Activations& buffers_;
    KernelSet& kernels_;
    std::uint32_t tokens_;
    std::uint32_t token_tile_; ///< that share one pass over the weights, where kernels have no better way
    const std::optional<ProductSchedule>& schedule_;
    Status status_;
};

} // namespace ptxgen
