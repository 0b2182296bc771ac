#include "runtime/inference/graph_engine.hpp"

#include "runtime/inference/activations.hpp"
#include "runtime/inference/launch_plan.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace ptxgen {
namespace {

/// Tokens that one round of launches takes at most.
std::uint32_t chunk_of(const Model& model, const EngineOptions& options, const runtime::DeviceProperties& properties) {
    const std::uint32_t wanted = options.chunk ? options.chunk : properties.is_emulator ? 64 : 512;
    return std::min(wanted, context_of(model, options));
}

/// Up to so many tokens of a prompt are multiplied in tiles of few rows, which occupy a whole GPU all the same.
constexpr std::uint32_t short_prompt = 64;

constexpr std::size_t ticket_bytes = 8;

/// The scheduler of options.policy on a device. Errors: what policies::choose_scheduler refuses.
Result<policies::ScheduleChoice> scheduler_of(const EngineOptions& options,
                                              const runtime::DeviceProperties& properties) {
    policies::ScheduleOptions schedule;
    schedule.scheduler = options.scheduler;
    return policies::choose_scheduler(*options.policy, schedule, properties.target);
}

/// The errors of a policy that the engine cannot have; a note where the scheduler was chosen.
Status check_policy(const EngineOptions& options, const runtime::DeviceProperties& properties) {
    if (!options.policy) {
        if (options.scheduler == policies::Scheduler::automatic) return {};
        return Error{fmt::format("scheduler '{}' needs a policy", policies::to_string(options.scheduler))};
    }
    if (options.activations == ActivationFormat::q8_1)
        return Error{fmt::format("policy '{}' needs f32 activations: the kernels for q8_1 cannot be scheduled",
                                 options.policy->text())};
    const auto choice = scheduler_of(options, properties);
    if (!choice) return choice.error();
    if (!choice->note.empty() && options.on_note) options.on_note(choice->note);
    return {};
}

kernels::AttentionScratch attention_scratch_of(const Model& model, ActivationFormat activations,
                                               const kernels::KvCacheShape& cache,
                                               const kernels::DecodeAttentionConfig& attention,
                                               const runtime::DeviceProperties& properties) {
    if (activations == ActivationFormat::q8_1) return kernels::decode_attention_scratch(attention, 1);
    return kernels::attention_scratch(attention_config(model.shape, cache, false, properties), 1);
}

/// Runs these plans: all layers for a chunk of a prompt, short or long; the output for one of its rows; and everything
/// that a single token takes, from its id to the next one, which is recorded as a graph where the stream can record.
class PlannedEngine final : public GraphEngine {
public:
    PlannedEngine(runtime::Device& device, std::shared_ptr<DeviceModel> model, std::uint32_t chunk)
        : device_(device), stream_(device.stream()), on_device_(std::move(model)), shape_(on_device_->shape),
          chunk_(chunk), kernels_(device) {}

    Status initialise(const Model& model, const kernels::AttentionScratch& scratch, const EngineOptions& options,
                      const std::function<void(double)>& on_progress);

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
    Status choose_schedule(const EngineOptions& options);
    Status check(std::span<const TokenId> ids) const;
    void record_token();
    Status run(LaunchPlan& plan, std::uint32_t tokens);
    Status set_state(std::span<const TokenId> ids);
    Status run_token();
    Status run_chunk(std::span<const TokenId> ids);
    Status logits_of_row(std::uint32_t row);
    Status fetch_logits();

    runtime::Device& device_;
    runtime::Stream& stream_;
    std::shared_ptr<DeviceModel> on_device_;
    const ModelShape& shape_;
    std::uint32_t chunk_;
    KernelSet kernels_;
    Activations buffers_;
    std::optional<ProductSchedule> schedule_;
    runtime::Buffer tickets_; ///< u64, of scheduler ticket

    struct PromptPlan {
        std::uint32_t most_tokens;
        LaunchPlan launches;
    };
    std::vector<PromptPlan> prompt_plans_; ///< the last one for a whole chunk
    LaunchPlan output_plan_, token_plan_;
    std::unique_ptr<runtime::Graph> token_graph_; ///< token_plan_ recorded; nothing: it is launched one by one

    /// What the token plan drew, for two tokens in flight: next position and id.
    struct Drawn {
        std::uint32_t position, id;
    };
    std::unique_ptr<runtime::HostBuffer> drawn_;
    std::array<std::unique_ptr<runtime::Event>, 2> drawn_events_;
    std::vector<float> logits_host_;
    std::vector<std::uint32_t> state_host_; ///< what Activations::state gets
    std::uint32_t position_ = 0;
    std::uint64_t launches_ = 0;
};

Status PlannedEngine::initialise(const Model& model, const kernels::AttentionScratch& scratch,
                                 const EngineOptions& options, const std::function<void(double)>& on_progress) {
    const auto progress = [&](double share) {
        if (on_progress) on_progress(share);
    };
    if (auto ok = buffers_.allocate(device_, shape_, chunk_, scratch); !ok) return ok;
    auto drawn = device_.allocate_host(drawn_events_.size() * sizeof(Drawn), runtime::HostMemory::pinned);
    if (!drawn) return std::move(drawn).error();
    drawn_ = std::move(*drawn);
    for (auto& event : drawn_events_) {
        auto created = device_.create_event();
        if (!created) return std::move(created).error();
        event = std::move(*created);
    }
    logits_host_.resize(shape_.vocab);
    if (auto ok = choose_schedule(options); !ok) return ok;

    const auto builder = [&](LaunchPlan& plan, std::uint32_t tokens) {
        return PlanBuilder(plan, device_, model, *on_device_, buffers_, kernels_, tokens, schedule_);
    };
    if (!device_.properties().is_emulator && chunk_ > short_prompt) prompt_plans_.push_back({short_prompt, {}});
    prompt_plans_.push_back({chunk_, {}});
    for (PromptPlan& plan : prompt_plans_) {
        PlanBuilder prompt = builder(plan.launches, std::max(plan.most_tokens, 2u));
        prompt.layers();
        if (!prompt.status()) return prompt.status();
    }
    progress(0.5);
    // One row: logits_of_row() copies the wanted row of x there.
    PlanBuilder output = builder(output_plan_, 1);
    output.output(buffers_.last);
    if (!output.status()) return output.status();
    PlanBuilder token = builder(token_plan_, 1);
    token.layers();
    token.output(buffers_.x);
    token.next_token();
    if (!token.status()) return token.status();
    record_token();
    progress(1.0);
    return {};
}

/// The scheduler was found possible before any work.
Status PlannedEngine::choose_schedule(const EngineOptions& options) {
    if (!options.policy) return {};
    const auto choice = scheduler_of(options, device_.properties());
    if (!choice) return choice.error();
    schedule_ = ProductSchedule{*options.policy, choice->scheduler};
    if (choice->scheduler != policies::Scheduler::ticket) return {};
    auto tickets = device_.allocate(ticket_bytes);
    if (!tickets) return std::move(tickets).error();
    tickets_ = std::move(*tickets);
    schedule_->tickets = tickets_.address();
    return stream_.fill(tickets_.address(), 0, ticket_bytes);
}

/// Records the token plan. A stream that cannot record (an embedding program's default stream, a driver without
/// graphs) leaves no graph; whatever else is wrong shows when the plan is launched one by one.
void PlannedEngine::record_token() {
    if (!stream_.begin_capture()) return;
    Status recorded;
    for (auto& launch : token_plan_)
        if (recorded) recorded = launch.launch(stream_, 1);
    auto graph = stream_.end_capture();
    if (recorded && graph) token_graph_ = std::move(*graph);
}

Status PlannedEngine::check(std::span<const TokenId> ids) const {
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

Status PlannedEngine::run(LaunchPlan& plan, std::uint32_t tokens) {
    for (auto& launch : plan) {
        if (auto launched = launch.launch(stream_, tokens); !launched) return launched;
        launches_++;
    }
    return {};
}

Status PlannedEngine::set_state(std::span<const TokenId> ids) {
    state_host_.assign(1, position_);
    state_host_.insert(state_host_.end(), ids.begin(), ids.end());
    return stream_.copy_to_device(buffers_.state, state_host_.data(), 4 * state_host_.size());
}

/// Evaluates the token that Activations::state names; leaves its logits, and the next token in the state.
Status PlannedEngine::run_token() {
    if (!token_graph_) return run(token_plan_, 1);
    launches_ += token_plan_.size();
    return stream_.launch(*token_graph_);
}

/// All layers for some tokens. The logits are there too if it is one.
Status PlannedEngine::run_chunk(std::span<const TokenId> ids) {
    if (auto ok = set_state(ids); !ok) return ok;
    const auto tokens = static_cast<std::uint32_t>(ids.size());
    const auto plan_of = [&]() -> LaunchPlan& {
        return std::find_if(prompt_plans_.begin(), prompt_plans_.end() - 1,
                            [&](const PromptPlan& plan) { return tokens <= plan.most_tokens; })
            ->launches;
    };
    if (auto ok = tokens == 1 ? run_token() : run(plan_of(), tokens); !ok) return ok;
    position_ += tokens;
    return {};
}

Status PlannedEngine::logits_of_row(std::uint32_t row) {
    const std::uint64_t bytes = 4ull * shape_.hidden;
    if (auto ok = stream_.copy(buffers_.last, buffers_.x + row * bytes, bytes); !ok) return ok;
    return run(output_plan_, 1);
}

Status PlannedEngine::fetch_logits() {
    if (auto ok = stream_.copy_to_host(logits_host_.data(), buffers_.logits, logits_host_.size() * 4); !ok) return ok;
    return stream_.synchronize();
}

Result<std::span<const float>> PlannedEngine::evaluate(std::span<const TokenId> ids) {
    if (auto fits = check(ids); !fits) return fits.error();
    std::span<const TokenId> part;
    for (std::size_t at = 0; at < ids.size(); at += part.size()) {
        part = ids.subspan(at, std::min<std::size_t>(chunk_, ids.size() - at));
        if (auto ok = run_chunk(part); !ok) return ok.error();
    }
    if (part.size() > 1)
        if (auto ok = logits_of_row(static_cast<std::uint32_t>(part.size() - 1)); !ok) return ok.error();
    if (auto ok = fetch_logits(); !ok) return ok.error();
    return std::span<const float>(logits_host_);
}

Status PlannedEngine::evaluate_all(std::span<const TokenId> ids, const OnLogits& on_logits) {
    if (auto fits = check(ids); !fits) return fits;
    std::span<const TokenId> part;
    for (std::size_t at = 0; at < ids.size(); at += part.size()) {
        part = ids.subspan(at, std::min<std::size_t>(chunk_, ids.size() - at));
        if (auto ok = run_chunk(part); !ok) return ok;
        for (std::uint32_t row = 0; row < part.size(); row++) {
            if (part.size() > 1)
                if (auto ok = logits_of_row(row); !ok) return ok;
            if (auto ok = fetch_logits(); !ok) return ok;
            if (auto taken = on_logits(logits_host_); !taken) return taken;
        }
    }
    return {};
}

/// The device goes from token to token by itself; the host learns of each one while the next is being evaluated. Not
/// so on the emulator, where a launch returns when it is done.
Result<std::uint32_t> PlannedEngine::generate(TokenId first, std::uint32_t max_tokens,
                                              std::span<const TokenId> stop_ids, const OnToken& on_token) {
    if (max_tokens == 0) return std::uint32_t{0};
    if (auto fits = check(std::span(&first, 1)); !fits) return fits.error();
    if (auto ok = set_state(std::span(&first, 1)); !ok) return ok.error();
    const std::uint32_t most = std::min(max_tokens, context() - position_);
    auto* const slots = static_cast<Drawn*>(drawn_->data());
    const auto start = [&](std::uint32_t n) -> Status {
        if (auto ok = run_token(); !ok) return ok;
        if (auto ok = stream_.copy_to_host(&slots[n % 2], buffers_.state, sizeof(Drawn)); !ok) return ok;
        return stream_.record(*drawn_events_[n % 2]);
    };
    const std::uint32_t ahead = device_.properties().is_emulator ? 0 : 1;
    std::uint32_t started = 0;
    for (std::uint32_t n = 0; n < most; n++) {
        for (; started < most && started <= n + ahead; started++)
            if (auto ok = start(started); !ok) return ok.error();
        if (auto ok = drawn_events_[n % 2]->synchronize(); !ok) return ok.error();
        position_++;
        const Drawn drawn = slots[n % 2];
        if (drawn.id >= shape_.vocab)
            return Error{fmt::format("no logit behind position {} is a number above -infinity: the model's evaluation "
                                     "went wrong",
                                     position_ - 1)};
        const auto id = static_cast<TokenId>(drawn.id);
        if (!on_token(id) || std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end()) {
            // What was started beyond this one only writes behind position_, where later tokens write again.
            if (auto ok = stream_.synchronize(); !ok) return ok.error();
            return n + 1;
        }
    }
    return most;
}

} // namespace

std::uint64_t GraphEngine::bytes(const Model& model, const EngineOptions& options,
                                 const runtime::DeviceProperties& properties) {
    const auto scratch =
        attention_scratch_of(model, activations_of(options, properties), cache_of(model, options).shape(),
                             attention_of(model, options, properties), properties);
    return Activations::bytes(model.shape, chunk_of(model, options, properties), scratch) +
           (options.policy ? ticket_bytes : 0);
}

Result<std::unique_ptr<GraphEngine>> GraphEngine::create(runtime::Device& device, const Model& model,
                                                         std::shared_ptr<DeviceModel> on_device,
                                                         const EngineOptions& options,
                                                         const std::function<void(double)>& on_progress) {
    const auto scratch = attention_scratch_of(model, on_device->activations, on_device->cache.shape(),
                                              on_device->attention, device.properties());
    auto engine =
        std::make_unique<PlannedEngine>(device, std::move(on_device), chunk_of(model, options, device.properties()));
    if (auto ok = engine->initialise(model, scratch, options, on_progress); !ok) return std::move(ok).error();
    return std::unique_ptr<GraphEngine>(std::move(engine));
}

std::uint64_t graph_engine_bytes(const Model& model, const EngineOptions& options,
                                 const runtime::DeviceProperties& properties) {
    return DeviceModel::bytes(model, options, properties) + GraphEngine::bytes(model, options, properties);
}

Result<std::unique_ptr<Engine>> create_graph_engine(runtime::Device& device, const Model& model,
                                                    const EngineOptions& options) {
    if (auto ok = check_policy(options, device.properties()); !ok) return ok.error();
    if (auto ok = check_room(device, model, options, graph_engine_bytes(model, options, device.properties())); !ok)
        return ok.error();
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
