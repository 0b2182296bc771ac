#pragma once

#include "ptxgen/text/declaration_parser.hpp"
#include "ptxgen/text/form_selector.hpp"

#include <deque>
#include <unordered_map>

namespace ptxgen {

/// Names at module scope, as symbol operands.
using ModuleNames = std::unordered_map<std::string_view, Operand>;

/// Reads the body of one function. Nested `{ }` scopes are flattened: what has the name of something else in the
/// function gets a suffix.
class FunctionParser : NameResolver {
public:
    FunctionParser(Cursor& cursor, const ModuleNames& module_names, Function& function);

    /// The body, braces included.
    void parse_body();

private:
    struct Range {
        Type type;
        std::uint32_t count;
    };
    struct Scope {
        std::unordered_map<std::string_view, Operand> names;
        std::unordered_map<std::string_view, Range> ranges; ///< by prefix
    };

    std::optional<Operand> resolve(std::string_view name) override;
    std::optional<Operand> undeclared_label(std::string_view name) override;
    std::vector<std::string_view> names() const override;

    void find_labels();
    void open_scope();
    void parse_statement();
    bool parse_directive();
    bool parse_pragma();
    void parse_label();
    void parse_instruction();
    void declare(std::string_view name, const Operand& operand, SourceLocation location);
    void declare(const RegisterDeclaration& declaration);
    void make_names_unique();

    Cursor& cursor_;
    const ModuleNames& module_names_;
    Function& function_;
    std::vector<Scope> scopes_;
    std::string pragma_;                 ///< that waits for the next instruction
    std::deque<std::string> names_pool_; ///< of variables: what the keys of `names` point to
    /// Labels by the index of the token that opens their scope.
    std::unordered_map<std::size_t, std::vector<std::pair<std::string_view, std::uint32_t>>> labels_;
};

/// Reads one instruction up to and including its `;`; with `semicolon_optional` the text may end instead.
bool parse_instruction_text(Cursor& cursor, NameResolver& names, const Function& function,
                            std::span<const Operand> placeholders, std::optional<Minimum> unknown_minimum,
                            bool semicolon_optional, Instruction& out);

} // namespace ptxgen
