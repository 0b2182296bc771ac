#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace ptxgen::test {

/// The path of a model file in the folder that PTXGEN_MODELS names; nothing if it is not there.
inline std::optional<std::string> find_model(std::string_view file_name) {
    const char* folder = std::getenv("PTXGEN_MODELS");
    if (!folder) return std::nullopt;
    const auto path = std::filesystem::path(folder) / file_name;
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return std::nullopt;
    return path.string();
}

} // namespace ptxgen::test
