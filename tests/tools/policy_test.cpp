// `ptxgen emit --policy` and `ptxgen list --policies`.
#include "kernels/registry.hpp"
#include "policies/policies.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace ptxgen;
using test::not_one_clear_error;
using test::ptxgen_tool;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("emit --policy says policy, scheduler and further parameters in the header") {
    const test::TinyFiles files;
    const std::string ptx = files.path("matmul.ptx"), manifest = files.path("matmul.json");
    const auto emitted = ptxgen_tool({"emit", "matmul", "--policy", "max_steals(8) && every_nth(2)", "--scheduler",
                                      "clc", "--target", "sm_100a", "--counters", "-o", ptx, "--manifest", manifest});
    CHECK_MESSAGE(emitted.code == 0, emitted.err);
    CHECK(emitted.err.empty()); // nothing was chosen for the user
    const std::string text = test::content_of(ptx);
    const std::string header = text.substr(0, text.find(".version"));
    CHECK(has(header, "policy max_steals(8) && every_nth(2)\n"));
    CHECK(has(header, "scheduler clc\n"));
    CHECK(has(header, "counters: global pointer"));
    CHECK(has(text, "clusterlaunchcontrol.try_cancel"));
    CHECK(ptxgen_tool({"verify", ptx}).code == 0);
    const auto json = nlohmann::json::parse(test::content_of(manifest), nullptr, false);
    REQUIRE(json.is_object());
    CHECK(json.at("policy") == "max_steals(8) && every_nth(2)");
    CHECK(json.at("scheduler") == "clc");

    const auto clusters = ptxgen_tool(
        {"emit", "matmul", "--policy", "greedy", "--scheduler", "clc", "--cluster", "2", "--target", "sm_100a"});
    CHECK_MESSAGE(clusters.code == 0, clusters.err);
    CHECK(has(clusters.out, "cluster 2, 1, 1\n"));
    CHECK(has(clusters.out, "grid   ceil(ceil(m / 64) * ceil(n / 64) / 2) * 2, 1, 1"));
    CHECK(has(clusters.out, ".reqnctapercluster 2, 1, 1"));

    const auto hopper = ptxgen_tool({"emit", "gemv_q4_k", "--policy", "greedy", "--target", "sm_90a"});
    CHECK(hopper.code == 0);
    CHECK(hopper.err == "note: scheduler: ticket, as sm_90a has no cluster launch control (clc needs sm_100)\n");
    CHECK(has(hopper.out, "tickets: global pointer, 8 bytes aligned"));
}

TEST_CASE("without --policy nothing changes") {
    for (const char* kernel : {"matmul", "gemv_q4_k"}) {
        const auto plain = ptxgen_tool({"emit", kernel, "--target", "sm_100a"});
        CHECK(plain.code == 0);
        for (const char* word : {"policy", "scheduler", "tickets", "clusterlaunchcontrol", "barrier.sync"})
            CHECK_FALSE(has(plain.out, word));
    }
}

TEST_CASE("list shows every policy with its arguments") {
    const auto text = ptxgen_tool({"list", "--policies"});
    const auto json = nlohmann::json::parse(ptxgen_tool({"list", "--policies", "--json"}).out, nullptr, false);
    REQUIRE(json.is_array());
    CHECK(json.size() == policies::policy_registry().size());
    for (const auto& policy : json) CHECK(has(text.out, policy.at("name").get<std::string>()));
    CHECK(has(text.out, "max_steals(n)"));
    CHECK(has(ptxgen_tool({"list"}).out, "time_budget(ns)"));
}

TEST_CASE("what cannot be scheduled gets one clear error") {
    const auto emit = [](std::vector<std::string> more) {
        std::vector<std::string> words{"emit", "matmul", "--policy"};
        words.insert(words.end(), more.begin(), more.end());
        return ptxgen_tool(words);
    };
    CHECK(not_one_clear_error(emit({"greedi"}), {"column 1", "greedi", "greedy"}) == "");
    CHECK(not_one_clear_error(emit({"greedy && max_steals"}), {"column 21", "max_steals(n)", "found 0"}) == "");
    CHECK(not_one_clear_error(emit({"every_nth(0)"}), {"column 11", "every_nth", "divide by zero"}) == "");
    CHECK(not_one_clear_error(emit({"greedy", "--scheduler", "clc", "--target", "sm_90a"}),
                              {"matmul", "clc", "sm_100", "sm_90a"}) == "");
    CHECK(not_one_clear_error(emit({"max_steals(2)", "--scheduler", "static"}), {"static", "max_steals(2)"}) == "");
    CHECK(not_one_clear_error(emit({"greedy", "--scheduler", "tickets"}), {"tickets", "ticket"}) == "");
    CHECK(not_one_clear_error(emit({"greedy", "--scheduler", "clc", "--target", "sm_100a", "--cluster", "0"}),
                              {"--cluster", "from 1 on"}) == "");
    CHECK(not_one_clear_error(emit({"greedy", "--scheduler", "ticket", "--cluster", "2"}), {"ticket", "cluster"}) ==
          "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "--policy", "greedy"}),
                              {"rms_norm", "cannot be scheduled", "matmul"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "matmul", "--scheduler", "clc"}), {"--scheduler", "--policy"}) ==
          "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "matmul", "--counters"}), {"--counters", "--policy"}) == "");
}
