#include "runtime/cuda/jit_log.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <vector>

namespace ptxgen::cuda {
namespace {

constexpr std::size_t max_messages = 40;
constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<std::string_view> split_lines(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

/// The number after the word "line" of a message.
std::optional<std::size_t> named_line(std::string_view message) {
    constexpr std::string_view word = "line ";
    for (auto at = message.find(word); at != std::string_view::npos; at = message.find(word, at + 1)) {
        const auto digits = message.substr(at + word.size());
        std::size_t line = 0;
        if (std::from_chars(digits.data(), digits.data() + digits.size(), line).ec == std::errc{}) return line;
    }
    return std::nullopt;
}

/// The text without comments, which a directive may hide in.
std::string_view operand_of(std::string_view line, std::string_view directive) {
    line = trim(line.substr(0, line.find("//")));
    if (!line.starts_with(directive)) return {};
    line = line.substr(directive.size());
    if (line.empty() || blanks.find(line.front()) == std::string_view::npos) return {};
    line = trim(line);
    return line.substr(0, line.find_first_of(", \t"));
}

} // namespace

std::string annotate_log(std::string_view log, std::string_view ptx) {
    // The driver hands over a buffer that ends with its terminator.
    log = log.substr(0, log.find('\0'));
    const auto source = split_lines(ptx);
    std::string out;
    std::size_t messages = 0;
    for (const auto raw : split_lines(log)) {
        const auto message = trim(raw);
        if (message.empty()) continue;
        if (++messages > max_messages) {
            out += "...\n";
            break;
        }
        out += fmt::format("{}\n", message);
        if (const auto line = named_line(message); line && *line >= 1 && *line <= source.size())
            out += fmt::format("{:>6} | {}\n", *line, trim(source[*line - 1]));
    }
    if (!out.empty()) out.pop_back();
    return out;
}

PtxHeader read_ptx_header(std::string_view ptx) {
    PtxHeader header;
    while (!ptx.empty() && (header.version.empty() || header.target.empty())) {
        const auto end = std::min(ptx.find('\n'), ptx.size());
        const auto line = ptx.substr(0, end);
        if (header.version.empty()) header.version = operand_of(line, ".version");
        if (header.target.empty()) header.target = operand_of(line, ".target");
        ptx.remove_prefix(std::min(end + 1, ptx.size()));
    }
    return header;
}

} // namespace ptxgen::cuda
