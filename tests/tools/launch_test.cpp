// `ptxgen run`: any kernel of a PTX file, with all kinds of arguments.
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>
#include <sstream>

using namespace ptxgen;
using test::not_one_clear_error;

namespace {

/// y[i] = a x[i] + y[i] for i < n.
constexpr std::string_view axpy = R"(.version 7.0
.target sm_75
.address_size 64

.visible .entry axpy(.param .u32 n, .param .f32 a, .param .u64 x, .param .u64 y)
{
    .reg .pred %p<2>;
    .reg .b32 %r<6>;
    .reg .f32 %f<5>;
    .reg .b64 %rd<8>;
    ld.param.u32 %r1, [n];
    ld.param.f32 %f1, [a];
    ld.param.u64 %rd1, [x];
    ld.param.u64 %rd2, [y];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra done;
    cvta.to.global.u64 %rd3, %rd1;
    cvta.to.global.u64 %rd4, %rd2;
    mul.wide.u32 %rd5, %r5, 4;
    add.u64 %rd6, %rd3, %rd5;
    add.u64 %rd7, %rd4, %rd5;
    ld.global.f32 %f2, [%rd6];
    ld.global.f32 %f3, [%rd7];
    fma.rn.f32 %f4, %f1, %f2, %f3;
    st.global.f32 [%rd7], %f4;
done:
    ret;
}
)";

/// A kernel without work, to look at the buffers that it is given.
constexpr std::string_view idle = R"(.version 7.0
.target sm_75
.address_size 64

.visible .entry idle(.param .u64 p)
{
    ret;
}
)";

test::Finished launch(const std::string& file, const std::string& kernel, std::vector<std::string> words) {
    words.insert(words.begin(), {"run", file, "--kernel", kernel, "--grid", "2", "--block", "32"});
    return test::ptxgen_tool(words);
}

std::vector<std::string> args(std::initializer_list<const char*> texts) {
    std::vector<std::string> words;
    for (const char* text : texts) words.insert(words.end(), {"--arg", text});
    return words;
}

/// What `idle` leaves of one buffer.
std::string shown(const std::string& file, const std::string& buffer) {
    const auto finished = launch(file, "idle", {"--arg", buffer + ">-"});
    CHECK_MESSAGE(finished.code == 0, finished.err);
    return finished.out;
}

} // namespace

TEST_CASE("a kernel runs with scalars and buffers, and its result is printed or saved") {
    const test::TinyFiles files;
    const std::string file = files.text("axpy.ptx", axpy);
    const auto printed = launch(file, "axpy", args({"u32=5", "f32=2.5", "f32[5]=iota", "f32[5]=zero>-"}));
    CHECK_MESSAGE(printed.code == 0, printed.err);
    CHECK(printed.err.empty());
    CHECK(printed.out == "0 2.5 5 7.5 10\n");

    const std::string out = files.path("y.bin");
    const auto saved =
        launch(file, "axpy", args({"u32=40", "f32=-1", "f32[40]=iota", ("f32[40]=iota>" + out).c_str()}));
    CHECK_MESSAGE(saved.code == 0, saved.err);
    CHECK(saved.out.empty());
    CHECK(test::content_of(out) == std::string(160, '\0'));

    const float input[] = {3, 1, 4, 1, 5};
    const std::string bin = files.text("x.bin", {reinterpret_cast<const char*>(input), sizeof input});
    const auto read = launch(file, "axpy", args({"u32=0x5", "f32=1e0", ("f32[5]=@" + bin).c_str(), "f32[5]=iota>-"}));
    CHECK_MESSAGE(read.code == 0, read.err);
    CHECK(read.out == "3 2 6 4 9\n");
}

TEST_CASE("initial contents of every type") {
    const test::TinyFiles files;
    const std::string file = files.text("idle.ptx", idle);
    CHECK(shown(file, "u32[4]=iota") == "0 1 2 3\n");
    CHECK(shown(file, "f64[3]=iota") == "0 1 2\n");
    CHECK(shown(file, "f16[3]=iota") == "0 1 2\n");
    CHECK(shown(file, "bf16[3]=iota") == "0 1 2\n");
    CHECK(shown(file, "u8[300]=iota").find("254 255 0 1") != std::string::npos);
    CHECK(shown(file, "s8[130]=iota").find("126 127 -128 -127") != std::string::npos);
    CHECK(shown(file, "s64[2]=zero") == "0 0\n");
    CHECK(shown(file, "b32[2]=zero") == "0 0\n");
    const std::string random = shown(file, "f32[100]=random:7");
    CHECK(shown(file, "f32[100]=random:7") == random);
    CHECK(shown(file, "f32[100]=random:8") != random);
    std::istringstream values(random);
    int count = 0;
    bool negative = false;
    for (float value = 0; values >> value; count++) {
        CHECK((value >= -1 && value < 1));
        negative |= value < 0;
    }
    CHECK(count == 100);
    CHECK(negative);
}

TEST_CASE("the checks find what a kernel does wrong, with the line") {
    const test::TinyFiles files;
    const std::string file = files.text("axpy.ptx", axpy);
    const auto beyond = launch(file, "axpy", args({"u32=6", "f32=1", "f32[5]=iota", "f32[6]=zero>-"}));
    CHECK(not_one_clear_error(beyond, {"memcheck", "axpy", "line 26"}) == "");
}

TEST_CASE("three-dimensional shapes, shared memory, clusters and cooperative launches are taken") {
    const test::TinyFiles files;
    const std::string file = files.text("idle.ptx", idle);
    const auto finished =
        test::ptxgen_tool({"run", file, "--kernel", "idle", "--grid", "2,3,4", "--block", "4,2,2", "--shared", "1024",
                           "--cooperative", "--sms", "8", "--seed", "3", "--arg", "u64[1]=zero"});
    CHECK_MESSAGE(finished.code == 0, finished.err);
}

TEST_CASE("wrong launches are refused with one line") {
    const test::TinyFiles files;
    const std::string file = files.text("axpy.ptx", axpy);
    const auto good = args({"u32=5", "f32=1", "f32[5]=iota", "f32[5]=zero"});
    CHECK(not_one_clear_error(launch(files.path("none.ptx"), "axpy", good), {"none.ptx"}) == "");
    CHECK(not_one_clear_error(launch(file, "axpi", good), {"axpi", "axpy"}) == "");
    CHECK(not_one_clear_error(launch(file, "axpy", args({"u32=5"})), {"axpy", "4", "1"}) == "");
    CHECK(not_one_clear_error(launch(file, "axpy", args({"u32=5", "f64=1", "f32[5]=iota", "f32[5]=zero"})),
                              {"f64=1", "'a'"}) == "");
    CHECK(not_one_clear_error(launch(file, "axpy", args({"u32=5", "f32=1", "f32=1", "f32[5]=zero"})), {"'x'"}) == "");
    for (const char* bad :
         {"u32", "u32=", "u32=x", "u32=4294967296", "u32=-1", "f32=one", "u32[4]", "u32[0]=zero", "u32[-1]=zero",
          "u32[x]=zero", "u32[4=zero", "u32[4]=ones", "u32[4]=random:x", "u32[4]=@missing.bin", "u32[4]=zero>",
          "pred=1", "u99=1", "=5", "f64[99999999999999999]=zero"}) {
        CAPTURE(bad);
        CHECK(not_one_clear_error(launch(file, "axpy", args({bad, "f32=1", "f32[5]=iota", "f32[5]=zero"})),
                                  {"--arg"}) == "");
    }
    const std::string three = files.text("three.bin", "abc");
    CHECK(
        not_one_clear_error(launch(file, "axpy", args({"u32=5", "f32=1", ("f32[5]=@" + three).c_str(), "f32[5]=zero"})),
                            {"20 bytes", "found 3"}) == "");
    const auto with_shape = [&](const char* grid, const char* block) {
        std::vector<std::string> words{"run", file, "--kernel", "axpy", "--grid", grid, "--block", block};
        words.insert(words.end(), good.begin(), good.end());
        return test::ptxgen_tool(words);
    };
    CHECK(not_one_clear_error(with_shape("0", "32"), {"--grid", "0"}) == "");
    CHECK(not_one_clear_error(with_shape("1,2,3,4", "32"), {"--grid"}) == "");
    CHECK(not_one_clear_error(with_shape("1", "1,"), {"--block"}) == "");
    CHECK(not_one_clear_error(with_shape("1", "2048"), {"2048", "1024"}) == "");
    const std::string nowhere = files.path("missing/y.bin");
    CHECK(not_one_clear_error(
              launch(file, "axpy", args({"u32=5", "f32=1", "f32[5]=iota", ("f32[5]=zero>" + nowhere).c_str()})),
              {nowhere}) == "");
    const auto broken = launch(files.text("broken.ptx", "no PTX"), "axpy", good);
    CHECK(broken.code == 1);
    CHECK(broken.err.find("broken.ptx:1:1") != std::string::npos);
}

TEST_CASE("no GPU where one is asked for") {
    const test::TinyFiles files;
    const std::string file = files.text("idle.ptx", idle);
    test::RunOptions hidden;
    hidden.environment = {"CUDA_VISIBLE_DEVICES="};
    const auto finished = test::ptxgen_tool(
        {"run", file, "--kernel", "idle", "--grid", "1", "--block", "1", "--device", "cuda", "--arg", "u64[1]=zero"},
        hidden);
    CHECK(not_one_clear_error(finished, {}) == "");
}
