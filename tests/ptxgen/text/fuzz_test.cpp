#include "round_trip.hpp"

#include "ptxgen/verify/verify.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

using namespace ptxgen;
using namespace ptxgen::test;

namespace {

std::vector<std::string> corpus() {
    std::vector<std::string> texts;
    for (const char* folder : {"text", "verify"})
        for (const auto& entry :
             std::filesystem::directory_iterator(std::string(PTXGEN_SOURCE_DIR "/tests/cases/") + folder)) {
            std::stringstream text;
            text << std::ifstream(entry.path()).rdbuf();
            texts.push_back(text.str());
        }
    std::sort(texts.begin(), texts.end());
    return texts;
}

std::string mutate(std::string text, const std::string& other, std::mt19937& random) {
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n == 0 ? 0 : n - 1)(random);
    };
    constexpr std::string_view tokens[] = {"{", "}",   "[",  "]",  "(",  ")",  ";",  ",",    "@",
                                           "!", "|",   "<",  ">",  ":",  "+",  "-",  ".v4",  ".reg",
                                           "_", "%r1", "0x", "\"", "/*", "*/", "//", ".b32", "<4294967295>",
                                           "%", ".",   "::"};
    for (std::size_t edits = 1 + below(3); edits > 0 && !text.empty(); edits--) {
        const auto at = below(text.size());
        switch (below(5)) {
        case 0: text[at] = static_cast<char>(below(256)); break;
        case 1: text.erase(at, below(40)); break;
        case 2: text.insert(at, tokens[below(std::size(tokens))]); break;
        case 3: text.insert(at, text.substr(below(text.size()), below(60))); break;
        default: text.insert(at, other.substr(below(other.size()), below(200)));
        }
    }
    return text;
}

} // namespace

TEST_CASE("mutated text never crashes, and what is accepted prints and parses again") {
    std::mt19937 random(1);
    const auto texts = corpus();
    int accepted = 0;
    const char* asked = std::getenv("PTXGEN_FUZZ_RUNS");
    const int runs = asked ? std::atoi(asked) : 3000;
    for (int i = 0; i < runs; i++) {
        const auto& base = texts[static_cast<std::size_t>(i) % texts.size()];
        const auto text = mutate(base, texts[random() % texts.size()], random);
        const auto result = parse(text);
        for (const auto& diagnostic : result.diagnostics)
            CHECK_MESSAGE(diagnostic.location.line > 0, to_string(diagnostic));
        (void)render(check_text(text).diagnostics, text, "fuzz");
        const auto printed = print(result.module);
        if (!result.ok() || !printed) continue;
        accepted++;
        const auto again = parse(*printed);
        INFO(text);
        INFO(*printed);
        INFO(all_messages(again.diagnostics));
        REQUIRE(again.ok());
        CHECK(*print(again.module) == *printed);
    }
    MESSAGE("accepted " << accepted << " of " << runs << " mutants");
}
