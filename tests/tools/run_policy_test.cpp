// `ptxgen-run --policy` and `ptxgen-bench decode --policy`: the same tokens, and what they refuse.
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace ptxgen;
using test::ptxgen_bench;
using test::ptxgen_run;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Empty if it is wrong usage, with these texts in what is said about it.
std::string not_wrong_usage(const test::Finished& finished, std::initializer_list<std::string_view> parts) {
    if (finished.code != 2 || !finished.out.empty()) return "exit code " + std::to_string(finished.code);
    for (const std::string_view part : parts)
        if (!has(finished.err, part)) return "expected '" + std::string(part) + "' in " + finished.err;
    return {};
}

} // namespace

TEST_CASE("ptxgen-run draws the same tokens under a policy and says which scheduler it chose") {
    const test::TinyFiles files;
    const std::string model = files.model("qwen2");
    const auto ask = [&](std::vector<std::string> more) {
        std::vector<std::string> words{model, "--raw",    "-q",       "the cat", "-t", "0",     "-n",
                                       "6",   "--device", "emulator", "-r",      "0",  "--json"};
        words.insert(words.end(), more.begin(), more.end());
        return ptxgen_run(words);
    };
    const auto ids = [](const test::Finished& finished) {
        INFO(finished.err);
        REQUIRE(finished.code == 0);
        return nlohmann::json::parse(finished.out).at("ids").get<std::vector<int>>();
    };
    const auto plain = ids(ask({}));
    REQUIRE(plain.size() == 6);
    const auto greedy = ask({"--policy", "greedy"});
    CHECK(ids(greedy) == plain);
    CHECK(has(greedy.err, "note: scheduler: ticket, as sm_90a"));
    CHECK(std::count(greedy.err.begin(), greedy.err.end(), '\n') == 1);
    const auto joined = ask({"--policy", "max_steals(3) && every_nth(2)", "--scheduler", "ticket"});
    CHECK(ids(joined) == plain);
    CHECK(joined.err.empty());
    CHECK(ids(ask({"--policy", "greedy", "--scheduler", "static"})) == plain);
    // Which depends on the device.
    CHECK(test::not_one_clear_error(ask({"--policy", "greedy", "--scheduler", "clc"}), {"clc", "sm_100", "sm_90a"}) ==
          "");
}

TEST_CASE("policies that cannot be are wrong usage, of ptxgen-run and of ptxgen-bench decode") {
    for (const bool bench : {false, true}) {
        CAPTURE(bench);
        const auto with = [&](std::vector<std::string> words) {
            if (!bench) {
                words.insert(words.begin(), "no.gguf");
                return ptxgen_run(words);
            }
            words.insert(words.begin(), {"decode", "no.gguf", "--device", "emulator"});
            return ptxgen_bench(words);
        };
        CHECK(not_wrong_usage(with({"--policy", "greedi"}), {"--policy", "column 1", "greedi", "greedy"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "greedy && max_steals"}), {"column 21", "max_steals(n)"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "every_nth(0)"}), {"column 11", "divide by zero"}) == "");
        CHECK(not_wrong_usage(with({"--policy", ""}), {"--policy", "column 1"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "greedy", "--scheduler", "tickets"}),
                              {"--scheduler", "tickets", "clc, ticket and static"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "max_steals(2)", "--scheduler", "static"}),
                              {"static", "max_steals(2)"}) == "");
        CHECK(not_wrong_usage(with({"--scheduler", "ticket"}), {"--scheduler needs --policy"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "greedy", "--activations", "q8_1"}),
                              {"--policy needs --activations f32", "cannot be scheduled"}) == "");
        CHECK(not_wrong_usage(with({"--policy", "greedy", "--engine", "persistent"}),
                              {"--policy needs --engine graph", "cannot be scheduled"}) == "");
        // What is left to be wrong is the file.
        CHECK(with({"--policy", "greedy"}).code == 1);
    }
}

TEST_CASE("decode measures an engine under a policy") {
    const test::TemporaryFolder folder;
    const std::string path = folder.path() + "/tiny.gguf";
    REQUIRE(ptxgen_bench({"synth", "--shape", "tiny", path}).code == 0);
    const auto finished = ptxgen_bench({"decode", path, "--device", "emulator", "--policy", "max_steals(2)",
                                        "--scheduler", "ticket", "--tokens", "1", "--prompt-tokens", "2", "--runs", "1",
                                        "--warm-up", "0", "--no-ceiling", "--json", "-"});
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    const auto report = nlohmann::json::parse(finished.out);
    REQUIRE(report["results"].size() == 2);
    for (const auto& row : report["results"]) CHECK(row["engine"] == "auto f32 max_steals(2)");
}
