#pragma once

#include "runtime/inference/engine.hpp"
#include "tests/support/gguf_writer.hpp"
#include "tests/support/reference_forward.hpp"
#include "tests/support/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ptxgen::test {

inline Model load_tiny(const TemporaryFolder& folder, const TinyModel& tiny) {
    auto model = load_model(folder.write(tiny.name + ".gguf", tiny_model_file(tiny)));
    REQUIRE_MESSAGE(model.ok(), model.error().message);
    return std::move(*model);
}

/// With f32 activations, which agree with the exact reference on every device, unless the options say otherwise.
inline std::unique_ptr<Engine> make_engine(runtime::Device& device, const Model& model, EngineOptions options) {
    if (options.activations == ActivationFormat::automatic) options.activations = ActivationFormat::f32;
    auto engine = create_graph_engine(device, model, options);
    REQUIRE_MESSAGE(engine.ok(), engine.error().message);
    return std::move(*engine);
}

/// Logits of every id, [ids][vocab].
inline std::vector<float> every_logit(Engine& engine, std::span<const TokenId> ids) {
    std::vector<float> rows;
    const auto status = engine.evaluate_all(ids, [&](std::span<const float> row) -> Status {
        rows.insert(rows.end(), row.begin(), row.end());
        return {};
    });
    REQUIRE_MESSAGE(status.ok(), status.error().message);
    return rows;
}

inline std::vector<float> last_logits(Engine& engine, std::span<const TokenId> ids) {
    const auto logits = engine.evaluate(ids);
    REQUIRE_MESSAGE(logits.ok(), logits.error().message);
    return {logits->begin(), logits->end()};
}

/// The largest max|found - expected| / max|expected| of the rows of `vocab` values; infinite if a value is not finite.
template <class T>
double row_difference(std::span<const float> found, const std::vector<T>& expected, std::size_t vocab) {
    REQUIRE(found.size() == expected.size());
    double worst = 0;
    for (std::size_t row = 0; row < found.size(); row += vocab) {
        double most = 0;
        double largest = 0;
        for (std::size_t i = row; i < row + vocab; i++) {
            const double delta = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
            most = std::isfinite(delta) ? std::max(most, delta) : INFINITY;
            largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
        }
        worst = std::max(worst, most / largest);
    }
    return worst;
}

} // namespace ptxgen::test
