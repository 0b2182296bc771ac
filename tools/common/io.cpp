#include "tools/common/io.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace ptxgen::tools {
namespace {

using File = std::unique_ptr<FILE, decltype([](FILE* file) { std::fclose(file); })>;

} // namespace

Result<std::string> read_file(const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
        return Error{fmt::format("cannot read '{}': it is a directory", path)};
    const File file(std::fopen(path.c_str(), "rb"));
    if (!file) return Error{fmt::format("cannot read '{}': {}", path, std::strerror(errno))};
    std::string content;
    char chunk[1 << 16];
    while (const auto n = std::fread(chunk, 1, sizeof chunk, file.get())) content.append(chunk, n);
    if (std::ferror(file.get())) return Error{fmt::format("cannot read '{}': {}", path, std::strerror(errno))};
    return content;
}

Status write_file(const std::string& path, std::string_view content) {
    const auto failed = [&] { return Error{fmt::format("cannot write '{}': {}", path, std::strerror(errno))}; };
    if (path == "-") {
        if (std::fwrite(content.data(), 1, content.size(), stdout) != content.size() || std::fflush(stdout) != 0)
            return Error{fmt::format("cannot write to standard output: {}", std::strerror(errno))};
        return {};
    }
    struct stat info {};
    const bool special = stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode); // /dev/null, a pipe
    const std::string target = special ? path : fmt::format("{}.{}.tmp", path, getpid());
    File file(std::fopen(target.c_str(), "wb"));
    if (!file) return failed();
    const bool written = std::fwrite(content.data(), 1, content.size(), file.get()) == content.size();
    const bool closed = std::fclose(file.release()) == 0;
    if (written && closed && (special || std::rename(target.c_str(), path.c_str()) == 0)) return {};
    const Error error = failed();
    if (!special) std::remove(target.c_str());
    return error;
}

int fail(std::string_view message) {
    // Diagnostics of the compiler say it themselves.
    if (message.substr(0, 7) == "error: ") message.remove_prefix(7);
    fmt::print(stderr, "error: {}\n", message);
    return exit_error;
}

} // namespace ptxgen::tools
