#include "runtime/inference/launch_plan.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/attention/head_inputs.hpp"
#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/gather/gather.hpp"
#include "kernels/gemv/gemv.hpp"
#include "kernels/norm/add_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"
#include "kernels/quantize/norm_round_q8.hpp"
#include "kernels/quantize/round_q8.hpp"
#include "kernels/ring/gather_ring.hpp"
#include "kernels/ring/gemv_ring.hpp"
#include "kernels/ring/matmul_ring.hpp"
#include "kernels/sampling/next_token.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {

using runtime::DevicePtr;

namespace {

constexpr Target matmul_target{80, TargetVariant::plain}; // of matmul_ring

} // namespace

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
                      std::span<const PlannedLaunch::Argument> arguments) {
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
    const kernels::GatherRingConfig ring{config.type, config.rows, config.cols, config.scale};
    const bool packed = on_device_.weights.is_packed(model_.token_embd);
    add(
        "gather",
        [=](auto target, auto version) {
            return packed ? kernels::gather_ring(ring, target, version) : kernels::gather(config, target, version);
        },
        [=](std::uint32_t tokens) {
            return packed ? kernels::gather_ring_grid(ring, tokens) : kernels::gather_grid(config, tokens);
        },
        {{"table", on_device_.weights[model_.token_embd]}, {"ids", buffers_.ids()}, {"out", buffers_.x}});
}

void PlanBuilder::add_norm(DevicePtr x, const gguf::Tensor* weight, DevicePtr out) {
    const kernels::RmsNormConfig config{model_.shape.hidden, model_.shape.norm_epsilon};
    add(
        "rms_norm", [=](auto target, auto version) { return kernels::rms_norm(config, target, version); },
        [](std::uint32_t tokens) { return kernels::rms_norm_grid(tokens); },
        {{"x", x}, {"weight", on_device_.weights[weight]}, {"out", out}});
}

void PlanBuilder::add_head_inputs(std::uint32_t layer) {
    const ModelShape& shape = model_.shape;
    const LayerTensors& tensors = model_.layers[layer];
    const kernels::HeadInputsConfig config{on_device_.cache.shape(), shape.heads,   shape.rope.kind,
                                           shape.rope.dim,           shape.qk_norm, shape.norm_epsilon};
    add(
        "head_inputs", [=](auto target, auto version) { return kernels::head_inputs(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::head_inputs_grid(config, tokens); },
        {{"q", buffers_.q},
         {"k", buffers_.k},
         {"v", buffers_.v},
         {"q_norm", on_device_.weights[tensors.attn_q_norm]},
         {"k_norm", on_device_.weights[tensors.attn_k_norm]},
         {"table", on_device_.rope.address(shape.is_sliding(layer))},
         {"k_cache", on_device_.cache.keys(layer)},
         {"v_cache", on_device_.cache.values(layer)},
         {"position", buffers_.position()}});
}

std::array<PlannedLaunch::Argument, 7> PlanBuilder::attention_arguments(std::uint32_t layer) const {
    return {{{"q", buffers_.q},
             {"k_cache", on_device_.cache.keys(layer)},
             {"v_cache", on_device_.cache.values(layer)},
             {"out", buffers_.attention},
             {"position", buffers_.position()},
             {"parts", buffers_.attention_parts},
             {"arrivals", buffers_.attention_arrivals}}};
}

void PlanBuilder::add_attention(std::uint32_t layer) {
    if (token_tile_ == 1 && on_device_.activations == ActivationFormat::q8_1) {
        add_decode_attention(layer);
        return;
    }
    kernels::AttentionConfig config =
        attention_config(model_.shape, on_device_.cache.shape(), model_.shape.is_sliding(layer), device_.properties());
    if (token_tile_ > 1) config.splits = 1; // the tokens fill the device
    add(
        fmt::format("attention {} splits {}", config.window, config.splits),
        [=](auto target, auto version) { return kernels::attention(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::attention_grid(config, tokens); }, attention_arguments(layer));
}

void PlanBuilder::add_decode_attention(std::uint32_t layer) {
    const kernels::DecodeAttentionConfig config = on_device_.attention;
    const std::uint32_t window = model_.shape.is_sliding(layer) ? model_.shape.sliding_window : 0;
    add(
        fmt::format("decode_attention {}", window),
        [=](auto target, auto version) { return kernels::decode_attention(config, window, target, version); },
        [config](std::uint32_t tokens) { return kernels::decode_attention_grid(config, tokens); },
        attention_arguments(layer));
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

void PlanBuilder::add_normed_residual(DevicePtr from, const gguf::Tensor* norm) {
    const ModelShape& shape = model_.shape;
    if (!norms_late()) {
        add_norm(from, norm, from);
        add_residual(from);
        return;
    }
    const kernels::AddRmsNormConfig config{shape.hidden, shape.norm_epsilon};
    add(
        "add_rms_norm", [=](auto target, auto version) { return kernels::add_rms_norm(config, target, version); },
        [](std::uint32_t tokens) { return kernels::add_rms_norm_grid(tokens); },
        {{"x", buffers_.x}, {"y", from}, {"weight", on_device_.weights[norm]}});
}

bool PlanBuilder::multiplies_many() const { return tokens_ > 1 && device_.properties().target.provides(matmul_target); }

void PlanBuilder::add_products(DevicePtr x, const gguf::Tensor* norm, std::initializer_list<Product> products) {
    const bool exact = on_device_.activations == ActivationFormat::f32;
    const bool many = multiplies_many();
    const bool late = norm && tokens_ == 1 && norms_late();
    const DevicePtr input = norm ? buffers_.y : x;
    bool normed = !norm, rounded = exact, arranged = false;
    std::vector<Product> in_ring_format; // whose kernel norms and rounds x by itself
    for (const Product& product : products) {
        const bool packed = on_device_.weights.is_packed(product.matrix);
        if (packed && !many) {
            in_ring_format.push_back(product);
            continue;
        }
        const auto width = static_cast<std::uint32_t>(product.matrix->ne[0]);
        if (late) {
            if (!rounded) add_normed_rounding(x, norm);
            rounded = true;
            add_general_product(buffers_.rounded, product, late);
            continue;
        }
        if (!normed) add_norm(x, norm, input);
        normed = true;
        if (packed) {
            if (!arranged) add_columns(input, width);
            arranged = true;
            add_matmul(product);
            continue;
        }
        if (!rounded) add_rounding(input, width);
        rounded = true;
        add_general_product(exact ? input : buffers_.rounded, product, late);
    }
    if (!in_ring_format.empty()) add_ring_products(x, norm, in_ring_format);
}

void PlanBuilder::add_down(const gguf::Tensor* matrix, const gguf::Tensor* post_norm) {
    if (!multiplies_many() || !on_device_.weights.is_packed(matrix)) {
        add_gate();
        add_block_output(matrix, buffers_.gate, post_norm);
        return;
    }
    kernels::RingColumnsConfig config;
    config.cols = model_.shape.ffn;
    config.gated = model_.shape.activation;
    add(
        "ring_columns gated", [=](auto target, auto version) { return kernels::ring_columns(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::ring_columns_grid(config, tokens); },
        {{"gate", buffers_.gate}, {"up", buffers_.up}, {"columns", buffers_.columns}});
    if (!post_norm) {
        add_matmul({matrix, buffers_.x, nullptr, buffers_.x});
        return;
    }
    add_matmul({matrix, buffers_.y});
    add_normed_residual(buffers_.y, post_norm);
}

void PlanBuilder::add_columns(DevicePtr x, std::uint32_t width) {
    kernels::RingColumnsConfig config;
    config.cols = width;
    add(
        fmt::format("ring_columns {}", width),
        [=](auto target, auto version) { return kernels::ring_columns(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::ring_columns_grid(config, tokens); },
        {{"x", x}, {"columns", buffers_.columns}});
}

void PlanBuilder::add_matmul(const Product& product) {
    const auto& properties = device_.properties();
    kernels::MatmulRingConfig config;
    config.type = product.matrix->type;
    config.rows = static_cast<std::uint32_t>(product.matrix->ne[1]);
    config.cols = static_cast<std::uint32_t>(product.matrix->ne[0]);
    config.bias = product.bias != nullptr;
    config.residual = product.residual != 0;
    if (properties.is_emulator)
        config.token_tile = 16; // short prompts pay for less
    else
        config = kernels::spread(config, tokens_, properties.multiprocessors, properties.target);
    add(
        fmt::format("matmul_ring {} {}x{} tiles {} by {} of {}{}{}", name(config.type), config.rows, config.cols,
                    config.token_tile, config.row_tiles, config.warps, config.bias ? " bias" : "",
                    config.residual ? " residual" : ""),
        [config](auto target, auto version) { return kernels::matmul_ring(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::matmul_ring_grid(config, tokens); },
        {{"weights", on_device_.weights[product.matrix]},
         {"columns", buffers_.columns},
         {"y", product.y},
         {"bias", on_device_.weights[product.bias]},
         {"residual", product.residual}});
}

void PlanBuilder::add_rounding(DevicePtr x, std::uint32_t width) {
    const kernels::RoundConfig config{width};
    add(
        fmt::format("round {}", width),
        [=](auto target, auto version) { return kernels::round_q8(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::round_q8_grid(config, tokens); },
        {{"x", x}, {"out", buffers_.rounded}});
}

bool PlanBuilder::norms_late() const {
    return on_device_.activations == ActivationFormat::q8_1 && model_.shape.hidden % 32 == 0;
}

void PlanBuilder::add_normed_rounding(DevicePtr x, const gguf::Tensor* norm) {
    const kernels::NormRoundConfig config{model_.shape.hidden, model_.shape.norm_epsilon};
    add(
        "norm_round", [=](auto target, auto version) { return kernels::norm_round_q8(config, target, version); },
        [](std::uint32_t tokens) { return kernels::norm_round_q8_grid(tokens); },
        {{"x", x}, {"norm", on_device_.weights[norm]}, {"out", buffers_.rounded}, {"scale", buffers_.scale}});
}

void PlanBuilder::add_ring_products(DevicePtr x, const gguf::Tensor* norm, std::span<const Product> products) {
    const Product& first = products[0];
    const auto rows = [](const Product& product) { return static_cast<std::uint32_t>(product.matrix->ne[1]); };
    kernels::GemvRingConfig config;
    config.type = first.matrix->type;
    config.rows = rows(first);
    config.cols = static_cast<std::uint32_t>(first.matrix->ne[0]);
    config.token_tile = token_tile_;
    if (norm) config.norm_epsilon = model_.shape.norm_epsilon;
    config.bias = first.bias != nullptr;
    config.residual = first.residual != 0;
    const auto& properties = device_.properties();
    config.ctas = properties.multiprocessors;
    config.shared_bytes = properties.shared_bytes_per_block_optin;
    std::vector<PlannedLaunch::Argument> arguments{{"x", x}, {"norm", on_device_.weights[norm]}};
    std::string matrices;
    for (std::size_t i = 0; i < products.size(); i++) {
        const Product& product = products[i];
        const TensorType type = product.matrix->type;
        if (i > 0) config.others.push_back({type, rows(product), product.bias != nullptr});
        const std::string number = i > 0 ? fmt::format("{}", i + 1) : std::string();
        arguments.emplace_back("weights" + number, on_device_.weights[product.matrix]);
        arguments.emplace_back("y" + number, product.y);
        arguments.emplace_back("bias" + number, on_device_.weights[product.bias]);
        arguments.emplace_back("residual" + number, product.residual);
        matrices += fmt::format(" {} {}{}{}", name(type), rows(product), product.bias ? " bias" : "",
                                product.residual ? " residual" : "");
    }
    add(
        fmt::format("gemv_ring{} x {} tile {}{}", matrices, config.cols, token_tile_, norm ? " norm" : ""),
        [config](auto target, auto version) { return kernels::gemv_ring(config, target, version); },
        [config](std::uint32_t tokens) { return kernels::gemv_ring_grid(config, tokens); }, arguments);
}

void PlanBuilder::add_general_product(DevicePtr x, const Product& product, bool scaled) {
    kernels::GemvConfig wanted;
    wanted.type = product.matrix->type;
    wanted.rows = static_cast<std::uint32_t>(product.matrix->ne[1]);
    wanted.cols = static_cast<std::uint32_t>(product.matrix->ne[0]);
    wanted.token_tile = token_tile_;
    wanted.bias = product.bias != nullptr;
    wanted.residual = product.residual != 0;
    wanted.scale = scaled;
    const auto& properties = device_.properties();
    const auto config = [&] {
        // The persistent engine's shape, so that both round alike.
        if (token_tile_ == 1 && on_device_.activations == ActivationFormat::q8_1)
            return kernels::shared_out_by_tiles(wanted);
        // The emulator wants few instructions, a GPU many warps.
        return kernels::completed(properties.is_emulator ? wanted
                                                         : kernels::spread(wanted, properties.multiprocessors));
    }();
    if (!config) {
        if (status_) status_ = config.error();
        return;
    }
    const auto key =
        fmt::format("gemv {} {}x{} tile {}{}{}{}", name(wanted.type), wanted.rows, wanted.cols, token_tile_,
                    scaled ? " scale" : "", wanted.bias ? " bias" : "", wanted.residual ? " residual" : "");
    const std::initializer_list<PlannedLaunch::Argument> arguments{{"weights", on_device_.weights[product.matrix]},
                                                                   {"x", x},
                                                                   {"y", product.y},
                                                                   {"scale", buffers_.scale},
                                                                   {"bias", on_device_.weights[product.bias]},
                                                                   {"residual", product.residual},
                                                                   {"tickets", schedule_ ? schedule_->tickets : 0}};
    if (schedule_) {
        add_scheduled_product(key, *config, arguments);
        return;
    }
    add(
        key, [config](auto target, auto version) { return kernels::gemv(*config, target, version); },
        [config](std::uint32_t tokens) { return kernels::gemv_grid(*config, tokens); }, arguments);
}

void PlanBuilder::add_scheduled_product(const std::string& key, const kernels::GemvConfig& config,
                                        std::initializer_list<PlannedLaunch::Argument> arguments) {
    if (!status_) return;
    const auto generate = [&](auto target, auto version) -> Result<kernels::Generated> {
        const auto tiles = kernels::gemv_tile(config);
        if (!tiles) return tiles.error();
        return kernels::schedule(*tiles, schedule_->policy, schedule_->scheduler, target, version);
    };
    const auto tiles_of = [config](std::uint32_t tokens) { return kernels::gemv_grid(config, tokens); };
    if (schedule_->scheduler != policies::Scheduler::static_) return add(key, generate, tiles_of, arguments);
    const auto built = kernels_.get(key, generate);
    if (!built) {
        status_ = built.error();
        return;
    }
    const auto on_one = (*built)->kernel->occupancy((*built)->launch.block_x, 0);
    if (!on_one) {
        status_ = on_one.error();
        return;
    }
    const std::uint64_t resident = std::uint64_t{std::max(1u, *on_one)} * device_.properties().multiprocessors;
    add(
        key, generate,
        [tiles_of, resident](std::uint32_t tokens) {
            const kernels::Grid grid = tiles_of(tokens);
            const std::uint64_t tiles = std::uint64_t{grid.x} * grid.y;
            return kernels::Grid{static_cast<std::uint32_t>(std::min(tiles, resident)), 1, 1};
        },
        arguments);
}

/// x += matrix · input, by the matrix product itself unless a norm stands between.
void PlanBuilder::add_block_output(const gguf::Tensor* matrix, DevicePtr input, const gguf::Tensor* post_norm) {
    if (!post_norm) {
        add_products(input, nullptr, {{matrix, buffers_.x, nullptr, buffers_.x}});
        return;
    }
    add_products(input, nullptr, {{matrix, buffers_.y}});
    add_normed_residual(buffers_.y, post_norm);
}

void PlanBuilder::layers() {
    const ModelShape& shape = model_.shape;
    add_gather();
    for (std::uint32_t l = 0; l < shape.layers; l++) {
        const LayerTensors& t = model_.layers[l];
        add_products(buffers_.x, t.attn_norm,
                     {{t.attn_q, buffers_.q, t.attn_q_bias},
                      {t.attn_k, buffers_.k, t.attn_k_bias},
                      {t.attn_v, buffers_.v, t.attn_v_bias}});
        add_head_inputs(l);
        add_attention(l);
        add_block_output(t.attn_output, buffers_.attention, t.post_attention_norm);
        add_products(buffers_.x, t.ffn_norm, {{t.ffn_gate, buffers_.gate}, {t.ffn_up, buffers_.up}});
        add_down(t.ffn_down, t.post_ffw_norm);
    }
}

void PlanBuilder::output(DevicePtr x) { add_products(x, model_.output_norm, {{model_.output, buffers_.logits}}); }

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
