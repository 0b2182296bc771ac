#pragma once

#include "ptxgen/base/result.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::test {

/// One prompt of tests/data/greedy and what the float64 reference answers.
struct GreedyPrompt {
    std::string name;
    std::string text; ///< taken as it is: special tokens are parsed, BOS is added if the model asks for it
    std::vector<std::int32_t> prompt_ids;
    std::vector<std::int32_t> ids; ///< greedy, 24, also beyond an end token
    std::vector<double> gaps;      ///< of the two best logits, at each of `ids`
};

struct GreedyTruth {
    std::string model; ///< file name
    std::vector<GreedyPrompt> prompts;
};

/// Reads tests/data/greedy/NAME.json ("smollm2", "gemma3").
Result<GreedyTruth> load_greedy_truth(std::string_view name);
/// The same for the path of such a file.
Result<GreedyTruth> load_greedy_file(const std::string& path);

/// The path of a real model in the folder that the environment variable PTXGEN_MODELS names; nullopt if it is not
/// there, with a line "[SKIP] TEST: …" on standard output.
std::optional<std::string> real_model(std::string_view file_name, std::string_view test);

/// Empty if greedy ids agree with the reference's: equal up to a step at which the reference's two best logits are
/// within `tolerance`, from where on they may differ; or else what differs. `ids` may be fewer than the reference's.
std::string greedy_difference(const GreedyPrompt& expected, std::span<const std::int32_t> ids, double tolerance = 0.02);

} // namespace ptxgen::test
