#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

using namespace ptxgen;

// A case is a PTX file. `// error: TEXT` and `// warning: TEXT` at the end of a line stand for one finding on that line
// each; there must be no other. Where ptxas exists, `// ptxas: rejects` behind an error says that it rejects the file
// with this error as its only one, `// ptxas: accepts` that it does not see it; without any errors it must accept.

namespace {

struct Expectation {
    std::uint32_t line = 0;
    Severity severity = Severity::error;
    std::string text;
};

struct Case {
    std::string name;
    std::vector<std::string> lines;
    std::vector<Expectation> expected;
    std::vector<std::pair<std::uint32_t, bool>> ptxas; ///< line, accepts
};

std::string trimmed(std::string_view text) {
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    return std::string(text);
}

void read_marks(Case& test, std::uint32_t number, std::string_view line) {
    for (std::size_t at = line.find("// "); at != std::string_view::npos;) {
        const auto next = line.find("// ", at + 3);
        const auto mark = line.substr(at + 3, next == std::string_view::npos ? next : next - at - 3);
        const auto text = trimmed(mark.substr(std::min(mark.find(": ") + 2, mark.size())));
        if (mark.rfind("error: ", 0) == 0) test.expected.push_back({number, Severity::error, text});
        if (mark.rfind("warning: ", 0) == 0) test.expected.push_back({number, Severity::warning, text});
        if (mark.rfind("ptxas: ", 0) == 0) test.ptxas.emplace_back(number, text == "accepts");
        at = next;
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const auto& entry : std::filesystem::directory_iterator(PTXGEN_SOURCE_DIR "/tests/cases/verify")) {
        Case test;
        test.name = entry.path().filename().string();
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
            test.lines.push_back(line);
            read_marks(test, static_cast<std::uint32_t>(test.lines.size()), line);
        }
        all.push_back(std::move(test));
    }
    std::sort(all.begin(), all.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
    return all;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    return text;
}

/// The case with none of its errors but the one on line `kept`; the other lines stay where they are.
std::string with_error(const Case& test, std::uint32_t kept) {
    auto lines = test.lines;
    for (const auto& expectation : test.expected)
        if (expectation.severity == Severity::error && expectation.line != kept) lines[expectation.line - 1].clear();
    return joined(lines);
}

std::optional<std::string> find_ptxas() {
    if (const char* given = std::getenv("PTXGEN_PTXAS")) return given;
    if (std::system("command -v ptxas >/dev/null 2>&1") == 0) return "ptxas";
    return std::nullopt;
}

bool ptxas_accepts(const std::string& ptxas, const std::string& text) {
    const auto path =
        std::filesystem::temp_directory_path() / fmt::format("ptxgen_verify_{}.ptx", static_cast<const void*>(&text));
    std::ofstream(path) << text;
    const auto target = parse(text).module.target;
    const auto command = fmt::format("'{}' -arch {} '{}' -o /dev/null >/dev/null 2>&1", ptxas,
                                     target ? to_string(*target) : "sm_90", path.string());
    const int status = std::system(command.c_str());
    std::filesystem::remove(path);
    return status == 0;
}

} // namespace

TEST_CASE("every case has exactly the findings that it says") {
    for (const auto& test : cases()) {
        const auto text = joined(test.lines);
        const auto found = check_text(text).diagnostics;
        INFO(test.name);
        std::vector<bool> used(found.size());
        for (const auto& expectation : test.expected) {
            bool matched = false;
            for (std::size_t i = 0; i < found.size() && !matched; i++) {
                if (used[i] || found[i].location.line != expectation.line ||
                    found[i].severity != expectation.severity ||
                    found[i].message.find(expectation.text) == std::string::npos)
                    continue;
                matched = used[i] = true;
            }
            CHECK_MESSAGE(matched, "missing at line " << expectation.line << ": " << expectation.text);
        }
        for (std::size_t i = 0; i < found.size(); i++)
            CHECK_MESSAGE(used[i], "unexpected: " << render({found[i]}, text, test.name));
    }
}

TEST_CASE("ptxas agrees where the cases say so") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] ptxas agrees where the cases say so: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    for (const auto& test : cases()) {
        INFO(test.name);
        CHECK_MESSAGE(ptxas_accepts(*ptxas, with_error(test, 0)), "ptxas rejects the case without its errors");
        for (const auto& mark : test.ptxas) {
            const bool accepted = ptxas_accepts(*ptxas, with_error(test, mark.first));
            CHECK_MESSAGE(accepted == mark.second, "line " << mark.first << ": " << test.lines[mark.first - 1]);
        }
    }
}

TEST_CASE("what has no errors prints to text that has the same findings") {
    for (const auto& test : cases()) {
        INFO(test.name);
        const auto clean = with_error(test, 0);
        const auto parsed = parse(clean);
        REQUIRE(parsed.ok());
        CHECK(!has_errors(verify(parsed.module, {true, {}})));
        const auto printed = print(parsed.module);
        if (!printed) FAIL(printed.error().message);
        const auto again = check_text(*printed);
        INFO(*printed);
        for (const auto& diagnostic : again.diagnostics)
            CHECK_MESSAGE(diagnostic.severity == Severity::warning, to_string(diagnostic));
        CHECK(again.diagnostics.size() == check_text(clean).diagnostics.size());
    }
}
