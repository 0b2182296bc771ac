#include "runtime/inference/jinja/jinja.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

using namespace ptxgen;

namespace {

jinja::Value value_of(const nlohmann::json& json) {
    if (json.is_string()) return json.get<std::string>();
    if (json.is_number_integer()) return json.get<std::int64_t>();
    if (json.is_array()) {
        jinja::List out;
        for (const auto& element : json) out.push_back(value_of(element));
        return out;
    }
    REQUIRE(json.is_object());
    jinja::Dict out;
    for (const auto& [key, element] : json.items()) out.emplace_back(key, value_of(element));
    return out;
}

std::string error_of(std::string_view source) {
    const auto parsed = jinja::Template::parse(source);
    if (!parsed) return parsed.error().message;
    const auto text = parsed->render({});
    return text ? "" : text.error().message;
}

std::string repeat(std::string_view unit, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += unit;
    return out;
}

} // namespace

TEST_CASE("every feature renders as Python's jinja2 renders it") {
    // scripts/render-chats made the file.
    const auto data = nlohmann::json::parse(std::ifstream(PTXGEN_SOURCE_DIR "/tests/data/chat/jinja.json"));
    jinja::Dict variables;
    // nlohmann sorts keys; a message has its role first.
    for (const auto& [key, value] : data["variables"].items()) variables.emplace_back(key, value_of(value));
    for (auto& [key, value] : variables)
        if (key == "m") {
            jinja::List messages;
            for (const auto& message : value.list())
                messages.emplace_back(
                    jinja::Dict{{"role", *message.find("role")}, {"content", *message.find("content")}});
            value = std::move(messages);
        }
    CHECK(data["cases"].size() >= 50);
    for (const auto& entry : data["cases"]) {
        const std::string source = entry["template"];
        CAPTURE(source);
        const auto parsed = jinja::Template::parse(source);
        REQUIRE_MESSAGE(parsed.ok(), parsed.error().message);
        const auto text = parsed->render(variables);
        CHECK(text.ok() == !entry["text"].is_null());
        if (text && !entry["text"].is_null()) CHECK(*text == entry["text"].get<std::string>());
    }
}

TEST_CASE("errors say the line and what was expected") {
    CHECK(error_of("a\n{{ 1 + }}").find("line 2: expected an expression") == 0);
    CHECK(error_of("{% if x %}").find("expected {% endif %}") != std::string::npos);
    CHECK(error_of("{% endfor %}").find("'endfor' is not supported here") != std::string::npos);
    CHECK(error_of("{{ x ").find("not closed") != std::string::npos);
    CHECK(error_of("{# x ").find("not closed") != std::string::npos);
    CHECK(error_of("{{ 'x }}").find("string is not closed") != std::string::npos);
    CHECK(error_of("\n\n{{ x.y }}") == "line 3: 'x' is undefined");
    CHECK(error_of("{{ 1|frobnicate }}") == "line 1: the filter 'frobnicate' is not supported");
    CHECK(error_of("{% include 'x' %}").find("'include' is not supported") != std::string::npos);
    CHECK(error_of("{{ 9999999999999999999 }}").find("too large") != std::string::npos);
    CHECK(error_of("{{ 1 // 0 }}").find("division by zero") != std::string::npos);
    CHECK(error_of("{% if false %}{{ 1|frobnicate }}{% endif %}") == "");
}

TEST_CASE("hostile templates end in errors") {
    for (const int n : {1000, 100000}) {
        CHECK(error_of("{{ " + repeat("(", n) + repeat(")", n) + " }}") != "");
        CHECK(error_of("{{ " + repeat("[", n) + repeat("]", n) + " }}") != "");
        CHECK(error_of("{{ 1" + repeat(" + 1", n) + " }}") != "");
        CHECK(error_of("{{ " + repeat("not ", n) + "x }}") != "");
        CHECK(error_of("{{ " + repeat("-", n) + "1 }}") != "");
        CHECK(error_of("{{ x" + repeat(".y", n) + " }}") != "");
        CHECK(error_of("{{ x" + repeat("|trim", n) + " }}") != "");
        CHECK(error_of("{{ 1" + repeat(" if 1 else 1", n) + " }}") != "");
        CHECK(error_of(repeat("{% if 1 %}", n) + repeat("{% endif %}", n)) != "");
        CHECK(error_of("{% set a = [] %}" + repeat("{% set a = [a, a] %}", n)).find("nested too deeply") !=
              std::string::npos);
    }
    CHECK(error_of("{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}")
              .find("too long") != std::string::npos);
    CHECK(error_of("{% for i in range(10000000) %}{% endfor %}").find("range is too long") != std::string::npos);
    CHECK(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("too deeply") != std::string::npos);
    CHECK(error_of("{% set n = namespace() %}{% set n.n = n %}").find("cannot be stored") != std::string::npos);
    CHECK(error_of("{% set n = namespace() %}{% set x = [n] %}").find("cannot be stored") != std::string::npos);
    CHECK(error_of("{% set n = namespace(a=[]) %}{% for i in range(1000) %}{% set n.a = [n.a] %}{% endfor %}")
              .find("nested too deeply") != std::string::npos);
    CHECK(error_of("{% set a = 'x' %}" + repeat("{% set a = a + a %}", 40)).find("too long") != std::string::npos);
    CHECK(error_of("{{ 'x' * 100000000000 }}").find("too long") != std::string::npos);
    const std::string wide =
        "{% set a = [1] %}{% set b = [1] %}" + repeat("{% set a = [a, a] %}{% set b = [b, b] %}", 50);
    CHECK(error_of(wide + "{{ a == b }}").find("too large to compare") != std::string::npos);
    // Every prefix of a template with everything in it is text or an error.
    const auto data = nlohmann::json::parse(std::ifstream(PTXGEN_SOURCE_DIR "/tests/data/chat/jinja.json"));
    std::string all;
    for (const auto& entry : data["cases"])
        if (entry["template"].get<std::string>().size() > all.size()) all = entry["template"];
    for (std::size_t size = 0; size < all.size(); ++size) (void)error_of(std::string_view(all).substr(0, size));
}
