#pragma once

#include "ptxgen/isa/target.hpp"

#include <span>
#include <string_view>

namespace ptxgen {

/// A directive between a function's parameters and its body (PTX ISA 11.4): Function::directives.
struct FunctionDirective {
    std::string_view name; ///< without the dot
    unsigned min_arguments;
    unsigned max_arguments;
    bool kernel_only;
    Minimum minimum;
};

std::span<const FunctionDirective> function_directives();
const FunctionDirective* find_function_directive(std::string_view name); ///< nullptr for an unknown one

} // namespace ptxgen
