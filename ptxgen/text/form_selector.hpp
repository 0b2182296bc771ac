#pragma once

#include "ptxgen/text/operand_parser.hpp"

namespace ptxgen {

/// An instruction in pieces: the opcode's first word, its modifiers and its operands.
struct InstructionText {
    const Token* head = nullptr;
    std::vector<const Token*> modifiers; ///< dotted tokens
    std::vector<ParsedOperand> operands;
};

/// Finds the row of the table that an instruction is, and puts its operands into the row's positions. The first row
/// whose modifiers match and whose operands fit in kind and type is taken; without one, the first that fits in kind.
/// On failure reports what comes closest and returns false.
bool select_form(Cursor& cursor, const Function& function, InstructionText& text, Instruction& out);

} // namespace ptxgen
