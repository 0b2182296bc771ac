#pragma once

#include "ptxgen/base/result.hpp"

#include <cstddef>
#include <span>
#include <string_view>

namespace ptxgen::test {

/// Root mean square of the differences of logits, of any number of prompts together.
class LogitDistance {
public:
    void add(std::span<const float> found, std::span<const double> expected); ///< as many values
    /// What is known of a prompt with this many logits.
    void add(double rms, std::size_t logits);
    double rms() const; ///< infinite or NaN if a value is

private:
    double squares_ = 0;
    std::size_t count_ = 0;
};

/// How far the logits of llama.cpp's CPU path are from the float64 reference's: the root mean square over all positions
/// of this prompt of tests/data/greedy/MODEL.json ("smollm2", "gemma3"). tests/data/logits/README.md says of which
/// version. Errors: a model or prompt that the file does not have.
Result<double> llama_logit_distance(std::string_view model, std::string_view prompt);

} // namespace ptxgen::test
