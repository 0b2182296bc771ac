#include "runtime/inference/launch_plan.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/attention/kv_append.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/gather/gather.hpp"
#include "kernels/gemv/gemv.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"
#include "kernels/sampling/next_token.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {

using runtime::DevicePtr;

kernels::AttentionConfig attention_config(const ModelShape& shape, const kernels::KvCacheShape& cache, bool sliding,
                                          const runtime::DeviceProperties& properties) {
    kernels::AttentionConfig config;
    config.cache = cache;
    config.heads = shape.heads;
    config.scale = shape.query_scale;
    config.window = sliding ? shape.sliding_window : 0;
    if (properties.is_emulator) return config;
    // Two CTAs for each multiprocessor, as far as there are positions.
    const std::uint32_t most_positions = sliding ? std::min(shape.sliding_window, cache.capacity) : cache.capacity;
    const std::uint32_t wanted =
        kernels::ceil_div(2 * properties.multiprocessors, kernels::plan_attention(config).tiles);
    const std::uint32_t possible = kernels::ceil_div(most_positions, config.split_positions);
    config.splits = std::clamp(std::min(wanted, possible), 1u, config.split_positions);
    return config;
}

void PlanBuilder::add(const std::string& key, const KernelSet::Generate& generate, PlannedLaunch::GridOf grid,
                      std::initializer_list<PlannedLaunch::Argument> arguments) {
    if (!status_) return;
    auto kernel = kernels_.get(key, generate);
    if (!kernel) {
        status_ = std::move(kernel).error();
        return;
    }
    auto planned = PlannedLaunch::bind(**kernel, std::move(grid), arguments);
    if (planned)
        plan_.push_back(std::move(*planned));
    else
        status_ = std::move(planned).error();
}

void PlanBuilder::add_gather() {
    kernels::GatherConfig config;
    config.type = model_.token_embd->type;
    config.rows = model_.shape.vocab;
    config.cols = model_.shape.hidden;
    config.scale = static_cast<float>(model_.shape.embedding_scale);
    add(
        "gather", [=](auto target, auto version) { return kernels::gather(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::gather_grid(config, tokens); },
        {{"table", on_device_.weights[model_.token_embd]}, {"ids", buffers_.ids()}, {"out", buffers_.x}});
}

void PlanBuilder::add_norm(DevicePtr x, const gguf::Tensor* weight, DevicePtr out) {
    const kernels::RmsNormConfig config{model_.shape.hidden, model_.shape.norm_epsilon};
    add(
        "rms_norm", [=](auto target, auto version) { return kernels::rms_norm(config, target, version); },
        [](std::uint32_t tokens) { return kernels::rms_norm_grid(tokens); },
        {{"x", x}, {"weight", on_device_.weights[weight]}, {"out", out}});
}

void PlanBuilder::add_head_norm(DevicePtr x, const gguf::Tensor* weight, std::uint32_t heads) {
    const kernels::HeadRmsNormConfig config{heads, model_.shape.head_dim, model_.shape.norm_epsilon};
    add(
        fmt::format("head_rms_norm {}", heads),
        [=](auto target, auto version) { return kernels::head_rms_norm(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::head_rms_norm_grid(config, tokens); },
        {{"x", x}, {"weight", on_device_.weights[weight]}, {"out", x}});
}

void PlanBuilder::add_rope(DevicePtr x, std::uint32_t heads, bool sliding) {
    const RopeShape& shape = model_.shape.rope;
    const kernels::RopeConfig config{shape.kind, heads, model_.shape.head_dim, shape.dim};
    add(
        fmt::format("rope {}", heads),
        [=](auto target, auto version) { return kernels::rope(config, target, version); },
        [](std::uint32_t tokens) { return kernels::rope_grid(tokens); },
        {{"x", x}, {"table", on_device_.rope.address(sliding)}, {"position", buffers_.position()}});
}

void PlanBuilder::add_attention(std::uint32_t layer) {
    kernels::AttentionConfig config =
        attention_config(model_.shape, on_device_.cache.shape(), model_.shape.is_sliding(layer), device_.properties());
    if (token_tile_ > 1) config.splits = 1; // the tokens fill the device
    add(
        "kv_append", [=](auto target, auto version) { return kernels::kv_append(config.cache, target, version); },
        [](std::uint32_t tokens) { return kernels::kv_append_grid(tokens); },
        {{"k", buffers_.k},
         {"v", buffers_.v},
         {"k_cache", on_device_.cache.keys(layer)},
         {"v_cache", on_device_.cache.values(layer)},
         {"position", buffers_.position()}});
    add(
        fmt::format("attention {} splits {}", config.window, config.splits),
        [=](auto target, auto version) { return kernels::attention(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::attention_grid(config, tokens); },
        {{"q", buffers_.q},
         {"k_cache", on_device_.cache.keys(layer)},
         {"v_cache", on_device_.cache.values(layer)},
         {"out", buffers_.attention},
         {"position", buffers_.position()},
         {"parts", buffers_.attention_parts},
         {"arrivals", buffers_.attention_arrivals}});
}

void PlanBuilder::add_gate() {
    const kernels::GatedConfig config{model_.shape.ffn};
    const bool swiglu = model_.shape.activation == Activation::swiglu;
    add(
        "gate",
        [=](auto target, auto version) {
            return swiglu ? kernels::swiglu(config, target, version) : kernels::geglu(config, target, version);
        },
        [config](std::uint32_t tokens) { return kernels::gated_grid(config, tokens); },
        {{"gate", buffers_.gate}, {"up", buffers_.up}, {"out", buffers_.gate}});
}

void PlanBuilder::add_residual(DevicePtr from) {
    const kernels::AddConfig config{model_.shape.hidden};
    add(
        "add", [=](auto target, auto version) { return kernels::add(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::add_grid(config, tokens); }, {{"x", buffers_.x}, {"y", from}});
}

void PlanBuilder::add_matrix(const gguf::Tensor* matrix, const gguf::Tensor* bias, DevicePtr x, DevicePtr y,
                             DevicePtr residual) {
    kernels::GemvConfig wanted;
    wanted.type = matrix->type;
    wanted.rows = static_cast<std::uint32_t>(matrix->ne[1]);
    wanted.cols = static_cast<std::uint32_t>(matrix->ne[0]);
    wanted.token_tile = token_tile_;
    wanted.bias = bias != nullptr;
    wanted.residual = residual != 0;
    // The emulator wants few instructions, a GPU many warps.
    const auto& properties = device_.properties();
    auto config =
        kernels::completed(properties.is_emulator ? wanted : kernels::spread(wanted, properties.multiprocessors));
    if (!config) {
        if (status_) status_ = std::move(config).error();
        return;
    }
    add(
        fmt::format("gemv {} {}x{} tile {}{}{}", name(matrix->type), wanted.rows, wanted.cols, token_tile_,
                    wanted.bias ? " bias" : "", wanted.residual ? " residual" : ""),
        [config](auto target, auto version) { return kernels::gemv(*config, target, version); },
        [config](std::uint32_t tokens) { return kernels::gemv_grid(*config, tokens); },
        {{"weights", on_device_.weights[matrix]},
         {"x", x},
         {"y", y},
         {"bias", on_device_.weights[bias]},
         {"residual", residual}});
}

/// x += matrix · input, by the matrix product itself unless a norm stands between.
void PlanBuilder::add_block_output(const gguf::Tensor* matrix, DevicePtr input, const gguf::Tensor* post_norm) {
    if (!post_norm) {
        add_matrix(matrix, nullptr, input, buffers_.x, buffers_.x);
        return;
    }
    add_matrix(matrix, nullptr, input, buffers_.y);
    add_norm(buffers_.y, post_norm, buffers_.y);
    add_residual(buffers_.y);
}

void PlanBuilder::layers() {
    const ModelShape& shape = model_.shape;
    add_gather();
    for (std::uint32_t l = 0; l < shape.layers; l++) {
        const LayerTensors& t = model_.layers[l];
        const bool sliding = shape.is_sliding(l);
        add_norm(buffers_.x, t.attn_norm, buffers_.h);
        add_matrix(t.attn_q, t.attn_q_bias, buffers_.h, buffers_.q);
        add_matrix(t.attn_k, t.attn_k_bias, buffers_.h, buffers_.k);
        add_matrix(t.attn_v, t.attn_v_bias, buffers_.h, buffers_.v);
        if (shape.qk_norm) {
            add_head_norm(buffers_.q, t.attn_q_norm, shape.heads);
            add_head_norm(buffers_.k, t.attn_k_norm, shape.kv_heads);
        }
        add_rope(buffers_.q, shape.heads, sliding);
        add_rope(buffers_.k, shape.kv_heads, sliding);
        add_attention(l);
        add_block_output(t.attn_output, buffers_.attention, t.post_attention_norm);
        add_norm(buffers_.x, t.ffn_norm, buffers_.h);
        add_matrix(t.ffn_gate, nullptr, buffers_.h, buffers_.gate);
        add_matrix(t.ffn_up, nullptr, buffers_.h, buffers_.up);
        add_gate();
        add_block_output(t.ffn_down, buffers_.gate, t.post_ffw_norm);
    }
}

void PlanBuilder::output(DevicePtr x) {
    add_norm(x, model_.output_norm, buffers_.y);
    add_matrix(model_.output, nullptr, buffers_.y, buffers_.logits);
}

void PlanBuilder::next_token() {
    const kernels::NextTokenConfig config{model_.shape.vocab, Activations::best_parts};
    add(
        "argmax_parts", [=](auto target, auto version) { return kernels::argmax_parts(config, target, version); },
        [config](std::uint32_t) { return kernels::argmax_parts_grid(config); },
        {{"logits", buffers_.logits}, {"values", buffers_.best_values}, {"ids", buffers_.best_ids}});
    add(
        "next_token", [=](auto target, auto version) { return kernels::next_token(config, target, version); },
        [](std::uint32_t) { return kernels::next_token_grid(); },
        {{"values", buffers_.best_values}, {"ids", buffers_.best_ids}, {"state", buffers_.state}});
}

} // namespace ptxgen
