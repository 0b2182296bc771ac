#include "runtime/inference/utf8_stream.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace ptxgen;

namespace {

std::string by_pieces(std::string_view bytes, std::size_t size) {
    Utf8Stream stream;
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
        const std::string part = stream.push(bytes.substr(at, size));
        CHECK(is_valid_utf8(part));
        out += part;
    }
    return out + stream.finish();
}

} // namespace

TEST_CASE("characters come out whole, wherever the pieces end") {
    const std::string text = "aé中👨‍👩‍👧 end";
    for (std::size_t size = 1; size <= text.size(); ++size) CHECK(by_pieces(text, size) == text);
    Utf8Stream stream;
    CHECK(stream.push("\xF0\x9F") == "");
    CHECK(stream.push("\x91") == "");
    CHECK(stream.push("\x8D!") == "👍!");
    CHECK(stream.finish() == "");
}

TEST_CASE("bytes that are no UTF-8 become U+FFFD, one for each maximal subpart") {
    // The examples of the Unicode standard, tables 3-8 to 3-11.
    const auto count = [](std::string_view bytes) {
        const std::string out = by_pieces(bytes, 1);
        std::size_t n = 0;
        for (std::size_t at = 0; (at = out.find("\xEF\xBF\xBD", at)) != std::string::npos; at += 3) ++n;
        return n;
    };
    CHECK(count("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == 8);
    CHECK(count("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == 8);
    CHECK(count("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == 7);
    CHECK(count("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == 4);
    CHECK(by_pieces("x\xE4\xBD", 1) == "x\xEF\xBF\xBD");
}

TEST_CASE("valid UTF-8 is told from invalid") {
    CHECK(is_valid_utf8(""));
    CHECK(is_valid_utf8("\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xED\x9F\xBF\xDF\xBF"));
    for (const char* bad : {"\x80", "\xC1\x81", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                            "\xF5\x80\x80\x80", "\xE4\xBD", "a\xFF"})
        CHECK_FALSE(is_valid_utf8(bad));
}
