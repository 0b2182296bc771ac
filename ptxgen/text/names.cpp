#include "ptxgen/text/names.hpp"

#include <map>
#include <unordered_set>

#include <fmt/format.h>

namespace ptxgen {
namespace {

std::string_view register_prefix(Type type) {
    switch (type) {
    case Type::f16:
    case Type::bf16: return "%hf";
    case Type::f32: return "%f";
    case Type::f64: return "%fd";
    default: break;
    }
    const bool sign = type_class(type) == TypeClass::signed_integer;
    const bool is_unsigned = type_class(type) == TypeClass::unsigned_integer;
    switch (bit_width(type)) {
    case 1: return "%p";
    case 8: return sign ? "%sb" : is_unsigned ? "%ub" : "%b";
    case 16: return sign ? "%sh" : is_unsigned ? "%uh" : "%h";
    case 32: return sign ? "%sr" : is_unsigned ? "%ur" : "%r";
    case 64: return sign ? "%srd" : is_unsigned ? "%urd" : "%rd";
    case 128: return "%q";
    }
    return "%x";
}

} // namespace

NumberedName split_number(std::string_view name) {
    std::size_t digits = 0;
    while (digits < name.size() && name[name.size() - 1 - digits] >= '0' && name[name.size() - 1 - digits] <= '9')
        digits++;
    NumberedName split{name.substr(0, name.size() - digits)};
    const auto number = name.substr(name.size() - digits);
    if (digits == 0 || digits > 8 || digits == name.size() || (digits > 1 && number[0] == '0')) return {name};
    for (const char c : number) split.number = split.number * 10 + static_cast<std::uint32_t>(c - '0');
    split.ranged = true;
    return split;
}

FunctionNames::FunctionNames(const Function& function) {
    std::unordered_set<std::string> taken;
    for (const auto& info : function.registers)
        if (!info.name.empty()) taken.insert(info.name);
    std::map<std::string_view, std::uint32_t> next;
    registers.reserve(function.registers.size());
    for (const auto& info : function.registers) {
        std::string name = info.name;
        if (name.empty()) {
            const auto prefix = register_prefix(info.type);
            auto& number = next[prefix];
            do name = fmt::format("{}{}", prefix, ++number);
            while (taken.count(name) != 0);
        }
        registers.push_back(std::move(name));
    }
    taken.clear();
    for (const auto& label : function.labels)
        if (!label.name.empty()) taken.insert(label.name);
    labels.reserve(function.labels.size());
    for (std::size_t i = 0; i < function.labels.size(); i++) {
        std::string name = function.labels[i].name;
        if (name.empty()) {
            name = fmt::format("$L{}", i);
            while (taken.count(name) != 0) name += '_';
        }
        labels.push_back(std::move(name));
    }
}

} // namespace ptxgen
