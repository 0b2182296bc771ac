#pragma once

#include "ptxgen/text/names.hpp"

#include <optional>

namespace ptxgen {

/// Prints instructions of one function; ids that name nothing print as `?`, so that anything can be shown.
class InstructionPrinter {
public:
    InstructionPrinter(const Module& module, const Function& function) : module_(module), function_(function) {}

    /// Made when first asked for: a check that finds nothing needs none.
    const FunctionNames& names() const {
        if (!names_) names_.emplace(function_);
        return *names_;
    }
    void append(std::string& out, const Instruction& instruction) const;
    void append(std::string& out, const Operand& operand) const;
    std::string symbol_name(SymbolScope scope, std::uint32_t id) const;

private:
    void append_operands(std::string& out, const Instruction& instruction) const;

    const Module& module_;
    const Function& function_;
    mutable std::optional<FunctionNames> names_;
};

/// An integer constant as printed: decimal, large positive ones in hexadecimal.
std::string integer_text(std::int64_t value);

} // namespace ptxgen
