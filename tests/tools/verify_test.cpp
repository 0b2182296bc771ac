// `ptxgen verify` and `ptxgen fmt`.
#include "kernels/registry.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace ptxgen;
using test::not_one_clear_error;
using test::ptxgen_tool;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view clean = R"(.version 7.0
.target sm_75
.address_size 64

.visible .entry twice(.param .u64 p)
{
    .reg .b32 %r<3>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [p];
    cvta.to.global.u64 %rd2, %rd1;
    ld.global.u32 %r1, [%rd2];
    add.u32 %r2, %r1, %r1;
    st.global.u32 [%rd2], %r2;
    ret;
}
)";

/// `clean` with three mistakes: a float instruction on an integer's width in line 11, a missing label in 12, and an
/// undeclared register in 13.
std::string wrong() {
    std::string text{clean};
    const auto replace = [&](std::string_view from, std::string_view to) {
        text.replace(text.find(from), from.size(), to);
    };
    replace("ld.global.u32 %r1, [%rd2];", "add.f64 %r1, %r1, %r1;");
    replace("add.u32 %r2, %r1, %r1;", "bra nowhere;");
    replace("st.global.u32 [%rd2], %r2;", "st.global.u32 [%rd2], %r7;");
    return text;
}

} // namespace

TEST_CASE("verify passes what is right") {
    const test::TinyFiles files;
    const std::string path = files.text("clean.ptx", clean);
    const auto finished = ptxgen_tool({"verify", path});
    CHECK_MESSAGE(finished.code == 0, finished.out);
    const auto json = ptxgen_tool({"verify", path, "--json"});
    CHECK(json.code == 0);
    CHECK(nlohmann::json::parse(json.out, nullptr, false) == nlohmann::json::array());
}

TEST_CASE("verify reports every mistake of a file in one run") {
    const test::TinyFiles files;
    const std::string path = files.text("wrong.ptx", wrong());
    const auto text = ptxgen_tool({"verify", path});
    CHECK(text.code == 1);
    const auto finished = ptxgen_tool({"verify", path, "--json"});
    CHECK(finished.code == 1);
    const auto json = nlohmann::json::parse(finished.out, nullptr, false);
    REQUIRE(json.is_array());
    std::vector<int> lines;
    for (const auto& finding : json) {
        CHECK((finding.at("severity") == "error" || finding.at("severity") == "warning"));
        CHECK(finding.at("column") >= 1);
        CHECK_FALSE(finding.at("rule").get<std::string>().empty());
        const std::string message = finding.at("message");
        CHECK_FALSE(message.empty());
        CHECK_FALSE(has(message, "\n"));
        if (finding.at("severity") != "error") continue;
        const int line = finding.at("line");
        lines.push_back(line);
        CHECK_MESSAGE(has(text.out, fmt::format("{}:{}:{}", path, line, finding.at("column").get<int>())), text.out);
    }
    for (const int line : {11, 12, 13})
        CHECK_MESSAGE(std::count(lines.begin(), lines.end(), line) >= 1, fmt::format("line {}: {}", line, text.out));
}

TEST_CASE("verify says what is missing and survives what is no PTX") {
    const test::TinyFiles files;
    const std::string none = files.path("none.ptx");
    CHECK(not_one_clear_error(ptxgen_tool({"verify", none}), {none, "No such file"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"verify", files.folder()}), {"directory"}) == "");
    using namespace std::string_literals;
    const std::string contents[] = {"",
                                    "hello",
                                    "\0\0\0\0"s,
                                    "\xff\xfe\x80",
                                    ".version 99.0\n",
                                    "\"",
                                    "/*",
                                    std::string(100000, '('),
                                    std::string(100000, '{')};
    for (const std::string& content : contents) {
        const std::string path = files.text("odd.ptx", content);
        CAPTURE(content.substr(0, 20));
        const auto finished = ptxgen_tool({"verify", path});
        CHECK(finished.code == 1);
        CHECK(has(finished.out, path));
        const auto json = ptxgen_tool({"verify", path, "--json"});
        CHECK(json.code == 1);
        CHECK(nlohmann::json::parse(json.out, nullptr, false).is_array());
    }
}

TEST_CASE("fmt prints a text that it prints again the same way") {
    const test::TinyFiles files;
    const std::string once = files.path("once.ptx");
    for (const char* kernel : {"rms_norm", "gemv_q4_k", "attention", "matmul"}) {
        CAPTURE(kernel);
        const std::string emitted = files.path("emitted.ptx");
        REQUIRE(ptxgen_tool({"emit", kernel, "-o", emitted}).code == 0);
        const auto first = ptxgen_tool({"fmt", emitted, "-o", once});
        CHECK_MESSAGE(first.code == 0, first.err);
        CHECK(first.out.empty());
        const auto second = ptxgen_tool({"fmt", once});
        CHECK(second.code == 0);
        CHECK(second.out == test::content_of(once));
        CHECK(ptxgen_tool({"verify", once}).code == 0);
    }
    // Spacing does not matter to what is printed.
    const std::string path = files.text("clean.ptx", clean);
    std::string cramped{clean};
    for (std::size_t at = 0; (at = cramped.find(", ", at)) != std::string::npos;) cramped.erase(at + 1, 1);
    CHECK(ptxgen_tool({"fmt", files.text("cramped.ptx", cramped)}).out == ptxgen_tool({"fmt", path}).out);
}

TEST_CASE("fmt changes no file that it cannot read") {
    const test::TinyFiles files;
    const std::string path = files.text("wrong.ptx", "add.u32 what is this");
    const auto finished = ptxgen_tool({"fmt", path, "-o", path});
    CHECK(finished.code == 1);
    CHECK(finished.out.empty());
    CHECK(has(finished.err, path + ":1:"));
    CHECK(test::content_of(path) == "add.u32 what is this");
    CHECK(not_one_clear_error(ptxgen_tool({"fmt", files.path("none.ptx")}), {"none.ptx"}) == "");
    const std::string good = files.text("clean.ptx", clean);
    CHECK(not_one_clear_error(ptxgen_tool({"fmt", good, "-o", files.path("a/b.ptx")}), {"a/b.ptx"}) == "");
}
