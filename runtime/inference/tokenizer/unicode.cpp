#include "runtime/inference/tokenizer/unicode.hpp"

#include <algorithm>
#include <array>

namespace ptxgen::tokenization {

namespace {

constexpr std::uint32_t replacement = 0xFFFD;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

enum class Class : std::uint8_t { letter, number, mark, punctuation, symbol, other };

struct Range {
    std::uint32_t first, last;
    Class of;
};

// Letters, numbers, marks, punctuation and symbols that Unicode 15.0 and 15.1 added (DerivedAge.txt and
// DerivedGeneralCategory.txt of 15.1), surrogates, and U+180E, which PCRE2 counts as horizontal space.
constexpr std::array<Range, 47> reclassed{{
    {0x000CF3, 0x000CF3, Class::mark},   {0x000ECE, 0x000ECE, Class::mark},
    {0x00180E, 0x00180E, Class::other},  {0x002FFC, 0x002FFF, Class::symbol},
    {0x0031EF, 0x0031EF, Class::symbol}, {0x00D800, 0x00DFFF, Class::other},
    {0x010EFD, 0x010EFF, Class::mark},   {0x01123F, 0x011240, Class::letter},
    {0x011241, 0x011241, Class::mark},   {0x011B00, 0x011B09, Class::punctuation},
    {0x011F00, 0x011F01, Class::mark},   {0x011F02, 0x011F02, Class::letter},
    {0x011F03, 0x011F03, Class::mark},   {0x011F04, 0x011F10, Class::letter},
    {0x011F12, 0x011F33, Class::letter}, {0x011F34, 0x011F3A, Class::mark},
    {0x011F3E, 0x011F42, Class::mark},   {0x011F43, 0x011F4F, Class::punctuation},
    {0x011F50, 0x011F59, Class::number}, {0x01342F, 0x01342F, Class::letter},
    {0x013440, 0x013440, Class::mark},   {0x013441, 0x013446, Class::letter},
    {0x013447, 0x013455, Class::mark},   {0x01B132, 0x01B132, Class::letter},
    {0x01B155, 0x01B155, Class::letter}, {0x01D2C0, 0x01D2D3, Class::number},
    {0x01DF25, 0x01DF2A, Class::letter}, {0x01E030, 0x01E06D, Class::letter},
    {0x01E08F, 0x01E08F, Class::mark},   {0x01E4D0, 0x01E4EB, Class::letter},
    {0x01E4EC, 0x01E4EF, Class::mark},   {0x01E4F0, 0x01E4F9, Class::number},
    {0x01F6DC, 0x01F6DC, Class::symbol}, {0x01F774, 0x01F776, Class::symbol},
    {0x01F77B, 0x01F77F, Class::symbol}, {0x01F7D9, 0x01F7D9, Class::symbol},
    {0x01FA75, 0x01FA77, Class::symbol}, {0x01FA87, 0x01FA88, Class::symbol},
    {0x01FAAD, 0x01FAAF, Class::symbol}, {0x01FABB, 0x01FABD, Class::symbol},
    {0x01FABF, 0x01FABF, Class::symbol}, {0x01FACE, 0x01FACF, Class::symbol},
    {0x01FADA, 0x01FADB, Class::symbol}, {0x01FAE8, 0x01FAE8, Class::symbol},
    {0x01FAF7, 0x01FAF8, Class::symbol}, {0x02B739, 0x02B739, Class::letter},
    {0x02EBF0, 0x02EE5D, Class::letter},
}};
constexpr Range extension_h{0x031350, 0x0323AF, Class::letter}; // CJK

/// A character of the class, old enough for every PCRE2, that takes as many bytes (3 or 4).
std::uint32_t stand_in(Class of, std::size_t bytes) {
    const bool three = bytes == 3;
    switch (of) {
    case Class::letter: return three ? 0x4E00 : 0x20000;
    case Class::number: return three ? 0x0966 : 0x1D7CE;
    case Class::mark: return three ? 0x0901 : 0x1D165;
    case Class::punctuation: return three ? 0x2010 : 0x10100;
    case Class::symbol: return three ? 0x2190 : 0x1F300;
    case Class::other: return three ? 0xE000 : 0xF0000;
    }
    return replacement;
}

const Range* reclassed_range(std::uint32_t c) {
    if (c >= extension_h.first && c <= extension_h.last) return &extension_h;
    const auto at = std::lower_bound(reclassed.begin(), reclassed.end(), c,
                                     [](const Range& range, std::uint32_t value) { return range.last < value; });
    return at != reclassed.end() && at->first <= c ? &*at : nullptr;
}

} // namespace

void append_utf8(std::string& out, std::uint32_t c) {
    const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xC0 | (c >> 6));
        put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put(0xE0 | (c >> 12));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    } else {
        put(0xF0 | (c >> 18));
        put(0x80 | ((c >> 12) & 0x3F));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    }
}

std::uint32_t decode_utf8(std::string_view text, std::size_t& at) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = sequence_length(lead);
    bool valid = lead < 0x80 || (lead >= 0xC0 && lead < 0xF8 && length <= text.size() - at);
    for (std::size_t i = 1; valid && i < length; ++i) valid = is_continuation(text[at + i]);
    if (!valid) {
        ++at;
        return replacement;
    }
    std::uint32_t c = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) c = c << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
    at += length;
    return c > 0x10FFFF ? replacement : c;
}

std::string normalise_utf8(std::string_view text) {
    if (is_ascii(text)) return std::string(text);
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) append_utf8(out, decode_utf8(text, at));
    return out;
}

std::string regex_subject(std::string_view text) {
    std::string out(text);
    if (is_ascii(text)) return out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t start = at;
        const Range* range = reclassed_range(decode_utf8(text, at));
        if (!range) continue;
        std::string other;
        append_utf8(other, stand_in(range->of, at - start));
        out.replace(start, at - start, other);
    }
    return out;
}

} // namespace ptxgen::tokenization
