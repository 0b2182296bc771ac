#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace ptxgen;

namespace {

Instruction line(const Function& function, std::string_view text) {
    auto instruction = parse_instruction(text, {}, function);
    if (!instruction) FAIL(instruction.error().message);
    return *instruction;
}

/// add.u32 and ret on registers without names: nothing is wrong with it.
Module sound() {
    Module module;
    Function function;
    function.name = "k";
    function.registers = {{Type::b32, ""}, {Type::b32, ""}, {Type::pred, ""}};
    function.labels = {{"end", 2, true}};
    function.body = {line(function, "mov.u32 %r1, %tid.x;"), line(function, "add.u32 %r2, %r1, 1;"),
                     line(function, "ret;")};
    module.functions.push_back(function);
    return module;
}

std::vector<std::string> rules(const Module& module) {
    std::vector<std::string> found;
    for (const auto& diagnostic : verify(module)) found.push_back(diagnostic.rule);
    return found;
}

std::vector<std::string> rules_after(void (*change)(Function&)) {
    auto module = sound();
    change(module.functions[0]);
    (void)print(module); // whatever it is, it prints or says why not
    return rules(module);
}

using Rules = std::vector<std::string>;

} // namespace

TEST_CASE("a sound module has no findings") { CHECK(verify(sound()).empty()); }

TEST_CASE("ids that name nothing are reported and never followed") {
    CHECK(rules_after([](Function& f) { f.body[1].operands[1].id = 77; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[0].operands[1].id = 70000; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].form = 60000; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].choices[0] = 200; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].choices[0] = 0; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].operands.pop_back(); }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].guard = Operand::integer(1); }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].operands[2] = Operand::label(9); }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.labels[0].position = 9; }) == Rules{"structure"});
    CHECK(rules_after([](Function& f) { f.body[1].operands[2] = Operand::symbol(SymbolScope::local_variable, 3); }) ==
          Rules{"structure"});
}

TEST_CASE("built code is judged more strictly than parsed code") {
    auto module = sound();
    std::swap(module.functions[0].body[0], module.functions[0].body[1]);
    auto found = verify(module);
    REQUIRE(found.size() == 1);
    CHECK(found[0].rule == "uninitialised");
    CHECK(found[0].severity == Severity::error);
    CHECK(found[0].instruction == 0);
    CHECK(found[0].operand == 1);
    CHECK(to_string(found[0]) == "kernel 'k', instruction 0: error: '%r1' is read here, but not assigned on every path "
                                 "[uninitialised]");
    found = verify(module, {true, {}});
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::warning);
    CHECK(rules_after([](Function& f) { f.body.pop_back(); }) == Rules{"missing-exit"});
}

TEST_CASE("operands that the builder cannot make, but plain data can") {
    CHECK(rules_after([](Function& f) { f.body[1].operands[0] = Operand::integer(1); }) == Rules{"operand-kind"});
    CHECK(rules_after([](Function& f) { f.body[1].operands[2] = Operand::reg({2}); })[0] == "operand-type");
    CHECK(rules_after([](Function& f) { f.body[1].operands[2] = {}; }) == Rules{"operand-count"});
    CHECK(rules_after([](Function& f) {
              f.body[1].operands[2] = Operand::vector({Operand::integer(1), Operand::integer(2)});
          }) == Rules{"operand-count"});
    CHECK(rules_after([](Function& f) { f.name = "no name"; })[0] == "invalid-name");
    CHECK(rules_after([](Function& f) {
              f.registers[0].name = "%r2";
              f.registers[1].name = "%r2";
          })[0] == "duplicate-name");
    CHECK(rules_after([](Function& f) { f.labels.push_back({"end", 0, true}); }) == Rules{"duplicate-name"});
    // The printer calls the first 32-bit register so.
    CHECK(rules_after([](Function& f) { f.labels.push_back({"%r1", 0, true}); }) == Rules{"duplicate-name"});
    CHECK(rules_after([](Function& f) { f.directives.emplace_back("maxntidd", std::vector<std::uint32_t>{1}); }) ==
          Rules{"directive"});
    CHECK(rules_after([](Function& f) { f.directives.emplace_back("maxntid", std::vector<std::uint32_t>{}); }) ==
          Rules{"directive"});
}
