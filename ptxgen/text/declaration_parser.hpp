#pragma once

#include "ptxgen/ir/ir.hpp"
#include "ptxgen/text/cursor.hpp"

namespace ptxgen {

/// Reads `.align 16 .b8 name[N][M] = {…}, other;` behind a state space, `;` included. False after an error; what was
/// read before it is in `out`.
bool parse_variables(Cursor& cursor, Space space, Linkage linkage, std::vector<Variable>& out);

/// Reads the parameters of a function, parentheses included.
bool parse_parameters(Cursor& cursor, std::vector<Parameter>& out);

/// One name or range of a `.reg` declaration.
struct RegisterDeclaration {
    std::string_view name;
    Type type = Type::none;
    std::optional<std::uint32_t> count; ///< `name<count>`
    SourceLocation location;
};
/// Reads what stands behind `.reg`, `;` included.
bool parse_registers(Cursor& cursor, std::vector<RegisterDeclaration>& out);

/// The state space that a declaration begins with (`.shared`), nothing for another token.
std::optional<Space> declared_space(const Token& token);

} // namespace ptxgen
