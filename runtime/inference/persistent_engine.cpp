#include "runtime/inference/persistent_engine.hpp"

#include "kernels/decoder/decoder.hpp"
#include "kernels/decoder/edge.hpp"
#include "runtime/inference/graph_engine.hpp"
#include "runtime/inference/kernel_set.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <thread>

namespace ptxgen {
namespace {

using kernels::DecoderStatus;
using kernels::LayerTensor;
using runtime::Buffer;
using runtime::DevicePtr;

/// Tokens of one launch that gives logits.
constexpr std::uint32_t logit_rows = 16;
constexpr std::uint32_t max_stop_ids = 64;

const gguf::Tensor* tensor_of(const LayerTensors& t, LayerTensor name) {
    switch (name) {
    case LayerTensor::attn_norm: return t.attn_norm;
    case LayerTensor::attn_q: return t.attn_q;
    case LayerTensor::attn_k: return t.attn_k;
    case LayerTensor::attn_v: return t.attn_v;
    case LayerTensor::attn_q_bias: return t.attn_q_bias;
    case LayerTensor::attn_k_bias: return t.attn_k_bias;
    case LayerTensor::attn_v_bias: return t.attn_v_bias;
    case LayerTensor::attn_q_norm: return t.attn_q_norm;
    case LayerTensor::attn_k_norm: return t.attn_k_norm;
    case LayerTensor::attn_output: return t.attn_output;
    case LayerTensor::post_attention_norm: return t.post_attention_norm;
    case LayerTensor::ffn_norm: return t.ffn_norm;
    case LayerTensor::ffn_gate: return t.ffn_gate;
    case LayerTensor::ffn_up: return t.ffn_up;
    case LayerTensor::ffn_down: return t.ffn_down;
    case LayerTensor::post_ffw_norm: return t.post_ffw_norm;
    }
    return nullptr;
}

/// Whether the weights lie on the device as the decoder takes them to.
Status check_places(const Model& model, const DeviceWeights& weights, const kernels::WeightLayout& layout,
                    DevicePtr base) {
    const auto check = [&](const gguf::Tensor* tensor, std::uint64_t at) -> Status {
        if (!tensor || weights[tensor] == base + at) return {};
        return Error{fmt::format("tensor '{}' lies {} bytes behind the first one, the decoder looks for it at {}",
                                 tensor->name, weights[tensor] - base, at)};
    };
    Status ok = check(model.output_norm, layout.output_norm);
    if (ok) ok = check(model.output, layout.output);
    for (std::uint32_t l = 0; ok && l < model.shape.layers; l++)
        for (std::size_t t = 0; ok && t < kernels::layer_tensor_count; t++)
            ok = check(tensor_of(model.layers[l], static_cast<LayerTensor>(t)), layout.layers[l][t]);
    return ok;
}

class PersistentEngine final : public Engine {
public:
    PersistentEngine(runtime::Device& device, std::shared_ptr<DeviceModel> model, std::unique_ptr<GraphEngine> graph)
        : device_(device), stream_(device.stream()), on_device_(std::move(model)), shape_(on_device_->shape),
          graph_(std::move(graph)), kernels_(device) {}

    Status initialise(const Model& model, const EngineOptions& options, const PersistentOptions& persistent);

    Result<std::span<const float>> evaluate(std::span<const TokenId> ids) override;
    Status evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) override;
    Result<std::uint32_t> generate(TokenId first, std::uint32_t max_tokens, std::span<const TokenId> stop_ids,
                                   const OnToken& on_token) override;
    Status rewind(std::uint32_t position) override {
        if (position > position_)
            return Error{fmt::format("cannot go to position {}: the sequence has {}", position, position_)};
        position_ = position;
        return {};
    }
    std::uint32_t position() const override { return position_; }
    std::uint32_t context() const override { return on_device_->context(); }
    std::uint64_t launches() const override { return launches_ + graph_->launches(); }

private:
    /// Launches the decoder for `given` ids, and on to `steps` tokens.
    Status launch(std::span<const TokenId> given, std::uint32_t steps, std::span<const TokenId> stop_ids,
                  bool logits_wanted);
    /// Waits for the end of the launch; the error says what became of it.
    Status finish();
    Status tell_profile();
    Status check(std::span<const TokenId> ids) const;
    std::atomic_ref<std::uint64_t> token(std::uint32_t number) {
        return std::atomic_ref(static_cast<std::uint64_t*>(tokens_->data())[number]);
    }
    std::atomic_ref<std::uint32_t> stop() {
        return std::atomic_ref(static_cast<std::uint32_t*>(tokens_->data())[2 * std::size_t{context()}]);
    }

    runtime::Device& device_;
    runtime::Stream& stream_;
    std::shared_ptr<DeviceModel> on_device_;
    const ModelShape& shape_;
    std::unique_ptr<GraphEngine> graph_;
    KernelSet kernels_;
    const BuiltKernel* decoder_ = nullptr;
    runtime::LaunchConfig launch_;
    DevicePtr weights_ = 0;
    Buffer edges_, status_, given_, stop_ids_, logits_, profile_;
    std::function<void(std::string_view)> on_profile_;
    /// u64 [context] tokens as the decoder tells them, u32 stop.
    std::unique_ptr<runtime::HostBuffer> tokens_;
    std::unique_ptr<runtime::Event> ended_;
    std::vector<float> logits_host_;
    std::vector<std::uint32_t> ids_host_;
    std::uint64_t limit_ns_ = 0;
    std::uint32_t epoch_ = 1;
    std::uint32_t position_ = 0;
    std::uint64_t launches_ = 0;
};

Status PersistentEngine::initialise(const Model& model, const EngineOptions& options,
                                    const PersistentOptions& persistent) {
    const auto& properties = device_.properties();
    kernels::DecoderConfig config;
    config.shape = shape_;
    config.weights = kernels::weight_layout(shape_, on_device_->weights.packed());
    config.ctas = options.ctas ? options.ctas : properties.multiprocessors;
    config.context = context();
    config.cache = on_device_->cache.shape().type;
    config.mma = properties.target.sm >= 80;
    config.ring = persistent.ring.value_or(properties.target.sm >= 90);
    config.shared_bytes = properties.shared_bytes_per_block_optin;
    config.split_positions = persistent.split_positions;
    config.silent_cta = persistent.silent_cta;
    config.tears_blocks = persistent.tears_blocks;
    config.busy_stages = persistent.busy_stages.value_or(config.busy_stages);
    config.stage_units = persistent.stage_units.value_or(config.stage_units);
    config.waiting_stages = persistent.waiting_stages.value_or(config.waiting_stages);
    config.wide_packets = persistent.wide_packets.value_or(properties.ptx_version >= PtxVersion{8, 3});
    config.profile = options.on_profile != nullptr;
    on_profile_ = options.on_profile;
    weights_ = on_device_->weights[model.token_embd];
    if (auto ok = check_places(model, on_device_->weights, config.weights, weights_); !ok) return ok;

    auto kernel = kernels_.get("persistent_decoder", [&](auto target, auto version) {
        return kernels::persistent_decoder(config, target, version);
    });
    if (!kernel) return std::move(kernel).error();
    decoder_ = *kernel;
    launch_.grid = {config.ctas};
    launch_.block = {decoder_->launch.block_x};
    launch_.shared_bytes = decoder_->launch.dynamic_shared_bytes;
    launch_.cooperative = true;
    auto resident = decoder_->kernel->occupancy(decoder_->launch.block_x, launch_.shared_bytes);
    if (!resident) return std::move(resident).error();
    if (!properties.cooperative_launch)
        return Error{fmt::format("{} has no cooperative launches, which the persistent engine needs: take the graph "
                                 "engine",
                                 properties.name)};
    const std::uint64_t most = std::uint64_t{*resident} * properties.multiprocessors;
    if (config.ctas > most)
        return Error{
            fmt::format("{} CTAs are too many for a cooperative launch of the decoder: {} holds {} at once, {} "
                        "on each of {} multiprocessors",
                        config.ctas, properties.name, most, *resident, properties.multiprocessors)};

    const auto sizes = kernels::decoder_buffers(config);
    const std::pair<Buffer*, std::uint64_t> wanted[] = {
        {&edges_, sizes.edges},      {&status_, sizes.status},          {&profile_, sizes.profile},
        {&given_, 4ull * context()}, {&stop_ids_, 4ull * max_stop_ids}, {&logits_, 4ull * logit_rows * shape_.vocab},
    };
    for (const auto& [buffer, bytes] : wanted) {
        auto allocated = device_.allocate(bytes);
        if (!allocated) return std::move(allocated).error();
        *buffer = std::move(*allocated);
    }
    auto tokens = device_.allocate_host(8ull * context() + 8, runtime::HostMemory::mapped);
    if (!tokens) return std::move(tokens).error();
    tokens_ = std::move(*tokens);
    std::fill_n(static_cast<std::uint64_t*>(tokens_->data()), context() + 1, 0);
    auto event = device_.create_event();
    if (!event) return std::move(event).error();
    ended_ = std::move(*event);
    if (auto ok = stream_.fill(edges_.address(), 0, edges_.size()); !ok) return ok;
    logits_host_.resize(std::size_t{logit_rows} * shape_.vocab);
    limit_ns_ = static_cast<std::uint64_t>(persistent.wait_seconds * 1e9);
    return stream_.synchronize();
}

Status PersistentEngine::check(std::span<const TokenId> ids) const {
    if (ids.empty()) return Error{"there is no token to evaluate"};
    for (std::size_t i = 0; i < ids.size(); i++)
        if (ids[i] < 0 || static_cast<std::uint32_t>(ids[i]) >= shape_.vocab)
            return Error{
                fmt::format("token {} has id {}, the vocabulary has ids 0 to {}", i, ids[i], shape_.vocab - 1)};
    if (ids.size() > context() - position_)
        return Error{
            fmt::format("context full: {} tokens in it and {} more do not fit {} positions; ask for a larger context",
                        position_, ids.size(), context())};
    return {};
}

Status PersistentEngine::launch(std::span<const TokenId> given, std::uint32_t steps, std::span<const TokenId> stop_ids,
                                bool logits_wanted) {
    for (std::uint32_t i = 0; i < steps; i++) token(i).store(0, std::memory_order_relaxed);
    stop().store(0);
    if (auto ok = stream_.fill(status_.address(), 0, status_.size()); !ok) return ok;
    if (auto ok = stream_.copy_to_device(given_.address(), given.data(), given.size_bytes()); !ok) return ok;
    if (!stop_ids.empty())
        if (auto ok = stream_.copy_to_device(stop_ids_.address(), stop_ids.data(), stop_ids.size_bytes()); !ok)
            return ok;
    const DevicePtr tokens = tokens_->device_address();
    const std::array<runtime::KernelArg, 19> args = {
        weights_,
        on_device_->cache.keys(0),
        on_device_->rope.address(false),
        on_device_->rope.address(shape_.sliding_window > 0),
        edges_.address(),
        status_.address(),
        given_.address(),
        static_cast<std::uint32_t>(given.size()),
        steps,
        position_,
        epoch_,
        logits_.address(),
        std::uint32_t{logits_wanted},
        tokens,
        tokens + 8ull * context(),
        stop_ids_.address(),
        static_cast<std::uint32_t>(stop_ids.size()),
        limit_ns_,
        profile_.address(),
    };
    epoch_ += steps;
    launches_++;
    if (auto ok = stream_.launch(*decoder_->kernel, launch_, args); !ok) return ok;
    return stream_.record(*ended_);
}

Status PersistentEngine::finish() {
    if (auto ok = stream_.synchronize(); !ok) return ok;
    std::vector<DecoderStatus> found(launch_.grid.x + 1);
    if (auto ok = stream_.copy_to_host(found.data(), status_.address(), found.size() * sizeof(DecoderStatus)); !ok)
        return ok;
    if (auto ok = stream_.synchronize(); !ok) return ok;
    std::string text;
    std::uint32_t waiting = 0;
    for (std::uint32_t cta = 0; cta < launch_.grid.x; cta++) {
        const DecoderStatus& s = found[cta + 1];
        if (s.code == DecoderStatus::running) continue;
        waiting++;
        text +=
            fmt::format("; CTA {} {} for {} of layer {}: packet {} has epoch {} and not {}", cta,
                        s.code == DecoderStatus::timed_out ? "waited" : "was waiting",
                        kernels::name(static_cast<kernels::WaitSite>(s.site)), s.layer, s.packet, s.found, s.wanted);
    }
    if (waiting == 0) return {};
    return Error{fmt::format("the decoder stalled: {} of {} CTAs gave up waiting after {} s{}", waiting, launch_.grid.x,
                             static_cast<double>(limit_ns_) / 1e9, text)};
}

Result<std::span<const float>> PersistentEngine::evaluate(std::span<const TokenId> ids) {
    if (auto fits = check(ids); !fits) return fits.error();
    if (ids.size() > 1) {
        if (auto ok = graph_->go_to(position_); !ok) return ok.error();
        auto logits = graph_->evaluate(ids);
        if (!logits) return std::move(logits).error();
        position_ = graph_->position();
        return *logits;
    }
    const auto keep = [](std::span<const float>) -> Status { return {}; };
    if (auto ok = evaluate_all(ids, keep); !ok) return ok.error();
    return std::span<const float>(logits_host_).first(shape_.vocab);
}

Status PersistentEngine::evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) {
    if (auto fits = check(ids); !fits) return fits;
    for (std::size_t at = 0; at < ids.size(); at += logit_rows) {
        const auto part = ids.subspan(at, std::min<std::size_t>(logit_rows, ids.size() - at));
        const auto count = static_cast<std::uint32_t>(part.size());
        if (auto ok = launch(part, count, {}, true); !ok) return ok;
        if (auto ok = finish(); !ok) return ok;
        if (auto ok = stream_.copy_to_host(logits_host_.data(), logits_.address(), 4ull * count * shape_.vocab); !ok)
            return ok;
        if (auto ok = stream_.synchronize(); !ok) return ok;
        position_ += count;
        for (std::uint32_t i = 0; i < count; i++)
            if (auto ok = on_logits(
                    std::span<const float>(logits_host_).subspan(std::size_t{i} * shape_.vocab, shape_.vocab));
                !ok)
                return ok;
    }
    return {};
}

Result<std::uint32_t> PersistentEngine::generate(TokenId first, std::uint32_t max_tokens,
                                                 std::span<const TokenId> stop_ids, const OnToken& on_token) {
    if (max_tokens == 0) return 0u;
    if (auto fits = check(std::span(&first, 1)); !fits) return fits.error();
    if (stop_ids.size() > max_stop_ids)
        return Error{fmt::format("{} stop ids are more than the decoder takes: {}", stop_ids.size(), max_stop_ids)};
    const std::uint32_t steps = std::min(max_tokens, context() - position_);
    if (auto ok = launch(std::span(&first, 1), steps, stop_ids, false); !ok) return ok.error();
    std::uint32_t drawn = 0;
    bool ended = false;
    while (drawn < steps) {
        const std::uint64_t told = token(drawn).load(std::memory_order_acquire);
        if (told >> 32 != drawn + 1) {
            if (ended) break; // it had a last look behind the end
            auto ready = ended_->ready();
            if (!ready) return std::move(ready).error();
            ended = *ready;
            if (!ended) std::this_thread::yield();
            continue;
        }
        drawn++;
        const auto id = static_cast<TokenId>(static_cast<std::uint32_t>(told));
        if (!on_token(id)) {
            stop().store(1);
            break;
        }
        if (std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end()) break;
    }
    position_ += drawn;
    if (auto ok = finish(); !ok) return ok.error();
    if (on_profile_)
        if (auto ok = tell_profile(); !ok) return ok.error();
    return drawn;
}

/// For each step its mean over layers and CTAs, the slowest and the quickest CTA's mean, and the sum over a token.
Status PersistentEngine::tell_profile() {
    const kernels::DecoderProfile profile{shape_.layers};
    const std::uint32_t words = profile.words(), ctas = launch_.grid.x;
    std::vector<std::uint64_t> noted(std::size_t{words} * ctas);
    if (auto ok = stream_.copy_to_host(noted.data(), profile_.address(), noted.size() * 8); !ok) return ok;
    if (auto ok = stream_.synchronize(); !ok) return ok;
    const auto at = [&](std::uint32_t cta, std::uint32_t word) {
        return static_cast<double>(noted[std::size_t{cta} * words + word]);
    };
    const double nanoseconds = at(0, 1) - at(0, 0), cycles = at(0, words - 1) - at(0, 2);
    const double microseconds = nanoseconds > 0 && cycles > 0 ? nanoseconds / cycles / 1000 : 0;
    std::string table = fmt::format("a token: {:.1f} us\n{:<26}{:>10}{:>10}{:>10}{:>10}\n", nanoseconds / 1000, "step",
                                    "mean us", "slowest", "quickest", "token us");
    const auto line = [&](std::string_view step_name, std::uint32_t step, std::uint32_t first, std::uint32_t layers) {
        double sum = 0, slowest = 0, quickest = 1e30;
        for (std::uint32_t cta = 0; cta < ctas; cta++) {
            double of_cta = 0;
            for (std::uint32_t l = first; l < first + layers; l++) {
                const std::uint32_t word = profile.at(l, step);
                of_cta += (at(cta, word) - at(cta, word - 1)) * microseconds / layers;
            }
            sum += of_cta / ctas;
            slowest = std::max(slowest, of_cta);
            quickest = std::min(quickest, of_cta);
        }
        table += fmt::format("{:<26}{:>10.2f}{:>10.2f}{:>10.2f}{:>10.1f}\n", step_name, sum, slowest, quickest,
                             sum * layers);
    };
    for (std::uint32_t step = 0; step < profile.layer_steps; step++)
        line(profile.step_name(step), step, 0, shape_.layers);
    for (std::uint32_t step = 0; step < profile.last_steps; step++)
        line(profile.last_step_name(step), step, shape_.layers, 1);
    on_profile_(table);
    return {};
}

} // namespace

Result<std::unique_ptr<Engine>> create_persistent_engine(runtime::Device& device, const Model& model,
                                                         const EngineOptions& given,
                                                         const PersistentOptions& persistent) {
    if (given.policy)
        return Error{
            fmt::format("the persistent engine is one kernel, which cannot be scheduled: policy '{}' needs the "
                        "graph engine",
                        given.policy->text())};
    EngineOptions options = given;
    options.activations = ActivationFormat::q8_1;
    const auto progress = [&](double from, double to) {
        return [&options, from, to](double share) {
            if (options.on_progress) options.on_progress(from + (to - from) * share);
        };
    };
    if (auto ok = check_room(device, model, options, GraphEngine::bytes(model, options, device.properties())); !ok)
        return ok.error();
    auto on_device = DeviceModel::create(device, model, options, progress(0, 0.8));
    if (!on_device) return std::move(on_device).error();
    auto graph = GraphEngine::create(device, model, *on_device, options, progress(0.8, 0.95));
    if (!graph) return std::move(graph).error();
    auto engine = std::make_unique<PersistentEngine>(device, *on_device, std::move(*graph));
    if (auto ok = engine->initialise(model, options, persistent); !ok) return std::move(ok).error();
    progress(0, 1)(1);
    return std::unique_ptr<Engine>(std::move(engine));
}

} // namespace ptxgen
