#include "ptxgen/text/text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr std::size_t longest_line = 400;

std::vector<std::string_view> lines_of(std::string_view source) {
    std::vector<std::string_view> lines;
    while (true) {
        const auto end = source.find('\n');
        lines.push_back(source.substr(0, end));
        if (!lines.back().empty() && lines.back().back() == '\r') lines.back().remove_suffix(1);
        if (end == std::string_view::npos) return lines;
        source.remove_prefix(end + 1);
    }
}

/// Length of the word, modifier, number or character that `text` begins with.
std::size_t token_length(std::string_view text) {
    const auto word = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
               c == '%';
    };
    std::size_t length = !text.empty() && text[0] == '.' ? 1 : 0;
    while (length < text.size() && (word(text[length]) || (text[0] == '.' && text[length] == ':'))) length++;
    if (length == 0 && !text.empty() && text[0] == '[') length = std::min(text.find(']'), text.size() - 1) + 1;
    return std::max<std::size_t>(length, 1);
}

} // namespace

std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view source, const std::string& file) {
    const auto lines = lines_of(source);
    std::string out;
    for (const auto& diagnostic : diagnostics) {
        out += to_string(diagnostic, file) + "\n";
        const auto [line, column] = diagnostic.location;
        if (line == 0 || line > lines.size() || column == 0) continue;
        const auto text = lines[line - 1];
        if (text.size() > longest_line || column > text.size() + 1) continue;
        std::string margin;
        for (const char c : text.substr(0, column - 1)) margin += c == '\t' ? '\t' : ' ';
        const auto length = token_length(text.substr(column - 1));
        out += fmt::format("{:5} | {}\n      | {}^{}\n", line, text, margin, std::string(length - 1, '~'));
    }
    return out;
}

} // namespace ptxgen
