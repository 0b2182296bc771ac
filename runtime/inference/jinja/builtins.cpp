#include "runtime/inference/jinja/builtins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ptxgen::jinja {

namespace {

using Kind = Value::Kind;

constexpr std::int64_t length_limit = 1 << 20; ///< of what a single operation makes

[[noreturn]] void fail(std::string message) { throw Failure{std::move(message)}; }

const Value& required(const Arguments& arguments, std::size_t position, std::string_view name) {
    const Value* value = arguments.find(position, name);
    if (!value) fail(fmt::format("the argument '{}' is missing", name));
    return *value;
}

const std::string& text_of(const Value& value) {
    if (!value.is(Kind::string)) fail(fmt::format("expected a string, found {}", value.type_name()));
    return value.string();
}

std::string ascii_case(const std::string& text, bool upper) {
    std::string out = text;
    for (char& c : out) {
        if (static_cast<unsigned char>(c) >= 0x80) fail("upper and lower are supported for ASCII text only");
        if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z') c = static_cast<char>(c ^ 0x20);
    }
    return out;
}

std::string replace_all(const std::string& text, const std::string& from, const std::string& to) {
    if (from.empty()) fail("replace needs a text to look for");
    std::string out;
    std::size_t at = 0;
    for (std::size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size())
        out.append(text, at, found - at).append(to);
    return out.append(text, at);
}

List split(const std::string& text, const Arguments& arguments) {
    const Value* separator = arguments.find(0, "sep");
    const Value* most = arguments.find(1, "maxsplit");
    std::int64_t left = most ? most->integer() : -1;
    List out;
    if (!separator || separator->is(Kind::none)) {
        if (most) fail("split with a limit needs a separator");
        std::string rest = strip(text, true, true);
        while (!rest.empty()) { // a word is what stripping the right of a prefix leaves
            std::string word;
            for (const std::string_view c : characters_of(rest)) {
                if (strip(c, true, false).empty()) break;
                word += c;
            }
            rest = strip(std::string_view(rest).substr(word.size()), true, false);
            out.emplace_back(std::move(word));
        }
        return out;
    }
    const std::string& by = text_of(*separator);
    if (by.empty()) fail("split needs a separator that is not empty");
    std::size_t at = 0;
    for (std::size_t found; left != 0 && (found = text.find(by, at)) != std::string::npos;
         at = found + by.size(), --left)
        out.emplace_back(text.substr(at, found - at));
    out.emplace_back(text.substr(at));
    return out;
}

std::string join(const List& items, const std::string& by) {
    std::string out;
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += by;
        out += items[i].text();
    }
    return out;
}

List items_of(const Value& value) {
    List out;
    for (const auto& [key, item] : value.dict()) out.emplace_back(List{Value(key), item});
    return out;
}

/// startswith and endswith take one string or a tuple of them.
bool any_affix(const Value& affixes, const std::string& text, bool front) {
    const auto matches = [&](const Value& value) {
        const std::string& affix = text_of(value);
        return affix.size() <= text.size() &&
               text.compare(front ? 0 : text.size() - affix.size(), affix.size(), affix) == 0;
    };
    if (!affixes.is(Kind::list)) return matches(affixes);
    return std::any_of(affixes.list().begin(), affixes.list().end(), matches);
}

Value string_method(const std::string& self, std::string_view name) {
    const auto method = [](auto body) { return Value(Function(std::move(body))); };
    if (name == "strip" || name == "lstrip" || name == "rstrip")
        return method([self, left = name != "rstrip", right = name != "lstrip"](const Arguments& arguments) -> Value {
            const Value* characters = arguments.find(0, "chars");
            const bool given = characters && !characters->is(Kind::none);
            return strip(self, left, right, given ? &text_of(*characters) : nullptr);
        });
    if (name == "startswith" || name == "endswith")
        return method([self, front = name == "startswith"](const Arguments& arguments) -> Value {
            return any_affix(required(arguments, 0, "prefix"), self, front);
        });
    if (name == "split") return method([self](const Arguments& arguments) -> Value { return split(self, arguments); });
    if (name == "replace")
        return method([self](const Arguments& arguments) -> Value {
            return replace_all(self, text_of(required(arguments, 0, "old")), text_of(required(arguments, 1, "new")));
        });
    if (name == "upper" || name == "lower")
        return method([self, upper = name == "upper"](const Arguments&) -> Value { return ascii_case(self, upper); });
    if (name == "join")
        return method([self](const Arguments& arguments) -> Value {
            return join(elements_of(required(arguments, 0, "iterable")), self);
        });
    return Value(Value::Undefined{std::string(name)});
}

Value dict_method(const Value& self, std::string_view name) {
    const auto method = [](auto body) { return Value(Function(std::move(body))); };
    if (name == "items") return method([self](const Arguments&) -> Value { return items_of(self); });
    if (name == "keys") return method([self](const Arguments&) -> Value { return elements_of(self); });
    if (name == "values")
        return method([self](const Arguments&) -> Value {
            List out;
            for (const auto& entry : self.dict()) out.push_back(entry.second);
            return out;
        });
    if (name == "get")
        return method([self](const Arguments& arguments) -> Value {
            if (const Value* value = self.find(text_of(required(arguments, 0, "key")))) return *value;
            const Value* fallback = arguments.find(1, "default");
            return fallback ? *fallback : Value(Value::None{});
        });
    return Value(Value::Undefined{std::string(name)});
}

/// selectattr, rejectattr, select, reject: the elements that pass (or do not pass) a test.
List select(std::string_view name, const Value& value, const Arguments& arguments) {
    const bool by_attribute = name.ends_with("attr"), keep = name.starts_with("select");
    Arguments rest = arguments;
    std::string attribute, test;
    const auto shift = [&](std::string& into) {
        if (rest.positional.empty()) return;
        into = text_of(rest.positional.front());
        rest.positional.erase(rest.positional.begin());
    };
    if (by_attribute) shift(attribute);
    shift(test);
    List out;
    if (!value.truthy()) return out; // none too
    for (const Value& element : elements_of(value)) {
        const Value subject = by_attribute ? attribute_of(element, attribute) : element;
        if ((test.empty() ? subject.truthy() : apply_test(test, subject, rest)) == keep) out.push_back(element);
    }
    return out;
}

} // namespace

Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments) {
    if (name == "trim") {
        const Value* characters = arguments.find(0, "chars");
        return strip(value.text(), true, true, characters ? &text_of(*characters) : nullptr);
    }
    if (name == "length" || name == "count") {
        if (value.is(Kind::dict)) return static_cast<std::int64_t>(value.dict().size());
        return static_cast<std::int64_t>(elements_of(value).size());
    }
    if (name == "string" || name == "safe") return value.text();
    if (name == "list") return elements_of(value);
    if (name == "first" || name == "last") {
        const List all = elements_of(value);
        if (all.empty()) return Value(Value::Undefined{std::string(name)});
        return name == "first" ? all.front() : all.back();
    }
    if (name == "default" || name == "d") {
        const Value* fallback = arguments.find(0, "default_value");
        const Value* for_false = arguments.find(1, "boolean");
        const bool missing = value.is(Kind::undefined) || (for_false && for_false->truthy() && !value.truthy());
        return missing ? (fallback ? *fallback : Value("")) : value;
    }
    if (name == "join") {
        const Value* by = arguments.find(0, "d");
        return join(elements_of(value), by ? text_of(*by) : "");
    }
    if (name == "replace")
        return replace_all(value.text(), text_of(required(arguments, 0, "old")),
                           text_of(required(arguments, 1, "new")));
    if (name == "upper" || name == "lower") return ascii_case(value.text(), name == "upper");
    if (name == "items")
        return value.is(Kind::undefined) ? Value(List{})
               : value.is(Kind::dict)    ? Value(items_of(value))
                                         : (fail("items needs a dictionary"), Value());
    if (name == "selectattr" || name == "rejectattr" || name == "select" || name == "reject")
        return select(name, value, arguments);
    if (name == "map") {
        const std::string& attribute = text_of(required(arguments, 1, "attribute"));
        List out;
        if (!value.truthy()) return out;
        for (const Value& element : elements_of(value)) out.push_back(attribute_of(element, attribute));
        return out;
    }
    fail(fmt::format("the filter '{}' is not supported", name));
}

bool apply_test(std::string_view name, const Value& value, const Arguments& arguments) {
    if (name == "defined") return !value.is(Kind::undefined);
    if (name == "undefined") return value.is(Kind::undefined);
    if (name == "none") return value.is(Kind::none);
    if (name == "string") return value.is(Kind::string);
    if (name == "mapping") return value.is(Kind::dict);
    if (name == "sequence") return value.is(Kind::string) || value.is(Kind::list) || value.is(Kind::dict);
    if (name == "iterable")
        return value.is(Kind::string) || value.is(Kind::list) || value.is(Kind::dict) || value.is(Kind::undefined);
    if (name == "number") return value.is_number();
    if (name == "integer") return value.is(Kind::integer);
    if (name == "boolean") return value.is(Kind::boolean);
    if (name == "true") return value.is(Kind::boolean) && value.boolean();
    if (name == "false") return value.is(Kind::boolean) && !value.boolean();
    if (name == "callable") return value.is(Kind::function);
    if (name == "odd" || name == "even") return (value.integer() % 2 != 0) == (name == "odd");
    if (name == "divisibleby") {
        const std::int64_t by = required(arguments, 0, "num").integer();
        if (by == 0) fail("division by zero");
        return by == -1 || value.integer() % by == 0;
    }
    if (name == "equalto" || name == "eq" || name == "==") return value == required(arguments, 0, "other");
    if (name == "ne" || name == "!=") return !(value == required(arguments, 0, "other"));
    if (name == "in") return compare("in", value, required(arguments, 0, "seq"));
    fail(fmt::format("the test '{}' is not supported", name));
}

Value attribute_of(const Value& value, std::string_view name) {
    switch (value.kind()) {
    case Kind::undefined: fail(fmt::format("'{}' is undefined", value.undefined().name));
    case Kind::string: return string_method(value.string(), name);
    case Kind::dict: {
        Value method = dict_method(value, name);
        if (!method.is(Kind::undefined)) return method;
        if (const Value* entry = value.find(name)) return *entry;
        return method;
    }
    case Kind::space:
        if (const Value* entry = value.find(name)) return *entry;
        [[fallthrough]];
    default: return Value(Value::Undefined{std::string(name)});
    }
}

Value item_of(const Value& value, const Value& key) {
    if (value.is(Kind::undefined)) fail(fmt::format("'{}' is undefined", value.undefined().name));
    if (value.is(Kind::dict)) {
        if (!key.is(Kind::string)) return Value(Value::Undefined{"item"});
        if (const Value* entry = value.find(key.string())) return *entry;
        return attribute_of(value, key.string());
    }
    if ((value.is(Kind::list) || value.is(Kind::string)) && (key.is(Kind::integer) || key.is(Kind::boolean))) {
        const List all = elements_of(value);
        const auto size = static_cast<std::int64_t>(all.size());
        const std::int64_t index = key.integer() < 0 ? key.integer() + size : key.integer();
        if (index < 0 || index >= size) return Value(Value::Undefined{"item"});
        return all[static_cast<std::size_t>(index)];
    }
    if (key.is(Kind::string)) return attribute_of(value, key.string());
    return Value(Value::Undefined{"item"});
}

Value slice_of(const Value& value, const Value& start, const Value& stop, const Value& step_value) {
    if (!value.is(Kind::list) && !value.is(Kind::string)) fail(fmt::format("cannot slice {}", value.type_name()));
    const auto given = [](const Value& bound) { return !bound.is(Kind::undefined) && !bound.is(Kind::none); };
    const List all = elements_of(value);
    const auto size = static_cast<std::int64_t>(all.size());
    const std::int64_t step = given(step_value) ? step_value.integer() : 1;
    if (step == 0 || step > length_limit || step < -length_limit) fail("a slice's step is zero or too large");
    // Python's slice.indices.
    const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    const auto bound = [&](const Value& at, std::int64_t otherwise) {
        if (!given(at)) return otherwise;
        const std::int64_t index = at.integer();
        return index < 0 ? std::max(index < -size ? low : index + size, low) : std::min(index, high);
    };
    const std::int64_t first = bound(start, step > 0 ? low : high), last = bound(stop, step > 0 ? high : low);
    List out;
    for (std::int64_t i = first; step > 0 ? i < last : i > last; i += step)
        out.push_back(all[static_cast<std::size_t>(i)]);
    if (value.is(Kind::list)) return out;
    return join(out, "");
}

namespace {

std::string joined(const std::string& a, const std::string& b) {
    if (a.size() + b.size() > std::size_t{1} << 30) fail("a text is too long");
    return a + b;
}

} // namespace

Value binary(std::string_view op, const Value& a, const Value& b) {
    if (op == "~") return joined(a.text(), b.text());
    if (a.is(Kind::undefined) || b.is(Kind::undefined))
        fail(fmt::format("'{}' is undefined", (a.is(Kind::undefined) ? a : b).undefined().name));
    if (op == "+" && a.is(Kind::string) && b.is(Kind::string)) return joined(a.string(), b.string());
    if (op == "+" && a.is(Kind::list) && b.is(Kind::list)) {
        List out = a.list();
        out.insert(out.end(), b.list().begin(), b.list().end());
        return out;
    }
    if (op == "*" && a.is(Kind::string) && b.is(Kind::integer)) {
        const std::int64_t times = std::max<std::int64_t>(b.integer(), 0);
        if (times > length_limit || times * static_cast<std::int64_t>(a.string().size()) > length_limit)
            fail("a repeated string is too long");
        std::string out;
        for (std::int64_t i = 0; i < times; ++i) out += a.string();
        return out;
    }
    if (!a.is_number() || !b.is_number())
        fail(fmt::format("unsupported operands of '{}': {} and {}", op, a.type_name(), b.type_name()));
    if (a.is(Kind::real) || b.is(Kind::real) || op == "/") {
        const double x = a.real(), y = b.real();
        if (op == "+") return x + y;
        if (op == "-") return x - y;
        if (op == "*") return x * y;
        if (y == 0) fail("division by zero");
        if (op == "/") return x / y;
        return op == "//" ? std::floor(x / y) : x - y * std::floor(x / y);
    }
    const std::int64_t x = a.integer(), y = b.integer();
    std::int64_t out = 0;
    bool overflow = false;
    if (op == "+")
        overflow = __builtin_add_overflow(x, y, &out);
    else if (op == "-")
        overflow = __builtin_sub_overflow(x, y, &out);
    else if (op == "*")
        overflow = __builtin_mul_overflow(x, y, &out);
    else if (y == 0)
        fail("division by zero");
    else if (x == std::numeric_limits<std::int64_t>::min() && y == -1)
        overflow = true;
    else { // both round towards minus infinity
        const bool inexact = x % y != 0 && (x < 0) != (y < 0);
        out = op == "//" ? x / y - (inexact ? 1 : 0) : x % y + (inexact ? y : 0);
    }
    if (overflow) fail("an integer is too large");
    return out;
}

bool compare(std::string_view op, const Value& a, const Value& b) {
    if (op == "==") return a == b;
    if (op == "!=") return !(a == b);
    if (op == "in" || op == "not in") {
        bool found = false;
        if (b.is(Kind::string))
            found = b.string().find(text_of(a)) != std::string::npos;
        else if (b.is(Kind::dict))
            found = a.is(Kind::string) && b.find(a.string());
        else if (b.is(Kind::list))
            found = std::find(b.list().begin(), b.list().end(), a) != b.list().end();
        else if (!b.is(Kind::undefined))
            fail(fmt::format("cannot look for something in {}", b.type_name()));
        return found == (op == "in");
    }
    int order = 0;
    if (a.is_number() && b.is_number())
        order = a.real() < b.real() ? -1 : a.real() > b.real();
    else if (a.is(Kind::string) && b.is(Kind::string))
        order = a.string().compare(b.string());
    else
        fail(fmt::format("cannot order {} and {}", a.type_name(), b.type_name()));
    return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

List elements_of(const Value& value) {
    List out;
    switch (value.kind()) {
    case Kind::undefined: return out;
    case Kind::list: return value.list();
    case Kind::dict:
        for (const auto& entry : value.dict()) out.emplace_back(entry.first);
        return out;
    case Kind::string:
        for (const std::string_view character : characters_of(value.string())) out.emplace_back(character);
        return out;
    default: fail(fmt::format("cannot go through {}", value.type_name()));
    }
}

Value global_function(std::string_view name) {
    if (name == "raise_exception")
        return Function([](const Arguments& arguments) -> Value { fail(required(arguments, 0, "message").text()); });
    if (name == "namespace")
        return Function([](const Arguments& arguments) -> Value {
            Dict out = arguments.positional.empty()             ? Dict()
                       : arguments.positional[0].is(Kind::dict) ? arguments.positional[0].dict()
                                                                : Dict();
            out.insert(out.end(), arguments.named.begin(), arguments.named.end());
            return Value::space(std::move(out));
        });
    if (name == "range")
        return Function([](const Arguments& arguments) -> Value {
            const auto& given = arguments.positional;
            if (given.empty() || given.size() > 3) fail("range takes one to three integers");
            const std::int64_t start = given.size() > 1 ? given[0].integer() : 0,
                               stop = given[given.size() > 1 ? 1 : 0].integer(),
                               step = given.size() > 2 ? given[2].integer() : 1;
            if (step == 0) fail("range needs a step that is not zero");
            List out;
            for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
                out.emplace_back(i);
                if (static_cast<std::int64_t>(out.size()) > length_limit) fail("a range is too long");
                if (__builtin_add_overflow(i, step, &i)) break;
            }
            return out;
        });
    return Value(Value::Undefined{std::string(name)});
}

} // namespace ptxgen::jinja
