#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ptxgen::test {

/// Runs one of the commands of scripts/verify-models (prompts, text, greedy-check, logits-check) with the words behind
/// it and returns the exit code; nothing if it is no such command or the words do not fit it.
std::optional<int> run_check(const std::string& command, const std::vector<std::string>& words);

} // namespace ptxgen::test
