#include "tests/support/greedy_truth.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ptxgen::test {

Result<GreedyTruth> load_greedy_truth(std::string_view name) {
    return load_greedy_file(fmt::format(PTXGEN_SOURCE_DIR "/tests/data/greedy/{}.json", name));
}

Result<GreedyTruth> load_greedy_file(const std::string& path) {
    std::ifstream in(path);
    const auto json = nlohmann::json::parse(in, nullptr, false);
    if (json.is_discarded()) return Error{path + ": expected a JSON file"};
    GreedyTruth truth{json["model"], {}};
    for (const auto& prompt : json["prompts"])
        truth.prompts.push_back({prompt["name"], prompt["text"], prompt["prompt_ids"], prompt["ids"], prompt["gaps"]});
    return truth;
}

std::optional<std::string> real_model(std::string_view file_name, std::string_view test) {
    const char* folder = std::getenv("PTXGEN_MODELS");
    if (!folder || !*folder) {
        fmt::print("[SKIP] {}: PTXGEN_MODELS does not name a folder with {}\n", test, file_name);
        return std::nullopt;
    }
    std::string path = fmt::format("{}/{}", folder, file_name);
    if (!std::filesystem::exists(path)) {
        fmt::print("[SKIP] {}: {} does not exist\n", test, path);
        return std::nullopt;
    }
    return path;
}

std::string greedy_difference(const GreedyPrompt& expected, std::span<const std::int32_t> ids, double tolerance) {
    const std::size_t count = std::min(ids.size(), expected.ids.size());
    for (std::size_t i = 0; i < count; i++) {
        if (ids[i] == expected.ids[i]) continue;
        if (expected.gaps[i] <= tolerance) return {};
        return fmt::format("prompt '{}': step {}: expected id {} (by {:.4f}), found {}", expected.name, i,
                           expected.ids[i], expected.gaps[i], ids[i]);
    }
    return {};
}

} // namespace ptxgen::test
