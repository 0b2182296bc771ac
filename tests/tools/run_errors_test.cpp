// What ptxgen-run cannot do is said in one line with exit code 1, in little memory too.
#include "runtime/inference/gguf.hpp"
#include "tests/tools/process.hpp"
#include "tests/tools/tiny_files.hpp"

#include <doctest/doctest.h>
#include <utility>

using namespace ptxgen;
using test::not_one_clear_error;
using test::ptxgen_run;
using namespace std::string_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t eight_gigabytes = 0; // the sanitizer itself reserves terabytes
#else
constexpr std::uint64_t eight_gigabytes = std::uint64_t{8} << 30;
#endif

test::Finished ask(const std::string& model, std::vector<std::string> more = {"-q", "a"}) {
    std::vector<std::string> words{model, "--raw", "--device", "emulator", "-n", "2"};
    words.insert(words.end(), more.begin(), more.end());
    test::RunOptions options;
    options.address_space_bytes = eight_gigabytes;
    return ptxgen_run(words, options);
}

} // namespace

TEST_CASE("files that are no model") {
    const test::TinyFiles files;
    CHECK(not_one_clear_error(ask(files.path("none.gguf")), {"none.gguf", "No such file"}) == "");
    CHECK(not_one_clear_error(ask(files.folder()), {files.folder()}) == "");
    CHECK(not_one_clear_error(ask(files.text("empty.gguf", "")), {"empty.gguf"}) == "");
    CHECK(not_one_clear_error(ask(files.text("text.gguf", "This is a text of some length, and no model.")),
                              {"text.gguf", "GGUF"}) == "");
    const std::string cut =
        files.changed_model("llama-rope", "cut.gguf", [](auto& bytes) { bytes.resize(bytes.size() / 2); });
    CHECK(not_one_clear_error(ask(cut), {"cut.gguf"}) == "");
    const std::string stub = files.changed_model("llama-rope", "stub.gguf", [](auto& bytes) { bytes.resize(100); });
    CHECK(not_one_clear_error(ask(stub), {"stub.gguf"}) == "");
}

TEST_CASE("models with something missing or unknown") {
    const test::TinyFiles files;
    const auto changed = [&](std::string_view from, std::string_view to) {
        return files.changed_model("llama-rope", "changed.gguf", [&](auto& bytes) {
            REQUIRE(test::find_bytes(bytes, from) < bytes.size());
            test::overwrite(bytes, from, to);
        });
    };
    const std::string unknown = changed("\x05\0\0\0\0\0\0\0llama"s, "\x05\0\0\0\0\0\0\0mamba"s);
    CHECK(not_one_clear_error(ask(unknown), {"mamba", "llama"}) == "");
    CHECK(not_one_clear_error(ask(changed("llama.block_count", "llama.block_caunt")), {"llama.block_count"}) == "");
    CHECK(not_one_clear_error(ask(changed("blk.1.ffn_up.weight", "blk.1.ffn_ap.weight")), {"blk.1.ffn_"}) == "");
    CHECK(not_one_clear_error(ask(changed("tokenizer.ggml.model", "tokenizer.ggml.modal")), {"tokenizer.ggml.model"}) ==
          "");
    const std::string reshaped = files.changed_model("llama-rope", "reshaped.gguf", [](auto& bytes) {
        const std::string_view name = "blk.0.ffn_up.weight";
        std::byte* dimensions = &bytes[test::find_bytes(bytes, name) + name.size() + 4];
        std::swap_ranges(dimensions, dimensions + 8, dimensions + 8); // [96, 160] becomes [160, 96]
    });
    CHECK(not_one_clear_error(ask(reshaped), {"blk.0.ffn_up.weight", "96", "160"}) == "");
}

TEST_CASE("prompts that cannot be") {
    const test::TinyFiles files;
    const std::string model = files.model("llama-rope");
    CHECK(not_one_clear_error(ask(model, {"-q", "gr\xfc\xdf"}), {"UTF-8"}) == "");
    CHECK(not_one_clear_error(ask(model, {"-q", ""}), {"empty"}) == "");
    CHECK(not_one_clear_error(ask(model, {"-q", std::string(20, 'a'), "-c", "8"}), {"context", "20", "8"}) == "");
    CHECK(not_one_clear_error(ask(model, {"-q", "a", "-c", "513"}), {"513", "512"}) == "");
}

TEST_CASE("an answer that fills the context ends with that as the error") {
    const test::TinyFiles files;
    const auto finished = ptxgen_run(
        {files.model("qwen2"), "--raw", "-q", "the cat", "-t", "0", "-c", "8", "--device", "emulator", "-r", "0"});
    CHECK(finished.code == 1);
    CHECK_FALSE(finished.out.empty());
    CHECK(finished.err.find("context full") != std::string::npos);
    CHECK(std::count(finished.err.begin(), finished.err.end(), '\n') == 1);
}

TEST_CASE("logits that cannot be written are said before the work, or when the disk is full") {
    const test::TinyFiles files;
    const std::string model = files.model("llama-rope");
    const std::string nowhere = files.path("missing/logits.f32");
    CHECK(not_one_clear_error(ask(model, {"-q", "a", "--logits", nowhere}), {nowhere, "No such file"}) == "");
    CHECK(not_one_clear_error(ask(model, {"-q", std::string(30, 'a'), "--json", "--logits", "/dev/full"}),
                              {"/dev/full", "No space"}) == "");
}

TEST_CASE("a GPU that is not there") {
    const test::TinyFiles files;
    const std::string model = files.model("llama-rope");
    test::RunOptions hidden;
    hidden.environment = {"CUDA_VISIBLE_DEVICES="};
    CHECK(not_one_clear_error(ptxgen_run({model, "--raw", "-q", "a", "-n", "1", "--device", "cuda"}, hidden), {}) ==
          "");
    // Asked for whatever there is, the emulator answers, with a note.
    const auto any = ptxgen_run({model, "--raw", "-q", "a", "-n", "1", "-r", "0"}, hidden);
    CHECK(any.code == 0);
    CHECK(any.err.rfind("note: ", 0) == 0);
}

TEST_CASE("8 GB of address space are enough for tiny models") {
    const test::TinyFiles files;
    for (const char* name : {"qwen2", "gemma3", "qwen3-k"}) {
        CAPTURE(name);
        const auto finished = ask(files.model(name));
        CHECK_MESSAGE(finished.code == 0, finished.err);
    }
    test::RunOptions options;
    options.address_space_bytes = eight_gigabytes;
    const std::string ptx = files.path("add.ptx");
    const std::vector<std::vector<std::string>> commands{{"info"},
                                                         {"info", files.path("qwen2.gguf")},
                                                         {"tokenize", files.path("qwen2.gguf")},
                                                         {"emit", "add", "-o", ptx},
                                                         {"verify", ptx},
                                                         {"run", ptx, "--kernel", "add", "--grid", "1", "--block",
                                                          "256", "--arg", "f32[576]=iota", "--arg", "f32[576]=iota",
                                                          "--arg", "u32=1"}};
    for (const auto& command : commands) {
        CAPTURE(command[0]);
        const auto finished = test::ptxgen_tool(command, options);
        CHECK_MESSAGE(finished.code == 0, finished.err);
    }
}
