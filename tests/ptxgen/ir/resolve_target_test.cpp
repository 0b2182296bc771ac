#include "ptxgen/text/text.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;

namespace {

/// A kernel of these lines, without a version or target of its own.
Module module_of(std::initializer_list<std::string_view> lines) {
    Module module;
    Function function;
    function.name = "k";
    function.registers = {{Type::b32, ""}, {Type::b64, ""}, {Type::pred, ""}, {Type::b16, ""}};
    const Operand given[] = {Operand::reg({0}), Operand::reg({1}), Operand::reg({2}), Operand::reg({3})};
    for (const auto line : lines) {
        auto instruction =
            parse_instruction(line, module, function, given, Minimum{{8, 6}, {100, TargetVariant::arch}});
        if (!instruction) FAIL(instruction.error().message);
        function.body.push_back(*instruction);
    }
    module.functions.push_back(function);
    return module;
}

std::string resolved(const Module& module) {
    const auto minimum = resolve_target(module);
    return minimum ? to_string(minimum->version) + " " + to_string(minimum->target) : minimum.error().message;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

// Minima are those of the PTX ISA's "PTX ISA Notes" and "Target ISA Notes" of each instruction.
TEST_CASE("the lowest version and target that the instructions need") {
    CHECK(resolved(module_of({"ret;"})) == "4.0 sm_50");
    CHECK(resolved(module_of({"add.u32 {0}, {0}, 1;"})) == "4.0 sm_50");
    CHECK(resolved(module_of({"add.f16 {3}, {3}, {3};"})) == "4.2 sm_53");
    CHECK(resolved(module_of({"dp4a.u32.u32 {0}, {0}, {0}, {0};"})) == "5.0 sm_61");
    CHECK(resolved(module_of({"ld.relaxed.gpu.global.u32 {0}, [{1}];"})) == "6.0 sm_70");
    CHECK(resolved(module_of({"mov.u32 {0}, %clusterid.x;"})) == "7.8 sm_90");
    CHECK(resolved(module_of({"ret;", "newop.x {0};"})) == "8.6 sm_100a");
}

TEST_CASE("stated versions and targets are kept, and refused if they are too low") {
    auto module = module_of({"ret;", "mov.u32 {0}, %clusterid.x;"});
    module.target = Target{90, TargetVariant::arch};
    CHECK(resolved(module) == "8.0 sm_90a");
    module.version = PtxVersion{8, 6};
    CHECK(resolved(module) == "8.6 sm_90a");
    module.target.reset();
    CHECK(resolved(module) == "8.6 sm_90");
    module.target = Target{80, TargetVariant::plain};
    CHECK(resolved(module) ==
          "'%clusterid.x' in kernel 'k' (instruction 1) needs PTX 7.8 with sm_90, but the module is for "
          "PTX 8.6 with sm_80");
    module.target = Target{90, TargetVariant::plain};
    module.version = PtxVersion{7, 0};
    CHECK(contains(resolved(module), "target sm_90 needs PTX 7.8, but the module is for PTX 7.0"));
    module.target.reset();
    CHECK(contains(resolved(module), "'%clusterid.x' in kernel 'k' (instruction 1) needs PTX 7.8 with sm_90, but"));
    module.target = Target{77, TargetVariant::plain};
    CHECK(contains(resolved(module), "unknown target sm_77"));
}

TEST_CASE("what exists on no common target is named") {
    auto module = module_of({"newop.x {0};"});
    module.functions[0].body.push_back(module.functions[0].body[0]);
    module.functions[0].body[1].raw_mnemonic = "otherop";
    module.functions[0].body[1].raw_minimum = {{8, 0}, {90, TargetVariant::arch}};
    CHECK(resolved(module) ==
          "'otherop' in kernel 'k' (instruction 1) needs PTX 8.0 with sm_90a, but what stands before it "
          "leaves sm_100a with PTX 8.6 as the lowest");
}
