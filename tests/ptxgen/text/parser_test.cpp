#include "round_trip.hpp"

using namespace ptxgen;
using namespace ptxgen::test;

namespace {

const Function& only_function(const ParseResult& result) {
    REQUIRE(result.module.functions.size() == 1);
    return result.module.functions.front();
}

ParseResult parse_clean(std::string_view body) {
    auto result = parse(kernel_text(body));
    INFO(all_messages(result.diagnostics));
    CHECK(result.ok());
    return result;
}

} // namespace

TEST_CASE("constants are read in every notation") {
    const auto result = parse_clean(".reg .b32 %r<2>; .reg .f32 %f<2>; .reg .b64 %rd<2>;\n"
                                    "mov.u32 %r1, 0x1F; mov.u32 %r1, 0b101; mov.u32 %r1, 017; mov.u32 %r1, 42U;\n"
                                    "mov.u32 %r1, -(3 + 4*2) | 1<<5; mov.u32 %r1, ~0; mov.u32 %r1, WARP_SZ;\n"
                                    "mov.f32 %f1, 0f3F800000; mov.f32 %f1, 1.5; mov.f32 %f1, -2e0;\n"
                                    "mov.u64 %rd1, 0xFFFFFFFFFFFFFFFF; mov.u32 %r1, 7 % 4;");
    const auto& body = only_function(result).body;
    const std::int64_t expected[] = {0x1f, 5, 15, 42, -11 | 32, -1, 32, 0x3f800000, 0x3fc00000, 0xc0000000, -1, 3};
    REQUIRE(body.size() == std::size(expected) + 1);
    for (std::size_t i = 0; i < std::size(expected); i++) CHECK(body[i].operands[1].value == expected[i]);
    CHECK(body[9].operands[1].kind == Operand::Kind::f32_bits);
}

TEST_CASE("addresses are read in every form, and negative offsets print as ptxas reads them") {
    const auto result =
        parse_clean(".shared .align 4 .b8 s[16]; .reg .b64 %rd<2>; .reg .b32 %r<2>;\n"
                    "ld.global.u32 %r1, [%rd1]; ld.global.u32 %r1, [%rd1+8]; ld.global.u32 %r1, [%rd1-8];\n"
                    "ld.global.u32 %r1, [%rd1+-8]; ld.shared.u32 %r1, [s+4*2]; ld.local.u32 %r1, [16];");
    const auto& function = only_function(result);
    const char* expected[] = {"[%rd1]", "[%rd1+8]", "[%rd1+-8]", "[%rd1+-8]", "[s+8]", "[16]"};
    for (std::size_t i = 0; i < std::size(expected); i++)
        CHECK(print(function, function.body[i], result.module).find(expected[i]) != std::string::npos);
}

TEST_CASE("modifiers may come in any order") {
    const auto result = parse_clean(".reg .b32 %r<2>; .reg .b64 %rd<2>;\nld.u32.relaxed.global.gpu %r1, [%rd1];");
    const auto& function = only_function(result);
    CHECK(print(function, function.body[0], result.module) == "ld.relaxed.gpu.global.u32 %r1, [%rd1];");
}

TEST_CASE("nested scopes are flattened") {
    const auto result = parse_clean(".reg .b32 r, p_1;\n"
                                    "{ .reg .pred p; L: setp.eq.u32 p, r, 1; @p bra L; }\n"
                                    "{ .reg .pred p; bra L; L: setp.ne.u32 p, r, 2; @p bra OUT; }\n"
                                    "OUT:");
    const auto& function = only_function(result);
    REQUIRE(function.body.size() == 6);
    CHECK(print(function, function.body[0], result.module) == "setp.eq.u32 p, r, 1;");
    CHECK(print(function, function.body[1], result.module) == "@p bra L;");
    CHECK(print(function, function.body[2], result.module) == "bra L_1;");
    CHECK(print(function, function.body[3], result.module) == "setp.ne.u32 p_2, r, 2;");
    CHECK(print(function, function.body[4], result.module) == "@p_2 bra OUT;");
    CHECK(function.labels[function.body[4].operands[0].id].position == 5);
}

TEST_CASE("all errors of a text are reported, where they are") {
    const auto result = parse(".version 8.0\n.target sm_90\n.address_size 64\n"
                              ".visible .entry k(.param .u64 out)\n{\n"
                              "    .reg .b32 %r<4>;\n"
                              "    .reg .b64 %rd<4>;\n"
                              "    ad.u32 %r1, %r2, %r3;\n"                      // 8
                              "    add.u33 %r1, %r2, %r3;\n"                     // 9
                              "    add.u32 %r1, %r2;\n"                          // 10
                              "    add.u32 %r1, %r2, %r9;\n"                     // 11
                              "    add.u32 %r1, %r2, [%rd1];\n"                  // 12
                              "    add.u32 %r1, %r2, 3\n"                        // 13
                              "    ld.global.u32 %r1 [%rd1];\n"                  // 14
                              "    mov.u32 %r1, {%r2, ?};\n"                     // 15
                              "    add.s32 %r1, %r2, %r3;\n"                     // 16, right
                              "    ld.global.v4.u32 {%r1, %r2}, [%rd1];\n"       // 17
                              "    setp.u32 %r1, %r2, 3;\n"                      // 18
                              "    .reg .b32 %q<2>; .reg .b32 x; .reg .b32 x;\n" // 19
                              "    foo.bar baz;\n"                               // 20
                              "    ret;\n}\n"
                              ".global .b33 y;\n"); // 23
    struct Expected {
        std::uint32_t line, column;
        const char* text;
    };
    const Expected expected[] = {
        {8, 5, "unknown instruction 'ad'; did you mean 'add'"},
        {9, 8, "'.u33' is not a modifier of 'add'; did you mean 'u32'"},
        {10, 5, "'add.u32' takes 3 operands, found 2"},
        {11, 23, "'%r9' is not declared"},
        {12, 23, "operand 3 of 'add.u32' is an address, expected a register or constant of type u32"},
        {13, 24, "expected ';' after the operands of 'add', found 'ld'"},
        {14, 23, "expected ';' after the operands of 'ld', found '['"},
        {15, 24, "expected an operand, found '?'"},
        {17, 22, "operand 1 of 'ld.global.v4.u32' is a vector of 2, expected a vector of 4 u32"},
        {18, 5, "'setp' lacks a modifier"},
        {19, 45, "'x' is already declared in this scope"},
        {20, 5, "unknown instruction 'foo'"},
        {23, 9, "expected a type such as .b32, found '.b33'"},
    };
    INFO(all_messages(result.diagnostics));
    REQUIRE(result.diagnostics.size() == std::size(expected));
    for (std::size_t i = 0; i < std::size(expected); i++) {
        CHECK(result.diagnostics[i].location.line == expected[i].line);
        CHECK(result.diagnostics[i].location.column == expected[i].column);
        CHECK(result.diagnostics[i].message.find(expected[i].text) != std::string::npos);
    }
    CHECK(result.module.functions.front().body.size() == 3); // 13, 16 and ret
}

TEST_CASE("render underlines the offending token") {
    const std::string text = ".version 8.0\n.target sm_90\n.visible .entry k()\n{\n\tadd.u33 %r1, 2, 3;\n\tret;\n}\n";
    const auto result = parse(text);
    CHECK(render(result.diagnostics, text, "a.ptx") == "a.ptx:5:10: error: '%r1' is not declared [unknown-name]\n"
                                                       "    5 | \tadd.u33 %r1, 2, 3;\n"
                                                       "      | \t        ^~~\n");
}

TEST_CASE("one line is read in the context of a function") {
    Module module;
    module.variables.push_back({"table", Space::global, Type::b32, 4, 0, Linkage::internal, {}, {}, {}});
    Function function;
    function.registers = {{Type::b32, ""}, {Type::b64, ""}, {Type::pred, ""}};
    function.labels.push_back({"$done", 0, true});
    const Operand given[] = {Operand::reg({0}), Operand::reg({1}), Operand::reg({2})};
    const auto read = [&](std::string_view line, std::optional<Minimum> minimum = {}) -> std::string {
        const auto instruction = parse_instruction(line, module, function, given, minimum);
        return instruction ? print(function, *instruction, module) : instruction.error().message;
    };
    CHECK(read("add.u32 {0}, {0}, 1;") == "add.u32 %r1, %r1, 1;");
    CHECK(read("@!{2} ld.global.u32 {0}, [{1}+8]") == "@!%p1 ld.global.u32 %r1, [%rd1+8];");
    CHECK(read("bra $done;") == "bra $done;");
    CHECK(read("st.global.v2.u32 [table+8], {{0}, {0}};") == "st.global.v2.u32 [table+8], {%r1, %r1};");
    CHECK(read("add.u32 {0}, {0}, {3};").find("{3} names no operand: 3 were given") != std::string::npos);
    CHECK(read("add.u32 {0}, {0}, 1; ret;").find("one instruction") != std::string::npos);
    CHECK(read("newop.x {0}|{2}, [{1}];").find("unknown instruction 'newop'") != std::string::npos);
    CHECK(read("newop.x {0}|{2}, [{1}];", Minimum{{9, 0}, {100, TargetVariant::arch}}) == "newop.x %r1|%p1, [%rd1];");
}

TEST_CASE("garbage is refused, not followed") {
    for (const char* text :
         {"", "{", "}", "@", ".entry", ".visible .entry k(", ".visible .entry k() {", "\"", "/*", "0x", ".",
          ".version 8.0 .target sm_90 .visible .entry k() { @p }", ".reg .b32 %r<;", ".global .b8 x[-1];",
          ".global .b8 x[99999999999][99999999999];", ".global .b32 x[2] = {1,2,3};", ".global .b32 x = ((((((((1;",
          ".section x {", "\xff\xfe\0\x01"})
        CHECK(!parse(text).ok());
    std::string deep = ".version 8.0\n.target sm_90\n.visible .entry k() {";
    CHECK(!parse(deep + std::string(100000, '{')).ok());
    CHECK(!parse(deep + "mov.u32 x, " + std::string(100000, '(')).ok());
    CHECK(!parse(deep + "mov.u32 x, " + std::string(100000, '-')).ok());
    CHECK(!parse(deep + "mov.u32 x, " + std::string(100000, '!')).ok());
    CHECK(!parse(deep + "mov.u32 x, " + std::string(100000, '[')).ok());
    std::string modifiers = "add";
    for (int i = 0; i < 100000; i++) modifiers += ".u32";
    CHECK(!parse(deep + modifiers + " x, y;").ok());
}
