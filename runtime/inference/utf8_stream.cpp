#include "runtime/inference/utf8_stream.hpp"

#include <cstddef>

namespace ptxgen {

namespace {

enum class Found { whole, unfinished, invalid };

struct Step {
    Found found;
    std::size_t bytes; ///< of the character, or of the maximal subpart to replace or to hold back
};

/// Table 3-7 of the Unicode standard: the second byte's range depends on the first.
Step step(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {Found::whole, 1};
    if (lead < 0xC2 || lead > 0xF4) return {Found::invalid, 1};
    const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned char low = 0x80, high = 0xBF;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size()) return {Found::unfinished, i};
        if (byte(i) < low || byte(i) > high) return {Found::invalid, i};
        low = 0x80, high = 0xBF;
    }
    return {Found::whole, length};
}

constexpr std::string_view replacement = "\xEF\xBF\xBD";

} // namespace

std::string Utf8Stream::push(std::string_view piece) {
    held_ += piece;
    std::string out;
    std::string_view rest = held_;
    while (!rest.empty()) {
        const Step next = step(rest);
        if (next.found == Found::unfinished) break;
        out += next.found == Found::whole ? rest.substr(0, next.bytes) : replacement;
        rest.remove_prefix(next.bytes);
    }
    held_ = std::string(rest);
    return out;
}

std::string Utf8Stream::finish() {
    const bool unfinished = !held_.empty();
    held_.clear();
    return unfinished ? std::string(replacement) : std::string();
}

bool is_valid_utf8(std::string_view text) {
    while (!text.empty()) {
        const Step next = step(text);
        if (next.found != Found::whole) return false;
        text.remove_prefix(next.bytes);
    }
    return true;
}

} // namespace ptxgen
