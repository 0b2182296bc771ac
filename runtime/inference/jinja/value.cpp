#include "runtime/inference/jinja/value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace ptxgen::jinja {

const Value* Arguments::find(std::size_t position, std::string_view name) const {
    if (position < positional.size()) return &positional[position];
    for (const auto& [key, value] : named)
        if (key == name) return &value;
    return nullptr;
}

std::int64_t Value::integer() const {
    if (is(Kind::boolean)) return boolean() ? 1 : 0;
    if (is(Kind::integer)) return std::get<std::int64_t>(state_);
    throw Failure{fmt::format("expected an integer, found {}", type_name())};
}

double Value::real() const {
    if (is(Kind::real)) return std::get<double>(state_);
    return static_cast<double>(integer());
}

bool Value::truthy() const {
    switch (kind()) {
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return boolean();
    case Kind::integer: return integer() != 0;
    case Kind::real: return real() != 0;
    case Kind::string: return !string().empty();
    case Kind::list: return !list().empty();
    case Kind::dict: return !dict().empty();
    case Kind::function:
    case Kind::space: return true;
    }
    return false;
}

std::string Value::text() const {
    switch (kind()) {
    case Kind::undefined: return "";
    case Kind::none: return "None";
    case Kind::boolean: return boolean() ? "True" : "False";
    case Kind::integer: return fmt::format("{}", integer());
    case Kind::real: return std::floor(real()) == real() ? fmt::format("{:.1f}", real()) : fmt::format("{}", real());
    case Kind::string: return string();
    case Kind::list:
    case Kind::dict:
    case Kind::function:
    case Kind::space: break;
    }
    throw Failure{fmt::format("cannot print a {}", type_name())};
}

std::string_view Value::type_name() const {
    constexpr std::array<std::string_view, 10> names{"undefined", "none", "boolean",    "integer",  "float",
                                                     "string",    "list", "dictionary", "function", "namespace"};
    return names[state_.index()];
}

int Value::depth_inside_container() const {
    constexpr int limit = 64;
    if (is(Kind::function) || is(Kind::space))
        throw Failure{fmt::format("a {} cannot be stored in a list or dictionary", type_name())};
    const int depth = is(Kind::list)   ? std::get<std::shared_ptr<const Container<List>>>(state_)->depth
                      : is(Kind::dict) ? std::get<std::shared_ptr<const Container<Dict>>>(state_)->depth
                                       : 0;
    if (depth >= limit) throw Failure{"lists or dictionaries are nested too deeply"};
    return depth;
}

Value::Value(List value) {
    int depth = 1;
    for (const Value& element : value) depth = std::max(depth, element.depth_inside_container() + 1);
    state_ = std::make_shared<const Container<List>>(Container<List>{std::move(value), depth});
}

Value::Value(Dict value) {
    int depth = 1;
    for (const auto& entry : value) depth = std::max(depth, entry.second.depth_inside_container() + 1);
    state_ = std::make_shared<const Container<Dict>>(Container<Dict>{std::move(value), depth});
}

Value Value::space(Dict value) {
    for (const auto& entry : value) entry.second.depth_inside_container();
    Value out;
    out.state_ = std::make_shared<Dict>(std::move(value));
    return out;
}

const Value* Value::find(std::string_view key) const {
    for (const auto& [name, value] : is(Kind::space) ? *std::get<std::shared_ptr<Dict>>(state_) : dict())
        if (name == key) return &value;
    return nullptr;
}

void Value::set(std::string_view key, Value value) const {
    value.depth_inside_container();
    Dict& entries = *std::get<std::shared_ptr<Dict>>(state_);
    for (auto& [name, present] : entries)
        if (name == key) {
            present = std::move(value);
            return;
        }
    entries.emplace_back(std::string(key), std::move(value));
}

bool Value::equal(const Value& a, const Value& b, int& budget) {
    // Shared parts can make a small value large to walk through.
    if (--budget < 0) throw Failure{"values are too large to compare"};
    if (a.is_number() && b.is_number()) {
        if (a.is(Kind::real) || b.is(Kind::real)) return a.real() == b.real();
        return a.integer() == b.integer();
    }
    if (a.kind() != b.kind()) return false;
    switch (a.kind()) {
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::string: return a.string() == b.string();
    case Kind::list:
        return a.list().size() == b.list().size() &&
               std::equal(a.list().begin(), a.list().end(), b.list().begin(),
                          [&](const Value& x, const Value& y) { return equal(x, y, budget); });
    case Kind::dict:
        return a.dict().size() == b.dict().size() &&
               std::all_of(a.dict().begin(), a.dict().end(), [&](const auto& item) {
                   const Value* other = b.find(item.first);
                   return other && equal(item.second, *other, budget);
               });
    case Kind::function: return &a.function() == &b.function();
    case Kind::space: return std::get<std::shared_ptr<Dict>>(a.state_) == std::get<std::shared_ptr<Dict>>(b.state_);
    default: return false;
    }
}

bool operator==(const Value& a, const Value& b) {
    int budget = 1'000'000;
    return Value::equal(a, b, budget);
}

std::vector<std::string_view> characters_of(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        if (static_cast<unsigned char>(text[at]) >= 0xC0)
            while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
        out.push_back(text.substr(at, end - at));
        at = end;
    }
    return out;
}

namespace {

/// str.isspace: bidirectional type WS, B or S, or category Zs.
bool is_python_space(std::string_view character) {
    constexpr std::array<std::string_view, 19> wide{
        "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
        "\u2007", "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
    if (character.size() > 1) return std::find(wide.begin(), wide.end(), character) != wide.end();
    const char c = character[0];
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
}

} // namespace

std::string strip(std::string_view text, bool left, bool right, const std::string* characters) {
    const auto all = characters_of(text);
    const auto set = characters ? characters_of(*characters) : std::vector<std::string_view>();
    const auto goes = [&](std::string_view character) {
        return characters ? std::find(set.begin(), set.end(), character) != set.end() : is_python_space(character);
    };
    std::size_t first = 0, last = all.size();
    while (left && first < last && goes(all[first])) ++first;
    while (right && last > first && goes(all[last - 1])) --last;
    std::string out;
    for (std::size_t i = first; i < last; ++i) out += all[i];
    return out;
}

} // namespace ptxgen::jinja
