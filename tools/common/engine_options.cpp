#include "tools/common/engine_options.hpp"

#include "policies/policies.hpp"

#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

Status read_policy(const EngineWords& words, EngineOptions& options) {
    if (!words.policy) {
        if (words.scheduler) return Error{"--scheduler needs --policy, for example --policy greedy"};
        return {};
    }
    auto policy = policies::parse_policy(*words.policy);
    if (!policy) return Error{fmt::format("--policy: {}", policy.error().message)};
    if (words.scheduler) {
        const auto scheduler = policies::parse_scheduler(*words.scheduler);
        if (!scheduler) return Error{fmt::format("--scheduler: {}", scheduler.error().message)};
        options.scheduler = *scheduler;
    }
    policies::ScheduleOptions schedule;
    schedule.scheduler = options.scheduler;
    if (const auto possible = policies::choose_scheduler(*policy, schedule, std::nullopt); !possible)
        return Error{fmt::format("--policy: {}", possible.error().message)};
    if (options.kind == EngineKind::persistent)
        return Error{"--policy needs --engine graph: the persistent engine is one kernel, which cannot be scheduled"};
    if (options.activations == ActivationFormat::q8_1)
        return Error{"--policy needs --activations f32: the kernels for q8_1 cannot be scheduled"};
    options.policy = std::move(*policy);
    return {};
}

} // namespace

Result<EngineOptions> read_engine_words(const EngineWords& words) {
    EngineOptions options;
    if (words.engine != "auto") options.kind = words.engine == "graph" ? EngineKind::graph : EngineKind::persistent;
    if (words.activations != "auto")
        options.activations = words.activations == "f32" ? ActivationFormat::f32 : ActivationFormat::q8_1;
    if (options.kind == EngineKind::persistent && options.activations == ActivationFormat::f32)
        return Error{"--engine persistent: its activations are q8_1; --activations f32 needs --engine graph"};
    if (auto ok = read_policy(words, options); !ok) return ok.error();
    return options;
}

} // namespace ptxgen::tools
