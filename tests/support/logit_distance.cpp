#include "tests/support/logit_distance.hpp"

#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ptxgen::test {

void LogitDistance::add(std::span<const float> found, std::span<const double> expected) {
    for (std::size_t i = 0; i < expected.size(); i++) {
        const double delta = static_cast<double>(found[i]) - expected[i];
        squares_ += delta * delta;
    }
    count_ += expected.size();
}

void LogitDistance::add(double rms, std::size_t logits) {
    squares_ += rms * rms * static_cast<double>(logits);
    count_ += logits;
}

double LogitDistance::rms() const { return std::sqrt(squares_ / static_cast<double>(count_)); }

Result<double> llama_logit_distance(std::string_view model, std::string_view prompt) {
    const std::string path = PTXGEN_SOURCE_DIR "/tests/data/logits/llama_cpp.json";
    std::ifstream in(path);
    const auto json = nlohmann::json::parse(in, nullptr, false);
    const nlohmann::json::json_pointer at(fmt::format("/{}/prompts/{}", model, prompt));
    if (json.is_discarded() || !json.contains(at) || !json[at].is_number())
        return Error{fmt::format("{}: expected a number at {}", path, at.to_string())};
    return json[at].get<double>();
}

} // namespace ptxgen::test
