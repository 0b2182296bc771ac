#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ptxgen::jinja {

/// Ends parsing or rendering; caught at the library's boundary and turned into an Error.
struct Failure {
    std::string message;
};

class Value;
using List = std::vector<Value>;
/// Keys in order of insertion.
using Dict = std::vector<std::pair<std::string, Value>>;

struct Arguments {
    std::vector<Value> positional;
    Dict named;
    /// The argument at a position or of a name; nullptr if it is not given.
    const Value* find(std::size_t position, std::string_view name) const;
};
using Function = std::function<Value(const Arguments&)>;

/// A Python value as far as chat templates need them. Lists and dictionaries are shared and never change; a namespace
/// is shared and does. Lists, dictionaries and namespaces hold neither namespaces nor functions and nest 64 deep at
/// most (making one that does is a Failure), so that there are no cycles and destroying a value takes little stack.
class Value {
public:
    struct Undefined {
        std::string name; ///< what was looked up, for messages
    };
    struct None {};
    /// The order is that of the variant's alternatives.
    enum class Kind { undefined, none, boolean, integer, real, string, list, dict, function, space };

    Value() : state_(Undefined{}) {}
    Value(Undefined value) : state_(std::move(value)) {}
    Value(None value) : state_(value) {}
    Value(bool value) : state_(value) {}
    Value(std::int64_t value) : state_(value) {}
    Value(double value) : state_(value) {}
    Value(std::string value) : state_(std::move(value)) {}
    Value(std::string_view value) : state_(std::string(value)) {}
    Value(const char* value) : state_(std::string(value)) {}
    Value(List value);
    Value(Dict value);
    Value(Function value) : state_(std::make_shared<const Function>(std::move(value))) {}
    /// A namespace.
    static Value space(Dict value);

    Kind kind() const { return static_cast<Kind>(state_.index()); }
    bool is(Kind other) const { return kind() == other; }
    bool is_number() const { return is(Kind::boolean) || is(Kind::integer) || is(Kind::real); }

    bool boolean() const { return std::get<bool>(state_); }
    const std::string& string() const { return std::get<std::string>(state_); }
    const List& list() const { return std::get<std::shared_ptr<const Container<List>>>(state_)->items; }
    const Dict& dict() const { return std::get<std::shared_ptr<const Container<Dict>>>(state_)->items; }
    const Function& function() const { return *std::get<std::shared_ptr<const Function>>(state_); }
    const Undefined& undefined() const { return std::get<Undefined>(state_); }

    /// Of a boolean or an integer; fails for anything else.
    std::int64_t integer() const;
    /// Of any number.
    double real() const;
    /// Python's bool().
    bool truthy() const;
    /// Python's str() as `{{ … }}` prints it; fails for lists, dictionaries and functions.
    std::string text() const;
    /// "string", "list", …
    std::string_view type_name() const;
    /// The key's value in a dictionary or a namespace; nullptr if there is none.
    const Value* find(std::string_view key) const;
    /// Sets an attribute of a namespace.
    void set(std::string_view key, Value value) const;

    /// Python's ==; fails for values too large to compare.
    friend bool operator==(const Value& a, const Value& b);

private:
    template <class Items>
    struct Container {
        Items items;
        int depth; ///< levels of containers, this one included
    };
    static bool equal(const Value& a, const Value& b, int& budget);
    /// Of the containers in it; fails if it cannot be held by another.
    int depth_inside_container() const;

    std::variant<Undefined, None, bool, std::int64_t, double, std::string, std::shared_ptr<const Container<List>>,
                 std::shared_ptr<const Container<Dict>>, std::shared_ptr<const Function>, std::shared_ptr<Dict>>
        state_;
};

/// Python's str.strip and its kin: without `characters` those that str.isspace counts are taken off, Unicode included.
std::string strip(std::string_view text, bool left, bool right, const std::string* characters = nullptr);
/// The characters of UTF-8 text, bytes that are none on their own.
std::vector<std::string_view> characters_of(std::string_view text);

} // namespace ptxgen::jinja
