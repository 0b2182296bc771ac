#include "policies/parse.hpp"

#include "policies/registry.hpp"
#include "ptxgen/base/nearest.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ptxgen::policies {
namespace {

/// Parentheses inside parentheses; more are refused before they fill the stack.
constexpr int max_depth = 100;
/// Of the text in an error.
constexpr std::size_t max_quoted = 160;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<Policy> parse() {
        auto policy = any();
        if (!policy) return policy;
        skip_spaces();
        if (at_ < text_.size()) return expected("'&&', '||' or the end");
        return policy;
    }

private:
    Result<Policy> any() {
        auto left = all();
        while (left && take("||")) {
            auto right = all();
            if (!right) return right;
            left = any_of(std::move(*left), std::move(*right));
        }
        return left;
    }
    Result<Policy> all() {
        auto left = single();
        while (left && take("&&")) {
            auto right = single();
            if (!right) return right;
            left = all_of(std::move(*left), std::move(*right));
        }
        return left;
    }
    Result<Policy> single() {
        if (take("(")) {
            if (++depth_ > max_depth) return error(at_ - 1, "too many parentheses inside each other");
            auto inner = any();
            if (!inner) return inner;
            if (!take(")")) return expected("'&&', '||' or ')'");
            depth_--;
            return inner;
        }
        skip_spaces();
        const std::size_t start = at_;
        while (at_ < text_.size() && is_name(text_[at_])) at_++;
        const std::string_view name = text_.substr(start, at_ - start);
        if (name.empty() || is_digit(name[0])) {
            at_ = start;
            return expected("the name of a policy or '('");
        }
        return named(name, start);
    }

    Result<Policy> named(std::string_view name, std::size_t start) {
        const auto specs = policy_registry();
        const auto spec = std::find_if(specs.begin(), specs.end(), [&](const auto& s) { return s.name == name; });
        if (spec == specs.end()) {
            std::vector<std::string> names;
            for (const auto& known : specs) names.push_back(known.name);
            return error(start, fmt::format("unknown policy '{}'; the nearest names are {}", name,
                                            fmt::join(nearest_names(name, names), ", ")));
        }
        std::vector<std::uint64_t> values;
        std::vector<std::size_t> places;
        const std::size_t behind = at_;
        if (take("(") && !take(")")) {
            do {
                skip_spaces();
                places.push_back(at_);
                std::uint64_t value = 0;
                const auto read = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
                const bool too_large = read.ec == std::errc::result_out_of_range;
                if (read.ec != std::errc{} && !too_large) return expected("an integer from 0 on");
                at_ = static_cast<std::size_t>(read.ptr - text_.data());
                values.push_back(too_large ? UINT64_MAX : value);
            } while (take(","));
            if (!take(")")) return expected("',' or ')'");
        }
        if (values.size() != spec->parameters.size())
            return error(values.empty() ? behind : places[std::min(spec->parameters.size(), values.size() - 1)],
                         fmt::format("{}, found {}", signature(*spec), values.size()));
        for (std::size_t i = 0; i < values.size(); i++) {
            const auto& parameter = spec->parameters[i];
            if (values[i] >= parameter.min && values[i] <= parameter.max) continue;
            const std::string why =
                values[i] < parameter.min && !parameter.below.empty() ? ": " + parameter.below : std::string();
            return error(places[i], fmt::format("{} of {} must be from {} to {}, found {}{}", parameter.name, name,
                                                parameter.min, parameter.max, number_at(places[i]), why));
        }
        return spec->make(values);
    }

    static std::string signature(const PolicySpec& spec) {
        if (spec.parameters.empty()) return fmt::format("{} takes no arguments", spec.name);
        std::vector<std::string> names;
        for (const auto& parameter : spec.parameters) names.push_back(parameter.name);
        return fmt::format("{0} takes {1} argument{2}, {0}({3})", spec.name, names.size(), names.size() == 1 ? "" : "s",
                           fmt::join(names, ", "));
    }

    std::string_view number_at(std::size_t place) const {
        std::size_t end = place;
        while (end < text_.size() && is_digit(text_[end])) end++;
        return text_.substr(place, end - place);
    }
    void skip_spaces() {
        while (at_ < text_.size() && is_space(text_[at_])) at_++;
    }
    bool take(std::string_view token) {
        skip_spaces();
        if (text_.substr(at_, token.size()) != token) return false;
        at_ += token.size();
        return true;
    }
    Error expected(std::string_view what) {
        skip_spaces();
        std::size_t end = at_;
        while (end < text_.size() && is_name(text_[end])) end++;
        if (end == at_ && end < text_.size()) end++;
        return error(at_, at_ == text_.size()
                              ? fmt::format("expected {}, found the end", what)
                              : fmt::format("expected {}, found '{}'", what, text_.substr(at_, end - at_)));
    }
    Error error(std::size_t place, std::string_view what) const {
        const bool shortened = text_.size() > max_quoted;
        return {fmt::format("policy '{}{}', column {}: {}", text_.substr(0, max_quoted), shortened ? "…" : "",
                            place + 1, what)};
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

} // namespace

Result<Policy> parse_policy(std::string_view text) { return Parser(text).parse(); }

} // namespace ptxgen::policies
