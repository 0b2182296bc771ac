#pragma once

#include "runtime/open_device.hpp"
#include "tests/runtime/inference/engine/engine_fixture.hpp"
#include "tests/support/greedy_truth.hpp"
#include "tests/support/logit_distance.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <initializer_list>

namespace ptxgen::test {

/// Holds the logits that an engine of this kind gives at q8_1 for these prompts of a real model (their numbers in
/// tests/data/greedy/NAME.json) against what the project asks for: a distance from the float64 reference of at most 1.1
/// times that of llama.cpp's CPU path, which rounds activations to eight bits as well. The prompts count together: how
/// the rounding falls in one of a few tokens is chance. Runs on the device that ptxgen-run would choose; on the
/// emulator without its checks, which the tiny models have in other tests.
inline void check_llama_distance(const char* truth_name, EngineKind kind, std::initializer_list<std::size_t> prompts) {
    const auto truth = load_greedy_truth(truth_name);
    REQUIRE_MESSAGE(truth.ok(), truth.error().message);
    const auto path = real_model(truth->model, fmt::format("distance of {} from the reference at q8_1", truth_name));
    if (!path) return;
    const auto model = load_model(*path);
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    runtime::DeviceRequest request;
    request.emulator.checks = false;
    const auto opened = runtime::open_device(request);
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    const EngineOptions options{.kind = kind, .activations = ActivationFormat::q8_1, .context = 32};
    const auto engine = create_engine(*opened->device, *model, options);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    LogitDistance ours, theirs;
    for (const std::size_t number : prompts) {
        const GreedyPrompt& prompt = truth->prompts[number];
        CAPTURE(prompt.name);
        const auto known = llama_logit_distance(truth_name, prompt.name);
        REQUIRE_MESSAGE(known.ok(), known.error().message);
        const auto expected = ReferenceForward(*model).evaluate(prompt.prompt_ids);
        REQUIRE((*engine)->rewind(0).ok());
        const auto found = every_logit(**engine, prompt.prompt_ids);
        REQUIRE(found.size() == expected.size());
        ours.add(found, expected);
        theirs.add(*known, expected.size());
    }
    if (std::getenv("PTXGEN_SHOW"))
        MESSAGE(fmt::format("{}: {:.4f}, llama.cpp's {:.4f}", truth_name, ours.rms(), theirs.rms()));
    CHECK(ours.rms() <= 1.1 * theirs.rms());
    // Activations that are not rounded come a thousand times closer.
    CHECK(ours.rms() >= 0.1 * theirs.rms());
}

} // namespace ptxgen::test
