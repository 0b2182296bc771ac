#include "runtime/inference/tokenizer/pretokenizer.hpp"

#include "runtime/inference/tokenizer/unicode.hpp"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

namespace ptxgen::tokenization {

struct Pretokenizer::Regex {
    struct Free {
        void operator()(pcre2_code* compiled) const { pcre2_code_free(compiled); }
    };
    std::unique_ptr<pcre2_code, Free> code;
};

namespace {

std::string message_of(int error) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

} // namespace

Result<Pretokenizer> Pretokenizer::create(const PretokenizerRules& rules) {
    Pretokenizer out;
    for (const std::string_view pattern : rules.patterns) {
        int error = 0;
        PCRE2_SIZE offset = 0;
        auto regex = std::make_shared<Regex>();
        regex->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                        PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
        if (!regex->code)
            return Error{fmt::format("PCRE2 does not compile the pre-tokenizer pattern {} (at {}): {}; it needs PCRE2 "
                                     "with Unicode support",
                                     pattern, offset, message_of(error))};
        // Where there is no JIT for this machine, pcre2_match interprets.
        pcre2_jit_compile(regex->code.get(), PCRE2_JIT_COMPLETE);
        out.regexes_.push_back(std::move(regex));
    }
    return out;
}

Result<Pretokenizer::Pieces> Pretokenizer::split(std::string_view text) const {
    Pieces pieces;
    pieces.text = normalise_utf8(text);
    const std::string subject = regex_subject(pieces.text);
    std::vector<std::size_t> ends{subject.size()}, next;
    for (const auto& regex : regexes_) {
        const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
            pcre2_match_data_create_from_pattern(regex->code.get(), nullptr), pcre2_match_data_free);
        if (!match) return Error{"out of memory while splitting text into words"};
        next.clear();
        std::size_t piece = 0; // start of the piece
        for (const std::size_t end : ends) {
            std::size_t done = 0; // bytes of the piece that are split already
            const std::string_view part = std::string_view(subject).substr(piece, end - piece);
            while (done < part.size()) {
                // The piece is a subject of its own, so that looking ahead ends with it.
                const int found = pcre2_match(regex->code.get(), reinterpret_cast<PCRE2_SPTR>(part.data()), part.size(),
                                              done, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
                if (found == PCRE2_ERROR_NOMATCH) break;
                if (found < 0)
                    return Error{fmt::format("PCRE2 failed to split text into words: {}", message_of(found))};
                const PCRE2_SIZE* at = pcre2_get_ovector_pointer(match.get());
                if (at[1] <= done) break; // no pattern matches the empty string
                if (at[0] > done) next.push_back(piece + at[0]);
                next.push_back(piece + at[1]);
                done = at[1];
            }
            if (done < part.size()) next.push_back(end);
            piece = end;
        }
        ends.swap(next);
    }
    if (pieces.text.empty()) ends.clear();
    pieces.ends = std::move(ends);
    return pieces;
}

} // namespace ptxgen::tokenization
