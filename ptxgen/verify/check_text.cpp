#include "ptxgen/text/lexer.hpp"
#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"

#include <algorithm>
#include <set>

namespace ptxgen {
namespace {

bool before(const SourceLocation& a, const SourceLocation& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/// Where operands stand in the text: an instruction's location is that of its opcode.
class OperandLocator {
public:
    explicit OperandLocator(std::string_view text) : tokens_(tokenize(text)) {}

    /// Location of the `index`th operand written behind the opcode at `opcode`; that of the opcode if there is none.
    SourceLocation find(SourceLocation opcode, std::size_t index) const {
        const auto& tokens = tokens_.tokens;
        auto at =
            std::lower_bound(tokens.begin(), tokens.end(), opcode,
                             [](const Token& token, const SourceLocation& l) { return before(token.location, l); });
        if (at == tokens.end() || at->location.line != opcode.line || at->location.column != opcode.column)
            return opcode;
        ++at;
        while (at->kind == TokenKind::dotted) ++at;
        int depth = 0;
        for (; index > 0; ++at) {
            if (at->kind == TokenKind::end || at->is(';')) return opcode;
            if (at->is('{') || at->is('[') || at->is('(')) depth++;
            if (at->is('}') || at->is(']') || at->is(')')) depth--;
            if (depth == 0 && (at->is(',') || at->is('|'))) index--;
        }
        return at->kind == TokenKind::end || at->is(';') ? opcode : at->location;
    }

private:
    Tokens tokens_;
};

/// Of several functions of one name, the one that has the instruction at the diagnostic's place.
const Instruction* instruction_of(const Module& module, const Diagnostic& diagnostic) {
    if (diagnostic.instruction < 0) return nullptr;
    const auto index = static_cast<std::size_t>(diagnostic.instruction);
    for (const auto& function : module.functions) {
        if (function.name != diagnostic.function || index >= function.body.size()) continue;
        const auto& location = function.body[index].location;
        if (location.line == diagnostic.location.line && location.column == diagnostic.location.column)
            return &function.body[index];
    }
    return nullptr;
}

} // namespace

Checked check_text(std::string_view text) {
    auto parsed = parse(text);
    VerifyOptions options;
    options.parsed = true;
    std::set<std::uint32_t> faulty_lines;
    for (const auto& diagnostic : parsed.diagnostics) {
        if (diagnostic.severity != Severity::error) continue;
        faulty_lines.insert(diagnostic.location.line);
        options.incomplete.push_back(diagnostic.function);
    }
    std::sort(options.incomplete.begin(), options.incomplete.end());
    options.incomplete.erase(std::unique(options.incomplete.begin(), options.incomplete.end()),
                             options.incomplete.end());

    const OperandLocator locator(text);
    for (auto& diagnostic : verify(parsed.module, options)) {
        if (faulty_lines.count(diagnostic.location.line) != 0) continue;
        if (const auto* instruction = instruction_of(parsed.module, diagnostic);
            instruction && diagnostic.operand >= 0) {
            std::size_t written = 0;
            for (int i = 0; i < diagnostic.operand; i++)
                written += instruction->operands[static_cast<std::size_t>(i)].kind != Operand::Kind::none;
            diagnostic.location = locator.find(diagnostic.location, written);
        }
        if (diagnostic.location.line == 0) diagnostic.location = {1, 1};
        parsed.diagnostics.push_back(std::move(diagnostic));
    }
    std::stable_sort(parsed.diagnostics.begin(), parsed.diagnostics.end(),
                     [](const Diagnostic& a, const Diagnostic& b) { return before(a.location, b.location); });
    return {std::move(parsed.module), std::move(parsed.diagnostics)};
}

} // namespace ptxgen
