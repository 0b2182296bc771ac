// What both tools say about themselves, and what they do with words that they do not know.
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using test::ptxgen_run;
using test::ptxgen_tool;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("--help of both tools is complete and has examples") {
    const auto tool = ptxgen_tool({"--help"});
    CHECK(tool.code == 0);
    CHECK(tool.err.empty());
    for (const char* part : {"list", "emit", "verify", "fmt", "run", "info", "tokenize", "Example", "Exit codes"})
        CHECK_MESSAGE(has(tool.out, part), part);
    const auto runner = ptxgen_run({"--help"});
    CHECK(runner.code == 0);
    CHECK(runner.err.empty());
    for (const char* part : {"-q,",      "-t,",           "-p,",       "-s,",         "-m,",       "-k,",
                             "-r,",      "-n,",           "-c,",       "--top-k",     "--min-p",   "--repeat-penalty",
                             "--stop",   "--system",      "--device",  "--gpu",       "--threads", "--check",
                             "--engine", "--activations", "--policy",  "--scheduler", "--kv",      "--raw",
                             "--logits", "--json",        "--version", "Example",     "Exit codes"})
        CHECK_MESSAGE(has(runner.out, part), part);
}

TEST_CASE("--help of every command has an example") {
    for (const char* command : {"list", "emit", "verify", "fmt", "run", "info", "tokenize"}) {
        CAPTURE(command);
        const auto help = ptxgen_tool({command, "--help"});
        CHECK(help.code == 0);
        CHECK(has(help.out, "Example"));
        CHECK(has(help.out, fmt::format("ptxgen {}", command)));
    }
}

TEST_CASE("--version") {
    CHECK(ptxgen_tool({"--version"}).out.rfind("ptxgen ", 0) == 0);
    CHECK(ptxgen_run({"--version"}).out.rfind("ptxgen-run ", 0) == 0);
}

TEST_CASE("wrong usage gives exit code 2 and says what is wrong") {
    const std::vector<std::vector<std::string>> of_ptxgen{{},         {"compile"}, {"list", "--xml"}, {"emit"},
                                                          {"verify"}, {"fmt"},     {"run", "a.ptx"},  {"tokenize"}};
    for (const auto& arguments : of_ptxgen) {
        const std::string command = arguments.empty() ? "" : arguments[0];
        CAPTURE(command);
        const auto finished = ptxgen_tool(arguments);
        CHECK(finished.code == 2);
        CHECK(finished.out.empty());
        CHECK_FALSE(finished.err.empty());
    }
    const std::vector<std::vector<std::string>> of_run{{},
                                                       {"m.gguf", "--engine", "fast"},
                                                       {"m.gguf", "--activations", "int4"},
                                                       {"m.gguf", "--engine", "persistent", "--activations", "f32"},
                                                       {"m.gguf", "--colour"},
                                                       {"m.gguf", "-t", "warm"},
                                                       {"m.gguf", "-t", "-1"},
                                                       {"m.gguf", "-p", "1.5"},
                                                       {"m.gguf", "-n", "0"},
                                                       {"m.gguf", "-n", "-1"},
                                                       {"m.gguf", "-c", "0"},
                                                       {"m.gguf", "--device", "tpu"},
                                                       {"m.gguf", "--kv", "f8"},
                                                       {"m.gguf", "--check", "maybe"},
                                                       {"m.gguf", "-m", "2"}};
    for (const auto& arguments : of_run) {
        const std::string last = arguments.empty() ? "" : arguments.back();
        CAPTURE(last);
        const auto finished = ptxgen_run(arguments);
        CHECK(finished.code == 2);
        CHECK(finished.out.empty());
        CHECK_FALSE(finished.err.empty());
    }
}

TEST_CASE("info describes devices and models") {
    const auto devices = ptxgen_tool({"info"});
    CHECK(devices.code == 0);
    for (const char* part : {"CUDA", "emulator", "PTX version", "module cache"})
        CHECK_MESSAGE(has(devices.out, part), part);

    const test::TinyFiles files;
    const auto model = ptxgen_tool({"info", files.model("gemma3")});
    CHECK(model.code == 0);
    for (const char* part : {"gemma3", "96", "272", "512", "Q5_0"}) CHECK_MESSAGE(has(model.out, part), part);
    CHECK(test::not_one_clear_error(ptxgen_tool({"info", files.path("none.gguf")}), {"none.gguf", "No such file"}) ==
          "");
}

TEST_CASE("tokenize prints ids as they are for this vocabulary") {
    // Ids 0 to 255 are bytes, 256 is "th", 257 "the", 258 to 260 are <|endoftext|>, <|im_start|> and <|im_end|>.
    const test::TinyFiles files;
    const std::string model = files.model("llama-rope");
    const auto ids = [&](std::vector<std::string> options, const std::string& input) {
        options.insert(options.begin(), {"tokenize", model});
        test::RunOptions run;
        run.input = input;
        const auto finished = ptxgen_tool(options, run);
        CHECK(finished.code == 0);
        CHECK(finished.err.empty());
        return finished.out;
    };
    CHECK(ids({}, "the cat") == "257 32 99 97 116\n");
    CHECK(ids({}, "") == "\n");
    CHECK(ids({}, "é") == "195 169\n");
    CHECK(ids({"--special"}, "a<|im_end|>b") == "97 260 98\n");
    CHECK(ids({}, "<|im_end|>") == "60 124 105 109 95 101 110 100 124 62\n");
    using namespace std::string_literals;
    CHECK(ids({"-0"}, "a\0the\0\0b"s) == "97\n257\n\n98\n");
    CHECK(ids({}, "a\0b"s) == "97 0 98\n");
    CHECK(test::not_one_clear_error(ptxgen_tool({"tokenize", files.path("none.gguf")}), {"none.gguf"}) == "");
}
