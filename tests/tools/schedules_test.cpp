// `ptxgen run --schedules`: a kernel under many schedules.
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using test::not_one_clear_error;

namespace {

/// The first of two CTAs writes data, then a flag; the second waits for nothing: it uses the data if the flag is there,
/// but looks at the data first. Wrong in few schedules. `order` is "wrong" or "right".
std::string kernel(bool right) {
    const std::string data = "    ld.volatile.global.u32 %r2, [%rd1+4];\n",
                      flag = "    ld.volatile.global.u32 %r1, [%rd1];\n";
    return R"(.version 7.0
.target sm_75
.address_size 64

.visible .entry pass(.param .u64 p)
{
    .reg .pred %p<3>;
    .reg .b32 %r<5>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r3, %ctaid.x;
    setp.ne.u32 %p1, %r3, 0;
    @%p1 bra READ;
    st.volatile.global.u32 [%rd1+4], 7;
    membar.gl;
    st.volatile.global.u32 [%rd1], 1;
    ret;
READ:
)" + (right ? flag : data) +
           "    membar.gl;\n" + (right ? data : flag) + R"(
    setp.ne.u32 %p1, %r1, 1;
    @%p1 ret;
    setp.ne.u32 %p2, %r2, 7;
    @%p2 trap;
    ret;
}
)";
}

test::Finished launch(const std::string& file, std::vector<std::string> more) {
    std::vector<std::string> words{"run", file,      "--kernel", "pass",  "--grid",
                                   "2",   "--block", "1",        "--arg", "u32[2]=zero>-"};
    words.insert(words.end(), more.begin(), more.end());
    return test::ptxgen_tool(words);
}

} // namespace

TEST_CASE("a kernel that is wrong in few schedules is caught, and the schedule can be had again") {
    const test::TinyFiles files;
    const std::string wrong = files.text("wrong.ptx", kernel(false)), right = files.text("right.ptx", kernel(true));
    const auto once = launch(wrong, {});
    CHECK_MESSAGE(once.code == 0, once.err);
    CHECK(once.out == "1 7\n");
    const auto caught = launch(wrong, {"--schedules", "300", "--seed", "10"});
    CHECK(not_one_clear_error(caught, {"trap", "of 300, again with --schedule ", "CTA (1,0,0)"}) == "");
    // the words that it gives
    const auto at = caught.err.find("--schedule ");
    REQUIRE(at != std::string::npos);
    const auto seed_at = caught.err.find(" --seed ", at);
    REQUIRE(seed_at != std::string::npos);
    const std::string schedule = caught.err.substr(at + 11, seed_at - at - 11),
                      seed = std::to_string(std::stoul(caught.err.substr(seed_at + 8)));
    CHECK(caught.err.find("seed " + seed + ")") != std::string::npos);
    const auto again = launch(wrong, {"--schedule", schedule, "--seed", seed});
    CHECK(again.code == 1);
    CHECK(caught.err.starts_with(again.err.substr(0, again.err.size() - 1)));

    const auto clean = launch(right, {"--schedules", "300", "--seed", "10"});
    CHECK_MESSAGE(clean.code == 0, clean.err);
    CHECK(clean.out == "1 7\n"); // of the last one alone
    // one after the other nothing can go wrong
    const auto single = launch(wrong, {"--schedules", "300", "--seed", "10", "--resident", "1"});
    CHECK(single.code == 0);
}

TEST_CASE("bad values of the options for schedules") {
    const test::TinyFiles files;
    const std::string file = files.text("pass.ptx", kernel(true));
    for (const auto& [option, value] :
         {std::pair{"--schedules", "0"}, std::pair{"--schedules", "-1"}, std::pair{"--schedules", "many"},
          std::pair{"--resident", "0"}, std::pair{"--resident", "2.5"}, std::pair{"--schedule", "best"},
          std::pair{"--seed", "x"}}) {
        const auto finished = launch(file, {option, value});
        CHECK(finished.code == 2);
        CHECK_MESSAGE(finished.err.find(option) != std::string::npos, finished.err);
        CHECK_MESSAGE(finished.err.find(value) != std::string::npos, finished.err);
    }
    CHECK(not_one_clear_error(launch(file, {"--device", "cuda", "--schedules", "2"}),
                              {"--device cuda", "--schedules", "emulator"}) == "");
    CHECK(not_one_clear_error(launch(file, {"--resident", "1", "--cooperative"}),
                              {"cooperative grid of 2 CTAs", "1 are resident"}) == "");
}
