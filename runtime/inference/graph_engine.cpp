#include "kernels/attention/attention.hpp"
#include "kernels/attention/kv_append.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/elementwise/add.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/gather/gather.hpp"
#include "kernels/gemv/gemv.hpp"
#include "kernels/norm/head_rms_norm.hpp"
#include "kernels/norm/rms_norm.hpp"
#include "runtime/inference/device_weights.hpp"
#include "runtime/inference/engine.hpp"
#include "runtime/inference/kernel_set.hpp"
#include "runtime/inference/rope_table.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen {
namespace {

using kernels::CacheType;
using runtime::Buffer;
using runtime::DevicePtr;

// Weights are read once for this many tokens of a prompt.
constexpr std::uint32_t prompt_token_tile = 8;
constexpr std::uint32_t default_context = 4096;

std::uint32_t context_of(const Model& model, const EngineOptions& options) {
    return options.context ? options.context : std::min(model.shape.context, default_context);
}

/// Sizes of what lies in device memory beside the weights, in elements.
struct Sizes {
    std::uint32_t context, chunk;
    std::uint64_t cache_bytes; ///< keys (or values) of one layer
    std::uint64_t rope_floats; ///< one table
    std::uint64_t activation_floats;

    Sizes(const Model& model, const EngineOptions& options) {
        const auto& s = model.shape;
        context = context_of(model, options);
        chunk = std::min(std::max(options.chunk, 1u), context);
        cache_bytes = std::uint64_t{s.kv_heads} * context * s.head_dim * (options.kv == KvType::f32 ? 4 : 2);
        rope_floats = std::uint64_t{context} * s.rope.dim;
        // x, h, y (hidden), q, attention output (q_dim), k, v (kv_dim), gate, up (ffn), and one row of logits.
        activation_floats =
            std::uint64_t{chunk} * (3ull * s.hidden + 2ull * s.q_dim() + 2ull * s.kv_dim() + 2ull * s.ffn) + s.vocab;
    }
    std::uint64_t total_bytes(const Model& model) const {
        return DeviceWeights::bytes(model) + 2 * cache_bytes * model.shape.layers +
               4 * (2 * rope_floats + activation_floats) + 4ull * chunk + 4;
    }
};

class GraphEngine final : public Engine {
public:
    GraphEngine(runtime::Device& device, const Model& model, const EngineOptions& options)
        : device_(device), stream_(device.stream()), shape_(model.shape), sizes_(model, options), kv_(options.kv),
          kernels_(device) {}

    Status initialise(const Model& model, const EngineOptions& options);

    Result<std::span<const float>> evaluate(std::span<const TokenId> ids) override {
        if (auto fits = check(ids); !fits) return fits.error();
        for (std::size_t at = 0; at < ids.size(); at += sizes_.chunk) {
            const auto part = ids.subspan(at, std::min<std::size_t>(sizes_.chunk, ids.size() - at));
            if (auto run = run_layers(part); !run) return run.error();
            if (at + part.size() == ids.size())
                if (auto logits = run_output(static_cast<std::uint32_t>(part.size() - 1)); !logits)
                    return logits.error();
        }
        return std::span<const float>(logits_host_);
    }

    Status evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) override {
        if (auto fits = check(ids); !fits) return fits;
        for (std::size_t at = 0; at < ids.size(); at += sizes_.chunk) {
            const auto part = ids.subspan(at, std::min<std::size_t>(sizes_.chunk, ids.size() - at));
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

    std::uint32_t position() const override { return position_; }
    std::uint32_t context() const override { return sizes_.context; }
    std::uint64_t launches() const override { return launches_; }

private:
    using Plan = std::vector<PlannedLaunch>;
    using Arguments = std::initializer_list<PlannedLaunch::Argument>;

    Status check(std::span<const TokenId> ids) const;
    Status allocate(const Model& model);
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
    ModelShape shape_;
    Sizes sizes_;
    KvType kv_;
    KernelSet kernels_;
    DeviceWeights weights_;

    std::vector<Buffer> buffers_;
    DevicePtr ids_ = 0, position_address_ = 0, x_ = 0, h_ = 0, y_ = 0, q_ = 0, k_ = 0, v_ = 0, attention_ = 0,
              gate_ = 0, up_ = 0, logits_ = 0, rope_ = 0, rope_swa_ = 0;
    struct LayerCache {
        DevicePtr keys, values;
    };
    std::vector<LayerCache> cache_;

    Plan prompt_plan_, token_plan_, output_plan_;
    std::vector<float> logits_host_;
    std::uint32_t position_ = 0;
    std::uint64_t launches_ = 0;
};

Status GraphEngine::check(std::span<const TokenId> ids) const {
    if (ids.empty()) return Error{"there is no token to evaluate"};
    for (std::size_t i = 0; i < ids.size(); i++)
        if (ids[i] < 0 || static_cast<std::uint32_t>(ids[i]) >= shape_.vocab)
            return Error{
                fmt::format("token {} has id {}, the vocabulary has ids 0 to {}", i, ids[i], shape_.vocab - 1)};
    if (ids.size() > sizes_.context - position_)
        return Error{
            fmt::format("context full: {} tokens in it and {} more do not fit {} positions; ask for a larger context",
                        position_, ids.size(), sizes_.context)};
    return {};
}

Status GraphEngine::allocate(const Model& model) {
    const auto buffer = [&](DevicePtr& address, std::uint64_t bytes) -> Status {
        auto allocated = device_.allocate(std::max<std::uint64_t>(bytes, 4));
        if (!allocated) return std::move(allocated).error();
        address = allocated->address();
        buffers_.push_back(std::move(*allocated));
        return {};
    };
    const std::uint64_t rows = sizes_.chunk;
    const std::pair<DevicePtr*, std::uint64_t> wanted[] = {
        {&ids_, 4 * rows},
        {&position_address_, 4},
        {&x_, 4 * rows * shape_.hidden},
        {&h_, 4 * rows * shape_.hidden},
        {&y_, 4 * rows * shape_.hidden},
        {&q_, 4 * rows * shape_.q_dim()},
        {&attention_, 4 * rows * shape_.q_dim()},
        {&k_, 4 * rows * shape_.kv_dim()},
        {&v_, 4 * rows * shape_.kv_dim()},
        {&gate_, 4 * rows * shape_.ffn},
        {&up_, 4 * rows * shape_.ffn},
        {&logits_, 4ull * shape_.vocab},
    };
    for (const auto& [address, bytes] : wanted)
        if (auto ok = buffer(*address, bytes); !ok) return ok;
    cache_.resize(shape_.layers);
    for (auto& layer : cache_) {
        if (auto ok = buffer(layer.keys, sizes_.cache_bytes); !ok) return ok;
        if (auto ok = buffer(layer.values, sizes_.cache_bytes); !ok) return ok;
    }
    std::span<const float> factors;
    if (model.rope_freqs)
        factors = {reinterpret_cast<const float*>(model.rope_freqs->data),
                   static_cast<std::size_t>(shape_.rope.dim / 2)};
    const auto table = [&](DevicePtr& address, double base, double scale) -> Status {
        const auto values = rope_table(sizes_.context, shape_.rope.dim, base, scale, factors);
        if (auto ok = buffer(address, values.size() * 4); !ok) return ok;
        return stream_.copy_to_device(address, values.data(), values.size() * 4);
    };
    if (auto ok = table(rope_, shape_.rope.base, shape_.rope.scale); !ok) return ok;
    if (shape_.sliding_window > 0)
        if (auto ok = table(rope_swa_, shape_.rope.base_swa, 1.0); !ok) return ok;
    logits_host_.resize(shape_.vocab);
    return stream_.synchronize();
}

Status GraphEngine::add(Plan& plan, const std::string& key, const KernelSet::Generate& generate,
                        PlannedLaunch::GridOf grid, Arguments arguments) {
    auto kernel = kernels_.get(key, generate);
    if (!kernel) return std::move(kernel).error();
    auto planned = PlannedLaunch::bind(**kernel, std::move(grid), arguments);
    if (!planned) return std::move(planned).error();
    plan.push_back(std::move(*planned));
    return {};
}

Status GraphEngine::add_norm(Plan& plan, DevicePtr x, const gguf::Tensor* weight, DevicePtr out) {
    const kernels::RmsNormConfig config{shape_.hidden, shape_.norm_epsilon};
    return add(
        plan, "rms_norm", [=](auto target, auto version) { return kernels::rms_norm(config, target, version); },
        [](std::uint32_t tokens) { return kernels::rms_norm_grid(tokens); },
        {{"x", x}, {"weight", weights_[weight]}, {"out", out}});
}

Status GraphEngine::add_matrix(Plan& plan, const gguf::Tensor* matrix, const gguf::Tensor* bias, DevicePtr x,
                               DevicePtr y, std::uint32_t token_tile, DevicePtr residual) {
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
        {{"weights", weights_[matrix]}, {"x", x}, {"y", y}, {"bias", weights_[bias]}, {"residual", residual}});
}

Status GraphEngine::plan_layers(const Model& model, std::uint32_t token_tile, Plan& plan) {
    kernels::GatherConfig gather;
    gather.type = model.token_embd->type;
    gather.rows = shape_.vocab;
    gather.cols = shape_.hidden;
    gather.scale = static_cast<float>(shape_.embedding_scale);
    if (auto ok = add(
            plan, "gather", [=](auto target, auto version) { return kernels::gather(gather, target, version); },
            [gather](std::uint32_t tokens) { return kernels::gather_grid(gather, tokens); },
            {{"table", weights_[model.token_embd]}, {"ids", ids_}, {"out", x_}});
        !ok)
        return ok;

    const kernels::KvCacheShape cache{shape_.kv_heads, shape_.head_dim, sizes_.context,
                                      kv_ == KvType::f32 ? CacheType::f32 : CacheType::f16};
    const auto add_head_norm = [&](DevicePtr x, const gguf::Tensor* weight, std::uint32_t heads) {
        const kernels::HeadRmsNormConfig config{heads, shape_.head_dim, shape_.norm_epsilon};
        return add(
            plan, fmt::format("head_rms_norm {}", heads),
            [=](auto target, auto version) { return kernels::head_rms_norm(config, target, version); },
            [config](std::uint32_t tokens) { return kernels::head_rms_norm_grid(config, tokens); },
            {{"x", x}, {"weight", weights_[weight]}, {"out", x}});
    };
    const auto add_rope = [&](DevicePtr x, std::uint32_t heads, bool sliding) {
        const kernels::RopeConfig config{shape_.rope.kind, heads, shape_.head_dim, shape_.rope.dim};
        return add(
            plan, fmt::format("rope {}", heads),
            [=](auto target, auto version) { return kernels::rope(config, target, version); },
            [](std::uint32_t tokens) { return kernels::rope_grid(tokens); },
            {{"x", x}, {"table", sliding ? rope_swa_ : rope_}, {"position", position_address_}});
    };
    const auto add_residual = [&](DevicePtr from) {
        const kernels::AddConfig config{shape_.hidden};
        return add(
            plan, "add", [=](auto target, auto version) { return kernels::add(config, target, version); },
            [config](std::uint32_t tokens) { return kernels::add_grid(config, tokens); }, {{"x", x_}, {"y", from}});
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
            {{"gate", gate_}, {"up", up_}, {"out", gate_}});
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
            {{"q", q_},
             {"k_cache", cache_[layer].keys},
             {"v_cache", cache_[layer].values},
             {"out", attention_},
             {"position", position_address_}});
    };

    // x += matrix · input, by the matrix product itself unless a norm stands between.
    const auto add_block_output = [&](const gguf::Tensor* matrix, DevicePtr input,
                                      const gguf::Tensor* post_norm) -> Status {
        if (!post_norm) return add_matrix(plan, matrix, nullptr, input, x_, token_tile, x_);
        if (auto ok = add_matrix(plan, matrix, nullptr, input, y_, token_tile); !ok) return ok;
        if (auto ok = add_norm(plan, y_, post_norm, y_); !ok) return ok;
        return add_residual(y_);
    };

    for (std::uint32_t l = 0; l < shape_.layers; l++) {
        const LayerTensors& t = model.layers[l];
        const bool sliding = shape_.is_sliding(l);
        Status ok = add_norm(plan, x_, t.attn_norm, h_);
        if (ok) ok = add_matrix(plan, t.attn_q, t.attn_q_bias, h_, q_, token_tile);
        if (ok) ok = add_matrix(plan, t.attn_k, t.attn_k_bias, h_, k_, token_tile);
        if (ok) ok = add_matrix(plan, t.attn_v, t.attn_v_bias, h_, v_, token_tile);
        if (ok && shape_.qk_norm) ok = add_head_norm(q_, t.attn_q_norm, shape_.heads);
        if (ok && shape_.qk_norm) ok = add_head_norm(k_, t.attn_k_norm, shape_.kv_heads);
        if (ok) ok = add_rope(q_, shape_.heads, sliding);
        if (ok) ok = add_rope(k_, shape_.kv_heads, sliding);
        if (ok)
            ok = add(
                plan, "kv_append",
                [=](auto target, auto version) { return kernels::kv_append(cache, target, version); },
                [](std::uint32_t tokens) { return kernels::kv_append_grid(tokens); },
                {{"k", k_},
                 {"v", v_},
                 {"k_cache", cache_[l].keys},
                 {"v_cache", cache_[l].values},
                 {"position", position_address_}});
        if (ok) ok = add_attention(l);
        if (ok) ok = add_block_output(t.attn_output, attention_, t.post_attention_norm);
        if (ok) ok = add_norm(plan, x_, t.ffn_norm, h_);
        if (ok) ok = add_matrix(plan, t.ffn_gate, nullptr, h_, gate_, token_tile);
        if (ok) ok = add_matrix(plan, t.ffn_up, nullptr, h_, up_, token_tile);
        if (ok) ok = add_gate();
        if (ok) ok = add_block_output(t.ffn_down, gate_, t.post_ffw_norm);
        if (!ok) return ok;
    }
    return {};
}

Status GraphEngine::plan_output(const Model& model) {
    // One row: run_output copies the wanted row of x to the first row of h.
    if (auto ok = add_norm(output_plan_, h_, model.output_norm, y_); !ok) return ok;
    return add_matrix(output_plan_, model.output, nullptr, y_, logits_, 1);
}

Status GraphEngine::initialise(const Model& model, const EngineOptions& options) {
    const auto progress = [&](double share) {
        if (options.on_progress) options.on_progress(share);
    };
    // Uploading dominates; compiling is the last tenth.
    const double weight_bytes = static_cast<double>(std::max<std::uint64_t>(DeviceWeights::bytes(model), 1));
    auto weights = DeviceWeights::upload(device_, model, [&](std::uint64_t done) {
        progress(0.9 * std::min(1.0, static_cast<double>(done) / weight_bytes));
    });
    if (!weights) return std::move(weights).error();
    weights_ = std::move(*weights);
    if (auto ok = allocate(model); !ok) return ok;
    if (auto ok = plan_layers(model, prompt_token_tile, prompt_plan_); !ok) return ok;
    progress(0.95);
    if (auto ok = plan_layers(model, 1, token_plan_); !ok) return ok;
    if (auto ok = plan_output(model); !ok) return ok;
    progress(1.0);
    return {};
}

Status GraphEngine::run(Plan& plan, std::uint32_t tokens) {
    for (auto& launch : plan) {
        if (auto launched = launch.launch(stream_, tokens); !launched) return launched;
        launches_++;
    }
    return {};
}

Status GraphEngine::run_layers(std::span<const TokenId> ids) {
    const auto tokens = static_cast<std::uint32_t>(ids.size());
    if (auto ok = stream_.copy_to_device(ids_, ids.data(), ids.size_bytes()); !ok) return ok;
    if (auto ok = stream_.copy_to_device(position_address_, &position_, sizeof position_); !ok) return ok;
    if (auto ok = run(tokens == 1 ? token_plan_ : prompt_plan_, tokens); !ok) return ok;
    position_ += tokens;
    return {};
}

Status GraphEngine::run_output(std::uint32_t row) {
    const std::uint64_t bytes = 4ull * shape_.hidden;
    if (auto ok = stream_.copy(h_, x_ + row * bytes, bytes); !ok) return ok;
    if (auto ok = run(output_plan_, 1); !ok) return ok;
    if (auto ok = stream_.copy_to_host(logits_host_.data(), logits_, logits_host_.size() * 4); !ok) return ok;
    return stream_.synchronize();
}

} // namespace

std::uint64_t graph_engine_bytes(const Model& model, const EngineOptions& options) {
    return Sizes(model, options).total_bytes(model);
}

Result<std::unique_ptr<Engine>> create_graph_engine(runtime::Device& device, const Model& model,
                                                    const EngineOptions& options) {
    if (options.context > model.shape.context)
        return Error{
            fmt::format("a context of {} positions is beyond the model's {}", options.context, model.shape.context)};
    const std::uint64_t needed = graph_engine_bytes(model, options);
    auto memory = device.memory_info();
    if (!memory) return std::move(memory).error();
    if (needed > memory->free_bytes)
        return Error{
            fmt::format("the model needs {:.1f} MiB of device memory with a context of {}, {:.1f} MiB are free on {}; "
                        "a smaller context needs less",
                        static_cast<double>(needed) / 1048576.0, context_of(model, options),
                        static_cast<double>(memory->free_bytes) / 1048576.0, device.properties().name)};
    auto engine = std::make_unique<GraphEngine>(device, model, options);
    if (auto ok = engine->initialise(model, options); !ok) return std::move(ok).error();
    return std::unique_ptr<Engine>(std::move(engine));
}

} // namespace ptxgen
