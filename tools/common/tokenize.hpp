#pragma once

#include "ptxgen/base/result.hpp"

#include <string>
#include <string_view>

namespace ptxgen::tools {

struct TokenizeOptions {
    std::string model;          ///< path of a GGUF file; only its `tokenizer.*` keys are read
    bool parse_special = false; ///< --special
    bool nul_separated = false; ///< -0
};

/// `ptxgen tokenize`: the ids of `input`, in decimal, separated by single spaces, on one line, without BOS. With
/// `nul_separated` one line for each NUL-separated string (a string that ends in NUL is followed by an empty one).
Result<std::string> tokenize(const TokenizeOptions& options, std::string_view input);

} // namespace ptxgen::tools
