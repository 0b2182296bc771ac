#include "runtime/inference/graph_engine.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/attention/kv_append.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/gather/gather.hpp"
#include "kernels/gemv/gemv.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"
#include "runtime/inference/activations.hpp"
#include "runtime/inference/kernel_set.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {
namespace {

using runtime::DevicePtr;

// Weights are read once for this many tokens of a prompt.
constexpr std::uint32_t prompt_token_tile = 8;

/// Tokens that one round of launches takes at most.
std::uint32_t chunk_of(const Model& model, const EngineOptions& options) {
    return std::min(std::max(options.chunk, 1u), context_of(model, options));
}

class OpByOp final : public GraphEngine {
public:
    OpByOp(runtime::Device& device, std::shared_ptr<DeviceModel> model, std::uint32_t chunk)
        : device_(device), stream_(device.stream()), on_device_(std::move(model)), shape_(on_device_->shape),
          chunk_(chunk), kernels_(device) {}

    Status initialise(const Model& model, const std::function<void(double)>& on_progress);

    Result<std::span<const float>> evaluate(std::span<const TokenId> ids) override {
        if (auto fits = check(ids); !fits) return fits.error();
        for (std::size_t at = 0; at < ids.size(); at += chunk_) {
            const auto part = ids.subspan(at, std::min<std::size_t>(chunk_, ids.size() - at));
            if (auto run = run_layers(part); !run) return run.error();
            if (at + part.size() == ids.size())
                if (auto logits = run_output(static_cast<std::uint32_t>(part.size() - 1)); !logits)
                    return logits.error();
        }
        return std::span<const float>(logits_host_);
    }

    Status evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) override {
        if (auto fits = check(ids); !fits) return fits;
        for (std::size_t at = 0; at < ids.size(); at += chunk_) {
            const auto part = ids.subspan(at, std::min<std::size_t>(chunk_, ids.size() - at));
            if (auto run = run_layers(part); !run) return run;
            for (std::uint32_t row = 0; row < part.size(); row++) {
                if (auto logits = run_output(row); !logits) return logits;
                if (auto taken = on_logits(logits_host_); !taken) return taken;
            }
        }
        return {};
    }

    Status rewind(std::uint32_t position) override {
        if (position > position_)
            return Error{fmt::format("cannot go to position {}: the sequence has {}", position, position_)};
        position_ = position;
        return {};
    }

    Status go_to(std::uint32_t position) override {
        if (position > context())
            return Error{fmt::format("cannot go to position {}: the context has {}", position, context())};
        position_ = position;
        return {};
    }

    std::uint32_t position() const override { return position_; }
    std::uint32_t context() const override { return on_device_->context(); }
    std::uint64_t launches() const override { return launches_; }

private:
    using Plan = std::vector<PlannedLaunch>;
    using Arguments = std::initializer_list<PlannedLaunch::Argument>;

    Status check(std::span<const TokenId> ids) const;
    Status plan_layers(const Model& model, std::uint32_t token_tile, Plan& plan);
    Status plan_output(const Model& model);
    Status add(Plan& plan, const std::string& key, const KernelSet::Generate& generate, PlannedLaunch::GridOf grid,
               Arguments arguments);
    Status add_norm(Plan& plan, DevicePtr x, const gguf::Tensor* weight, DevicePtr out);
    Status add_matrix(Plan& plan, const gguf::Tensor* matrix, const gguf::Tensor* bias, DevicePtr x, DevicePtr y,
                      std::uint32_t token_tile, DevicePtr residual = 0);
    Status run(Plan& plan, std::uint32_t tokens);
    Status run_layers(std::span<const TokenId> ids);
    Status run_output(std::uint32_t row);

    runtime::Device& device_;
    runtime::Stream& stream_;
    std::shared_ptr<DeviceModel> on_device_;
    const ModelShape& shape_;
    std::uint32_t chunk_;
    KernelSet kernels_;
    Activations buffers_;

    Plan prompt_plan_, token_plan_, output_plan_;
    std::vector<float> logits_host_;
    std::vector<std::uint32_t> state_host_; ///< what Activations::state gets
    std::uint32_t position_ = 0;
    std::uint64_t launches_ = 0;
};

Status OpByOp::check(std::span<const TokenId> ids) const {
    if (ids.empty()) return Error{"there is no token to evaluate"};
    for (std::size_t i = 0; i < ids.size(); i++)
        if (ids[i] < 0 || static_cast<std::uint32_t>(ids[i]) >= shape_.vocab)
            return Error{
                fmt::format("token {} has id {}, the vocabulary has ids 0 to {}", i, ids[i], shape_.vocab - 1)};
    if (ids.size() > on_device_->context() - position_)
        return Error{
            fmt::format("context full: {} tokens in it and {} more do not fit {} positions; ask for a larger context",
                        position_, ids.size(), on_device_->context())};
    return {};
}

Status OpByOp::add(Plan& plan, const std::string& key, const KernelSet::Generate& generate, PlannedLaunch::GridOf grid,
                   Arguments arguments) {
    auto kernel = kernels_.get(key, generate);
    if (!kernel) return std::move(kernel).error();
    auto planned = PlannedLaunch::bind(**kernel, std::move(grid), arguments);
    if (!planned) return std::move(planned).error();
    plan.push_back(std::move(*planned));
    return {};
}

Status OpByOp::add_norm(Plan& plan, DevicePtr x, const gguf::Tensor* weight, DevicePtr out) {
    const kernels::RmsNormConfig config{shape_.hidden, shape_.norm_epsilon};
    return add(
        plan, "rms_norm", [=](auto target, auto version) { return kernels::rms_norm(config, target, version); },
        [](std::uint32_t tokens) { return kernels::rms_norm_grid(tokens); },
        {{"x", x}, {"weight", on_device_->weights[weight]}, {"out", out}});
}

Status OpByOp::add_matrix(Plan& plan, const gguf::Tensor* matrix, const gguf::Tensor* bias, DevicePtr x, DevicePtr y,
                          std::uint32_t token_tile, DevicePtr residual) {
    kernels::GemvConfig wanted;
    wanted.type = matrix->type;
    wanted.rows = static_cast<std::uint32_t>(matrix->ne[1]);
    wanted.cols = static_cast<std::uint32_t>(matrix->ne[0]);
    wanted.token_tile = token_tile;
    wanted.bias = bias != nullptr;
    wanted.residual = residual != 0;
    // The emulator wants few instructions, a GPU many warps.
    const auto& properties = device_.properties();
    auto config =
        kernels::completed(properties.is_emulator ? wanted : kernels::spread(wanted, properties.multiprocessors));
    if (!config) return std::move(config).error();
    return add(
        plan,
        fmt::format("gemv {} {}x{} tile {}{}{}", name(matrix->type), wanted.rows, wanted.cols, token_tile,
                    wanted.bias ? " bias" : "", wanted.residual ? " residual" : ""),
        [config](auto target, auto version) { return kernels::gemv(*config, target, version); },
        [config](std::uint32_t tokens) { return kernels::gemv_grid(*config, tokens); },
        {{"weights", on_device_->weights[matrix]},
         {"x", x},
         {"y", y},
         {"bias", on_device_->weights[bias]},
         {"residual", residual}});
}

Status OpByOp::plan_layers(const Model& model, std::uint32_t token_tile, Plan& plan) {
    kernels::GatherConfig gather;
    gather.type = model.token_embd->type;
    gather.rows = shape_.vocab;
    gather.cols = shape_.hidden;
    gather.scale = static_cast<float>(shape_.embedding_scale);
    if (auto ok = add(
            plan, "gather", [=](auto target, auto version) { return kernels::gather(gather, target, version); },
            [gather](std::uint32_t tokens) { return kernels::gather_grid(gather, tokens); },
            {{"table", on_device_->weights[model.token_embd]}, {"ids", buffers_.ids()}, {"out", buffers_.x}});
        !ok)
        return ok;

    const kernels::KvCacheShape& cache = on_device_->cache.shape();
    const auto add_head_norm = [&](DevicePtr x, const gguf::Tensor* weight, std::uint32_t heads) {
        const kernels::HeadRmsNormConfig config{heads, shape_.head_dim, shape_.norm_epsilon};
        return add(
            plan, fmt::format("head_rms_norm {}", heads),
            [=](auto target, auto version) { return kernels::head_rms_norm(config, target, version); },
            [config](std::uint32_t tokens) { return kernels::head_rms_norm_grid(config, tokens); },
            {{"x", x}, {"weight", on_device_->weights[weight]}, {"out", x}});
    };
    const auto add_rope = [&](DevicePtr x, std::uint32_t heads, bool sliding) {
        const kernels::RopeConfig config{shape_.rope.kind, heads, shape_.head_dim, shape_.rope.dim};
        return add(
            plan, fmt::format("rope {}", heads),
            [=](auto target, auto version) { return kernels::rope(config, target, version); },
            [](std::uint32_t tokens) { return kernels::rope_grid(tokens); },
            {{"x", x}, {"table", on_device_->rope.address(sliding)}, {"position", buffers_.position()}});
    };
    const auto add_residual = [&](DevicePtr from) {
        const kernels::AddConfig config{shape_.hidden};
        return add(
            plan, "add", [=](auto target, auto version) { return kernels::add(config, target, version); },
            [config](std::uint32_t tokens) { return kernels::add_grid(config, tokens); },
            {{"x", buffers_.x}, {"y", from}});
    };
    const auto add_gate = [&] {
        const kernels::GatedConfig config{shape_.ffn};
        const bool swiglu = shape_.activation == Activation::swiglu;
        return add(
            plan, "gate",
            [=](auto target, auto version) {
                return swiglu ? kernels::swiglu(config, target, version) : kernels::geglu(config, target, version);
            },
            [config](std::uint32_t tokens) { return kernels::gated_grid(config, tokens); },
            {{"gate", buffers_.gate}, {"up", buffers_.up}, {"out", buffers_.gate}});
    };
    const auto add_attention = [&](std::uint32_t layer) {
        kernels::AttentionConfig config;
        config.cache = cache;
        config.heads = shape_.heads;
        config.scale = shape_.query_scale;
        config.window = shape_.is_sliding(layer) ? shape_.sliding_window : 0;
        return add(
            plan, fmt::format("attention {}", config.window),
            [=](auto target, auto version) { return kernels::attention(config, target, version); },
            [config](std::uint32_t tokens) { return kernels::attention_grid(config, tokens); },
            {{"q", buffers_.q},
             {"k_cache", on_device_->cache.keys(layer)},
             {"v_cache", on_device_->cache.values(layer)},
             {"out", buffers_.attention},
             {"position", buffers_.position()}});
    };

    // x += matrix · input, by the matrix product itself unless a norm stands between.
    const auto add_block_output = [&](const gguf::Tensor* matrix, DevicePtr input,
                                      const gguf::Tensor* post_norm) -> Status {
        if (!post_norm) return add_matrix(plan, matrix, nullptr, input, buffers_.x, token_tile, buffers_.x);
        if (auto ok = add_matrix(plan, matrix, nullptr, input, buffers_.y, token_tile); !ok) return ok;
        if (auto ok = add_norm(plan, buffers_.y, post_norm, buffers_.y); !ok) return ok;
        return add_residual(buffers_.y);
    };

    for (std::uint32_t l = 0; l < shape_.layers; l++) {
        const LayerTensors& t = model.layers[l];
        const bool sliding = shape_.is_sliding(l);
        Status ok = add_norm(plan, buffers_.x, t.attn_norm, buffers_.h);
        if (ok) ok = add_matrix(plan, t.attn_q, t.attn_q_bias, buffers_.h, buffers_.q, token_tile);
        if (ok) ok = add_matrix(plan, t.attn_k, t.attn_k_bias, buffers_.h, buffers_.k, token_tile);
        if (ok) ok = add_matrix(plan, t.attn_v, t.attn_v_bias, buffers_.h, buffers_.v, token_tile);
        if (ok && shape_.qk_norm) ok = add_head_norm(buffers_.q, t.attn_q_norm, shape_.heads);
        if (ok && shape_.qk_norm) ok = add_head_norm(buffers_.k, t.attn_k_norm, shape_.kv_heads);
        if (ok) ok = add_rope(buffers_.q, shape_.heads, sliding);
        if (ok) ok = add_rope(buffers_.k, shape_.kv_heads, sliding);
        if (ok)
            ok = add(
                plan, "kv_append",
                [=](auto target, auto version) { return kernels::kv_append(cache, target, version); },
                [](std::uint32_t tokens) { return kernels::kv_append_grid(tokens); },
                {{"k", buffers_.k},
                 {"v", buffers_.v},
                 {"k_cache", on_device_->cache.keys(l)},
                 {"v_cache", on_device_->cache.values(l)},
                 {"position", buffers_.position()}});
        if (ok) ok = add_attention(l);
        if (ok) ok = add_block_output(t.attn_output, buffers_.attention, t.post_attention_norm);
        if (ok) ok = add_norm(plan, buffers_.x, t.ffn_norm, buffers_.h);
        if (ok) ok = add_matrix(plan, t.ffn_gate, nullptr, buffers_.h, buffers_.gate, token_tile);
        if (ok) ok = add_matrix(plan, t.ffn_up, nullptr, buffers_.h, buffers_.up, token_tile);
        if (ok) ok = add_gate();
        if (ok) ok = add_block_output(t.ffn_down, buffers_.gate, t.post_ffw_norm);
        if (!ok) return ok;
    }
    return {};
}

Status OpByOp::plan_output(const Model& model) {
    // One row: run_output copies the wanted row of x to the first row of h.
    if (auto ok = add_norm(output_plan_, buffers_.h, model.output_norm, buffers_.y); !ok) return ok;
    return add_matrix(output_plan_, model.output, nullptr, buffers_.y, buffers_.logits, 1);
}

Status OpByOp::initialise(const Model& model, const std::function<void(double)>& on_progress) {
    const auto progress = [&](double share) {
        if (on_progress) on_progress(share);
    };
    if (auto ok = buffers_.allocate(device_, shape_, chunk_); !ok) return ok;
    logits_host_.resize(shape_.vocab);
    if (auto ok = plan_layers(model, prompt_token_tile, prompt_plan_); !ok) return ok;
    progress(0.5);
    if (auto ok = plan_layers(model, 1, token_plan_); !ok) return ok;
    if (auto ok = plan_output(model); !ok) return ok;
    progress(1.0);
    return {};
}

Status OpByOp::run(Plan& plan, std::uint32_t tokens) {
    for (auto& launch : plan) {
        if (auto launched = launch.launch(stream_, tokens); !launched) return launched;
        launches_++;
    }
    return {};
}

Status OpByOp::run_layers(std::span<const TokenId> ids) {
    const auto tokens = static_cast<std::uint32_t>(ids.size());
    state_host_.assign(1, position_);
    state_host_.insert(state_host_.end(), ids.begin(), ids.end());
    if (auto ok = stream_.copy_to_device(buffers_.state, state_host_.data(), 4 * state_host_.size()); !ok) return ok;
    if (auto ok = run(tokens == 1 ? token_plan_ : prompt_plan_, tokens); !ok) return ok;
    position_ += tokens;
    return {};
}

Status OpByOp::run_output(std::uint32_t row) {
    const std::uint64_t bytes = 4ull * shape_.hidden;
    if (auto ok = stream_.copy(buffers_.h, buffers_.x + row * bytes, bytes); !ok) return ok;
    if (auto ok = run(output_plan_, 1); !ok) return ok;
    if (auto ok = stream_.copy_to_host(logits_host_.data(), buffers_.logits, logits_host_.size() * 4); !ok) return ok;
    return stream_.synchronize();
}

} // namespace

std::uint64_t GraphEngine::bytes(const Model& model, const EngineOptions& options) {
    return Activations::bytes(model.shape, chunk_of(model, options));
}

Result<std::unique_ptr<GraphEngine>> GraphEngine::create(runtime::Device& device, const Model& model,
                                                         std::shared_ptr<DeviceModel> on_device,
                                                         const EngineOptions& options,
                                                         const std::function<void(double)>& on_progress) {
    auto engine = std::make_unique<OpByOp>(device, std::move(on_device), chunk_of(model, options));
    if (auto ok = engine->initialise(model, on_progress); !ok) return std::move(ok).error();
    return std::unique_ptr<GraphEngine>(std::move(engine));
}

std::uint64_t graph_engine_bytes(const Model& model, const EngineOptions& options) {
    return DeviceModel::bytes(model, options) + GraphEngine::bytes(model, options);
}

Result<std::unique_ptr<Engine>> create_graph_engine(runtime::Device& device, const Model& model,
                                                    const EngineOptions& options) {
    if (auto ok = check_room(device, model, options, graph_engine_bytes(model, options)); !ok) return ok.error();
    // Uploading dominates; compiling is the last tenth.
    const auto part_of_progress = [&options](double from, double share) -> std::function<void(double)> {
        if (!options.on_progress) return {};
        return [&options, from, share](double done) { options.on_progress(from + share * done); };
    };
    auto on_device = DeviceModel::create(device, model, options, part_of_progress(0, 0.9));
    if (!on_device) return std::move(on_device).error();
    auto engine = GraphEngine::create(device, model, std::move(*on_device), options, part_of_progress(0.9, 0.1));
    if (!engine) return std::move(engine).error();
    return std::unique_ptr<Engine>(std::move(*engine));
}

} // namespace ptxgen
