#include "runtime/cuda/jit_log.hpp"

#include <algorithm>
#include <doctest/doctest.h>

using namespace ptxgen::cuda;

TEST_CASE("a log quotes the lines that it names") {
    const std::string ptx = ".version 8.0\n.target sm_90\n  add.f32 %r1, %r2, %r3;\nret;";
    const std::string log = "ptxas application ptx input, line 3; error   : Arguments mismatch for instruction 'add'\n"
                            "\n"
                            "ptxas fatal   : Ptx assembly aborted due to errors\n";
    CHECK(annotate_log(log, ptx) ==
          "ptxas application ptx input, line 3; error   : Arguments mismatch for instruction 'add'\n"
          "     3 | add.f32 %r1, %r2, %r3;\n"
          "ptxas fatal   : Ptx assembly aborted due to errors");
}

TEST_CASE("a log survives anything") {
    CHECK(annotate_log("", "x") == "");
    CHECK(annotate_log("line 0; line 99; line x; line 99999999999999999999999", "one\ntwo") ==
          "line 0; line 99; line x; line 99999999999999999999999");
    CHECK(annotate_log("outline x, line 2", "one\ntwo") == "outline x, line 2\n     2 | two");
    CHECK(annotate_log("error at line 1", "") == "error at line 1");
    std::string many;
    for (int i = 0; i < 100; ++i) many += "message\n";
    const auto shown = annotate_log(many, "");
    CHECK(std::count(shown.begin(), shown.end(), '\n') == 40);
    CHECK(shown.ends_with("\n..."));
}

TEST_CASE("version and target of a module") {
    const auto header =
        read_ptx_header("// .version 1.0\n\t.version  8.6 // note\n.target sm_90a, debug\n.version 7.0");
    CHECK(header.version == "8.6");
    CHECK(header.target == "sm_90a");
    CHECK(read_ptx_header("").version == "");
    CHECK(read_ptx_header(".version").version == "");
    CHECK(read_ptx_header(".versions 8.0").version == "");
}
