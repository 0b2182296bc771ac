#include "round_trip.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace ptxgen;
using namespace ptxgen::test;

TEST_CASE("printed files parse to the same module") {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(PTXGEN_SOURCE_DIR "/tests/cases/text"))
        if (entry.path().extension() == ".ptx") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    REQUIRE(!files.empty());
    for (const auto& file : files) {
        std::stringstream text;
        text << std::ifstream(file).rdbuf();
        INFO(file.string());
        check_round_trip(text.str());
    }
}

TEST_CASE("comments, directives and declarations survive") {
    const std::string text =
        "// A header\n// of two lines\n.version 8.0\n.target sm_90\n.address_size 64\n\n"
        "// what it holds\n.visible .global .align 8 .b32 table[4] = {1, 2, 0x12345678};\n"
        ".const .f32 half = 0f3F000000;\n.extern .shared .align 16 .b8 dynamic[];\n"
        "\n// does nothing\n.visible .entry k(\n    .param .u64 .ptr .global .align 16 out,  // result\n"
        "    .param .align 4 .b8 options[12]\n)\n.maxntid 256, 1, 1\n.reqnctapercluster 2, 1, 1\n{\n"
        "    .reg .pred %p<2>;\n    .reg .b32 %r<3>;\n    .reg .f32 %f<2>;\n    .reg .f32 scale;\n"
        "    .shared .align 4 .b8 tile[64];\n\n"
        "$L0:\n    // first\n    // second\n    mov.u32 %r1, %tid.x;\n    setp.eq.u32 %p1, %r1, -5;\n"
        "    @!%p1 bra $L0;\n    mov.f32 %f1, 0f3F800000;\n    mov.f32 scale, %f1;\n"
        "    ld.shared.u32 %r2, [tile+60];\n    ret;\n}\n";
    CHECK(check_round_trip(text) == text);
}

TEST_CASE("registers without a name are numbered by type and avoid taken names") {
    Module module;
    Function function;
    function.name = "k";
    function.registers = {{Type::b32, ""}, {Type::b32, "%r1"}, {Type::b32, ""}, {Type::pred, ""}, {Type::b64, ""}};
    const auto add = [&](std::string_view line) {
        const Operand all[] = {Operand::reg({0}), Operand::reg({1}), Operand::reg({2}), Operand::reg({3}),
                               Operand::reg({4})};
        auto instruction = parse_instruction(line, module, function, all);
        REQUIRE(instruction.ok());
        function.body.push_back(*instruction);
    };
    add("add.u32 {0}, {1}, {2};");
    add("setp.eq.u64 {3}, {4}, 0;");
    add("ret;");
    module.functions.push_back(function);
    const auto text = print(module);
    REQUIRE(text.ok());
    CHECK(text->find("add.u32 %r2, %r1, %r3;") != std::string::npos);
    CHECK(text->find(".reg .b32 %r<4>;") != std::string::npos);
    CHECK(text->find("setp.eq.u64 %p1, %rd1, 0;") != std::string::npos);
    CHECK(text->find(".version 4.0\n.target sm_50\n") != std::string::npos);
}
