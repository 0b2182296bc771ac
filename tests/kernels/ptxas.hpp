#pragma once

#include "ptxgen/ptxgen.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <string>
#include <unistd.h>

namespace ptxgen::test {

/// $PTXGEN_PTXAS, else ptxas on the PATH.
inline std::optional<std::string> find_ptxas() {
    if (const char* named = std::getenv("PTXGEN_PTXAS")) return std::string(named);
    if (std::system("ptxas --version > /dev/null 2>&1") == 0) return "ptxas"; // NOLINT(concurrency-mt-unsafe)
    return std::nullopt;
}

/// What ptxas says with -v; its exit status decides `ok`.
struct Assembled {
    bool ok;
    std::string log;
};

inline Assembled assemble(const std::string& ptxas, Target target, const std::string& text) {
    const auto file = std::filesystem::temp_directory_path() / fmt::format("ptxgen-assemble-{}.ptx", ::getpid());
    std::ofstream(file) << text;
    Assembled result{false, {}};
    const std::string command =
        fmt::format("'{}' -v -arch {} -o /dev/null {} 2>&1", ptxas, to_string(target), file.string());
    if (FILE* pipe = ::popen(command.c_str(), "r")) {
        std::array<char, 512> part{};
        while (std::fgets(part.data(), part.size(), pipe)) result.log += part.data();
        result.ok = ::pclose(pipe) == 0;
    }
    std::filesystem::remove(file);
    return result;
}

} // namespace ptxgen::test
