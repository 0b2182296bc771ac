// `ptxgen list` and `ptxgen emit`.
#include "kernels/registry.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <set>

using namespace ptxgen;
using test::not_one_clear_error;
using test::ptxgen_tool;

namespace {

/// The kernels that this program promises, whatever else there is.
const std::set<std::string> promised{
    "gemv_f32",  "gemv_f16",    "gemv_bf16",   "gemv_q4_0",  "gemv_q4_1", "gemv_q5_0",
    "gemv_q5_1", "gemv_q8_0",   "gemv_q2_k",   "gemv_q3_k",  "gemv_q4_k", "gemv_q5_k",
    "gemv_q6_k", "gemv_iq4_nl", "gemv_iq4_xs", "gemv_mxfp4", "matmul",
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("list shows every registered kernel, as text and as JSON") {
    const auto text = ptxgen_tool({"list"});
    CHECK(text.code == 0);
    const auto json = ptxgen_tool({"list", "--json"});
    CHECK(json.code == 0);
    const auto all = nlohmann::json::parse(json.out, nullptr, false);
    REQUIRE(all.is_array());
    std::set<std::string> names;
    for (const auto& kernel : all) {
        const std::string name = kernel.at("name");
        CHECK_MESSAGE(names.insert(name).second, name);
        CHECK_MESSAGE(has(text.out, name), name);
        CHECK_MESSAGE(!kernel.at("targets").empty(), name);
        // Integer mma of m16n8k32 starts with sm_80.
        CHECK_MESSAGE(kernel.at("targets")[0] == (name.starts_with("matmul_ring_") ? "sm_80" : "sm_75"), name);
        for (const auto& parameter : kernel.at("parameters"))
            CHECK_MESSAGE(has(text.out, "--" + parameter.at("name").get<std::string>()), name);
    }
    for (const auto& spec : kernels::registry()) CHECK_MESSAGE(names.count(spec.name) == 1, spec.name);
    for (const auto& name : promised) CHECK_MESSAGE(names.count(name) == 1, name);
}

TEST_CASE("every kernel emits with its defaults, verifies, and has a manifest that fits the text") {
    const test::TinyFiles files;
    for (const auto& spec : kernels::registry()) {
        if (spec.needs_model) continue;
        CAPTURE(spec.name);
        const std::string ptx = files.path(spec.name + ".ptx");
        const std::string manifest = files.path(spec.name + ".json");
        const auto emitted = ptxgen_tool({"emit", spec.name, "-o", ptx, "--manifest", manifest});
        CHECK_MESSAGE(emitted.code == 0, emitted.err);
        CHECK(emitted.out.empty());
        const std::string text = test::content_of(ptx);
        CHECK(ptxgen_tool({"emit", spec.name}).out == text);
        const auto verified = ptxgen_tool({"verify", ptx});
        CHECK_MESSAGE(verified.code == 0, verified.out);

        const auto json = nlohmann::json::parse(test::content_of(manifest), nullptr, false);
        REQUIRE(json.is_object());
        CHECK(has(text, ".entry " + json.at("kernel").get<std::string>()));
        CHECK(has(text, ".version " + json.at("version").get<std::string>()));
        CHECK(has(text, ".target " + json.at("target").get<std::string>()));
        CHECK(json.at("grid").size() == 3);
        CHECK(json.at("block").size() == 3);
        CHECK(json.at("block")[0] >= 1);
        std::size_t at = text.find(".entry");
        for (const auto& parameter : json.at("parameters")) {
            const std::string name = parameter.at("name");
            CHECK_MESSAGE(!parameter.at("meaning").get<std::string>().empty(), name);
            at = text.find(name, at); // in order
            CHECK_MESSAGE(at != std::string::npos, name);
        }
        for (const char* part : {"grid", "block", "shared"}) CHECK(has(text.substr(0, text.find(".version")), part));
    }
}

TEST_CASE("--target and --ptx-version print what they ask for, or say what is too low") {
    const auto lowest = ptxgen_tool({"emit", "rms_norm"});
    CHECK(has(lowest.out, ".target sm_50")); // nothing in it needs more
    const auto hopper = ptxgen_tool({"emit", "rms_norm", "--target", "sm_90a"});
    CHECK(hopper.code == 0);
    CHECK(has(hopper.out, ".target sm_90a"));
    CHECK(has(ptxgen_tool({"emit", "rms_norm", "--ptx-version", "8.7"}).out, ".version 8.7"));
    CHECK(has(ptxgen_tool({"emit", "add", "--width", "1234"}).out, "1234"));

    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "--target", "sm_12345"}), {"sm_12345", "sm_75"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "--ptx-version", "latest"}), {"latest"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "--target", "sm_30"}), {"sm_"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "--ptx-version", "3.0"}), {"3.0"}) == "");
}

TEST_CASE("unknown kernels and parameters bring the nearest names") {
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4k"}), {"gemv_q4k", "gemv_q4_k"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms-norm"}), {"rms_norm"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--row", "4"}), {"row", "rows"}) == "");
}

TEST_CASE("parameter values out of range or of the wrong kind name the parameter and its range") {
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--rows", "0"}), {"rows", "0"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--rows", "-3"}), {"rows", "-3"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--rows", "many"}), {"rows", "many"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--rows", "99999999999999999999"}), {"rows"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--cols", "255"}), {"cols", "255", "256"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "gemv_q4_k", "--rows=4", "--rows=5"}), {"rows", "twice"}) == "");
}

TEST_CASE("output that cannot be written is said") {
    const test::TinyFiles files;
    const std::string nowhere = files.path("missing/folder/k.ptx");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "-o", nowhere}), {nowhere, "No such file"}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "-o", files.folder()}), {files.folder()}) == "");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "-o", "/dev/full"}), {"/dev/full", "No space"}) == "");
    const std::string ptx = files.path("k.ptx");
    CHECK(not_one_clear_error(ptxgen_tool({"emit", "rms_norm", "-o", ptx, "--manifest", nowhere}), {nowhere}) == "");
}
