#pragma once

#include "ptxgen/text/text.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

namespace ptxgen::test {

/// A module around the given declarations and instructions, for the newest version and a Blackwell target.
inline std::string kernel_text(std::string_view body, std::string_view version = "9.0",
                               std::string_view target = "sm_100a") {
    return fmt::format(
        ".version {}\n.target {}\n.address_size 64\n.visible .entry k(.param .u64 out)\n{{\n{}\nret;\n}}\n", version,
        target, body);
}

inline std::string all_messages(const std::vector<Diagnostic>& diagnostics) {
    std::string text;
    for (const auto& diagnostic : diagnostics) text += to_string(diagnostic) + "\n";
    return text;
}

/// parse(print(x)) == x in all that the IR says, source locations left aside.
inline void check_equal(const Module& a, const Module& b) {
    REQUIRE(a.functions.size() == b.functions.size());
    REQUIRE(a.variables.size() == b.variables.size());
    for (std::size_t f = 0; f < a.functions.size(); f++) {
        const auto &x = a.functions[f], &y = b.functions[f];
        CHECK(x.name == y.name);
        CHECK(x.directives == y.directives);
        CHECK(x.parameters.size() == y.parameters.size());
        CHECK(x.variables.size() == y.variables.size());
        CHECK(x.labels.size() == y.labels.size());
        REQUIRE(x.body.size() == y.body.size());
        for (std::size_t i = 0; i < x.body.size(); i++) {
            CHECK(x.body[i].form == y.body[i].form);
            CHECK(x.body[i].choices == y.body[i].choices);
            CHECK(x.body[i].comment == y.body[i].comment);
            CHECK(print(x, x.body[i], a) == print(y, y.body[i], b));
        }
    }
}

/// Parses, prints, parses and prints again: both texts and both modules must be the same. Returns the printed text.
inline std::string check_round_trip(std::string_view text) {
    const auto first = parse(text);
    INFO(all_messages(first.diagnostics));
    REQUIRE(first.ok());
    const auto printed = print(first.module);
    if (!printed) FAIL(printed.error().message);
    const auto second = parse(*printed);
    INFO(*printed);
    INFO(all_messages(second.diagnostics));
    REQUIRE(second.ok());
    check_equal(first.module, second.module);
    const auto again = print(second.module);
    REQUIRE(again.ok());
    CHECK(*again == *printed);
    return *printed;
}

} // namespace ptxgen::test
