#pragma once

#include "runtime/inference/jinja/value.hpp"

#include <string_view>

namespace ptxgen::jinja {

/// `value | name(arguments)`. Throws Failure, for unknown filters too.
Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments);
/// `value is name(arguments)`.
bool apply_test(std::string_view name, const Value& value, const Arguments& arguments);
/// `value.name`: a method, an entry or undefined. Fails on undefined.
Value attribute_of(const Value& value, std::string_view name);
/// `value[key]`.
Value item_of(const Value& value, const Value& key);
/// `value[start:stop:step]`; undefined where left out.
Value slice_of(const Value& value, const Value& start, const Value& stop, const Value& step);
/// `a op b` for + - * / // % ~.
Value binary(std::string_view op, const Value& a, const Value& b);
/// `a op b` for == != < <= > >= in, not in.
bool compare(std::string_view op, const Value& a, const Value& b);
/// What `for` goes through: a list's elements, a dictionary's keys, a string's characters; nothing for undefined.
List elements_of(const Value& value);
/// Global functions: range, namespace, raise_exception.
Value global_function(std::string_view name);

} // namespace ptxgen::jinja
