#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/engine.hpp"

#include <optional>
#include <string>

namespace ptxgen::tools {

/// What the options of these names say, as they were written.
struct EngineWords {
    std::string engine = "auto";       ///< auto, graph or persistent
    std::string activations = "auto";  ///< auto, f32 or q8_1
    std::optional<std::string> policy; ///< policies::parse_policy's text; nothing: not given
    std::optional<std::string> scheduler;
};

/// Kind, activations, policy and scheduler; all else as it is by default. Errors, each naming its option: a policy or
/// scheduler that is not one; a policy that the scheduler cannot honour on any device; options that exclude each other.
Result<EngineOptions> read_engine_words(const EngineWords& words);

} // namespace ptxgen::tools
