#include "ptxgen/text/names.hpp"

#include <array>
#include <charconv>
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
    struct Series {
        std::string_view prefix;
        std::uint32_t* last = nullptr; ///< number given last to this prefix, which several types may have
    };
    std::map<std::string_view, std::uint32_t> numbers;
    std::array<Series, static_cast<std::size_t>(Type::e5m2x2) + 1> series{};
    registers.reserve(function.registers.size());
    for (const auto& info : function.registers) {
        if (!info.name.empty()) {
            registers.push_back(info.name);
            continue;
        }
        Series& of_type = series[static_cast<std::size_t>(info.type)];
        if (!of_type.last) {
            of_type.prefix = register_prefix(info.type);
            of_type.last = &numbers[of_type.prefix];
        }
        std::string& name = registers.emplace_back();
        do {
            std::array<char, 16> digits; // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), ++*of_type.last).ptr;
            name.assign(of_type.prefix).append(digits.data(), end);
        } while (!taken.empty() && taken.count(name) != 0);
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
