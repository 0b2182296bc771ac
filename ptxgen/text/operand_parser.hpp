#pragma once

#include "ptxgen/ir/ir.hpp"
#include "ptxgen/text/cursor.hpp"

#include <span>

namespace ptxgen {

/// What names mean at a place in the text.
class NameResolver {
public:
    virtual ~NameResolver() = default;
    /// A register, symbol or label operand; nothing for an unknown name.
    virtual std::optional<Operand> resolve(std::string_view name) = 0;
    /// A label that is not declared anywhere: still an operand, so that the verifier reports it with its user.
    virtual std::optional<Operand> undeclared_label(std::string_view name) = 0;
    /// Names that could have been meant, for messages.
    virtual std::vector<std::string_view> names() const = 0;
};

struct ParsedOperand {
    Operand operand;
    SourceLocation location;
    bool joined = false; ///< written behind '|'
    bool list = false;   ///< in parentheses (call)
};

/// Reads operands by their shape alone; which of them an instruction takes is decided later.
class OperandParser {
public:
    /// `placeholders` are what `{N}` stands for.
    OperandParser(Cursor& cursor, NameResolver& names, std::span<const Operand> placeholders)
        : cursor_(cursor), names_(names), placeholders_(placeholders) {}

    /// Operands up to `;`, which is left. Nothing after an error.
    std::optional<std::vector<ParsedOperand>> parse_list(bool branches);
    /// The register behind '@', with its '!'.
    std::optional<Operand> parse_guard();

private:
    std::optional<Operand> parse_operand();
    std::optional<Operand> parse_name();
    std::optional<Operand> parse_vector(char close);
    std::optional<Operand> parse_address();
    std::optional<Operand> parse_placeholder();
    bool parse_offset(Operand& operand);

    Cursor& cursor_;
    NameResolver& names_;
    std::span<const Operand> placeholders_;
    bool branches_ = false;
    int depth_ = 0;
};

/// What an operand is, for messages: "register", "integer constant", "address".
std::string describe(const Operand& operand);

} // namespace ptxgen
