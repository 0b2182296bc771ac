#include "kernels/registry.hpp"

#include "ptxgen/base/nearest.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <set>

using namespace ptxgen;
using namespace ptxgen::kernels;

namespace {

KernelSpec sample() {
    KernelSpec spec;
    spec.name = "sample";
    spec.parameters = {ParameterSpec::integer("cols", "", 64, 32, 4096, 32),
                       ParameterSpec::integer("rows", "", 1, 1, 9), ParameterSpec::real("epsilon", "", 1e-5, 0, 1),
                       ParameterSpec::choice("type", "", {"f32", "f16"})};
    return spec;
}

std::string message(const std::map<std::string, std::string>& texts) {
    const auto values = read_parameters(sample(), texts);
    return values ? "none" : values.error().message;
}

} // namespace

TEST_CASE("parameters are completed with their defaults") {
    const auto values = read_parameters(sample(), {{"rows", "9"}, {"type", "f16"}});
    REQUIRE(values.ok());
    CHECK(values->u32("cols") == 64);
    CHECK(values->u32("rows") == 9);
    CHECK(values->real("epsilon") == 1e-5);
    CHECK(values->word("type") == "f16");
}

TEST_CASE("wrong parameters are named with what was expected") {
    const std::string cols = "parameter 'cols' must be an integer from 32 to 4096 and a multiple of 32, not '";
    for (const std::string text : {"48", "0", "4128", "-32", "", "64x", " 64", "0x40", "99999999999999999999"})
        CHECK(message({{"cols", text}}) == cols + text + "'");
    CHECK(message({{"rows", "10"}}) == "parameter 'rows' must be an integer from 1 to 9, not '10'");
    for (const std::string text : {"2", "-0.1", "nan", "", "1e-5 ", "inf"})
        CHECK(message({{"epsilon", text}}) == "parameter 'epsilon' must be a number from 0 to 1, not '" + text + "'");
    CHECK(message({{"type", "bf16"}}) == "parameter 'type' must be one of f32, f16, not 'bf16'");
    CHECK(message({{"row", "1"}}) == "kernel 'sample' has no parameter 'row'; the nearest names are rows, cols, type");
}

TEST_CASE("kernels are found by name, and near names are offered") {
    REQUIRE(find_kernel("gemv_q4_k").ok());
    CHECK((*find_kernel("gemv_q4_k"))->name == "gemv_q4_k");
    const auto missing = find_kernel("gemv_q4k");
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().message.find("unknown kernel 'gemv_q4k'; the nearest names are gemv_q4_k") == 0);
}

TEST_CASE("every registered kernel says what it is") {
    std::set<std::string> names;
    for (const KernelSpec& kernel : registry()) {
        CAPTURE(kernel.name);
        CHECK(names.insert(kernel.name).second);
        CHECK_FALSE(kernel.family.empty());
        CHECK_FALSE(kernel.summary.empty());
        CHECK(static_cast<bool>(kernel.generate));
        for (const ParameterSpec& parameter : kernel.parameters) {
            CAPTURE(parameter.name);
            CHECK_FALSE(parameter.meaning.empty());
            if (!parameter.words.empty()) continue;
            if (parameter.is_real) {
                CHECK(parameter.real_min <= parameter.real_fallback);
                CHECK(parameter.real_fallback <= parameter.real_max);
            } else {
                CHECK(parameter.min <= parameter.fallback);
                CHECK(parameter.fallback <= parameter.max);
                CHECK(parameter.fallback % parameter.multiple_of == 0);
            }
        }
    }
    for (const char* type : {"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k",
                             "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"})
        CHECK(names.count(std::string("gemv_") + type) == 1);
    CHECK(std::is_sorted(registry().begin(), registry().end(),
                         [](const auto& a, const auto& b) { return a.name < b.name; }));
}

TEST_CASE("nearest names are those with the fewest edits") {
    const std::vector<std::string> names{"rows", "cols", "token-tile", "warps"};
    CHECK((nearest_names("row", names, 1) == std::vector<std::string>{"rows"}));
    CHECK(nearest_names("token_tile", names, 2).front() == "token-tile");
    CHECK(nearest_names("x", {}, 3).empty());
    CHECK(nearest_names("x", names, 9).size() == 4);
}
