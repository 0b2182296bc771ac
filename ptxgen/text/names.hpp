#pragma once

#include "ptxgen/ir/ir.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

/// Names of a function's registers and labels as printed: those that have none get a number that no other name takes.
struct FunctionNames {
    std::vector<std::string> registers;
    std::vector<std::string> labels;

    explicit FunctionNames(const Function& function);
};

/// "%r12" -> {"%r", 12}: a name that a range `.reg .b32 %r<N>` can declare. Without a number: `ranged` is false.
struct NumberedName {
    std::string_view prefix;
    std::uint32_t number = 0;
    bool ranged = false;
};
NumberedName split_number(std::string_view name);

} // namespace ptxgen
