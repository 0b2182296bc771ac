#include "ptxas.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace isa_test {
namespace {

namespace fs = std::filesystem;

bool is_note(const std::string& message) {
    return message.find("warning") != std::string::npos || message.find("ptxas info") != std::string::npos;
}

std::string run(const std::string& command) {
    std::string output;
    FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) return output;
    char buffer[4096];
    for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
    pclose(pipe);
    return output;
}

} // namespace

std::string module_text(const Setting& setting, const std::vector<std::string>& lines, unsigned& first_line) {
    // Only the registers in use: an unused .b128 register already needs PTX 8.3 and sm_70.
    std::string body;
    for (const auto& line : lines) body += line + "\n";
    const auto uses = [&](std::string_view name) { return body.find(name) != std::string::npos; };
    auto text = fmt::format(".version {}\n.target {}\n.address_size 64\n", ptxgen::to_string(setting.version),
                            ptxgen::to_string(setting.target));
    if (uses("constants")) text += ".const .align 16 .b8 constants[256];\n";
    text += ".visible .entry k(.param .align 16 .b8 parameter[256])\n{\n.reg .pred %p<64>;\n.reg .b16 %h<64>;\n"
            ".reg .b32 %r<64>;\n.reg .b64 %rd<64>;\n";
    if (uses("%b")) text += ".reg .b8 %b<64>;\n";
    if (uses("argument")) text += ".param .align 16 .b8 argument[256];\n";
    if (uses("%q")) text += ".reg .b128 %q<64>;\n";
    first_line = static_cast<unsigned>(std::count(text.begin(), text.end(), '\n')) + 1;
    text += body;
    if (uses("target")) text += "target:\n";
    return text + "ret;\n}\n";
}

std::optional<std::string> find_ptxas() {
    if (const char* path = std::getenv("PTXGEN_PTXAS"); path && *path) return path;
    std::istringstream folders(std::getenv("PATH") ? std::getenv("PATH") : "");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (access((folder + "/ptxas").c_str(), X_OK) == 0) return folder + "/ptxas";
    return std::nullopt;
}

std::vector<Verdict> assemble(const std::string& ptxas, const Setting& setting, const std::vector<std::string>& lines) {
    std::vector<Verdict> verdicts(lines.size());
    if (lines.empty()) return verdicts;
    static int serial = 0;
    const auto path = fs::temp_directory_path() / fmt::format("ptxgen_isa_{}_{}.ptx", getpid(), serial++);
    unsigned first_line = 0;
    std::ofstream(path) << module_text(setting, lines, first_line);
    // ptxas generates code for sm_75 and later only, and takes PTX of an older target for these.
    const auto arch = setting.target.sm < 75 ? "sm_75" : ptxgen::to_string(setting.target);
    const auto output = run(fmt::format("'{}' -arch={} -O0 -o /dev/null '{}' 2>&1", ptxas, arch, path.string()));
    fs::remove(path);

    std::istringstream in(output);
    std::string other;
    for (std::string message; std::getline(in, message);) {
        const auto at = message.find(", line ");
        if (at == std::string::npos || is_note(message)) {
            if (message.find("aborted due to errors") == std::string::npos && !is_note(message))
                other += message + "\n";
            continue;
        }
        const auto number = static_cast<unsigned>(std::atoi(message.c_str() + at + 7));
        const auto colon = message.find(": ", at);
        const auto what = colon == std::string::npos ? message : message.substr(colon + 2);
        if (number < first_line || number >= first_line + lines.size()) {
            other += message + "\n";
            continue;
        }
        auto& verdict = verdicts[number - first_line];
        verdict.accepted = false;
        verdict.messages.push_back(what);
        if (message.find("fatal") != std::string::npos && lines.size() > 1) { // nothing behind this line was looked at
            const auto bad = number - first_line;
            auto before = std::vector<std::string>(lines.begin(), lines.begin() + bad);
            auto after = std::vector<std::string>(lines.begin() + bad + 1, lines.end());
            auto verdicts_before = assemble(ptxas, setting, before);
            auto verdicts_after = assemble(ptxas, setting, after);
            std::move(verdicts_before.begin(), verdicts_before.end(), verdicts.begin());
            std::move(verdicts_after.begin(), verdicts_after.end(), verdicts.begin() + bad + 1);
            return verdicts;
        }
    }
    if (!other.empty()) { // an error without a line: of which instruction, halving tells
        if (lines.size() == 1) return {Verdict{false, {other}}};
        const auto middle = lines.begin() + static_cast<std::ptrdiff_t>(lines.size() / 2);
        verdicts = assemble(ptxas, setting, {lines.begin(), middle});
        const auto rest = assemble(ptxas, setting, {middle, lines.end()});
        verdicts.insert(verdicts.end(), rest.begin(), rest.end());
    }
    return verdicts;
}

} // namespace isa_test
