#include "ptxgen/ir/directive.hpp"
#include "ptxgen/text/constant_expression.hpp"
#include "ptxgen/text/function_parser.hpp"
#include "ptxgen/text/text.hpp"

#include "ptxgen/base/nearest.hpp"

#include <fmt/format.h>

namespace ptxgen {
namespace {

class ModuleParser {
public:
    explicit ModuleParser(std::string_view text) : tokens_(tokenize(text)), cursor_(tokens_, result_.diagnostics) {}

    ParseResult run() {
        result_.module.comment = cursor_.take_comments();
        while (!cursor_.at_end()) {
            if (!parse_item()) recover();
            cursor_.set_function({});
        }
        if (!saw_version_) require(".version");
        if (!saw_target_) require(".target");
        return std::move(result_);
    }

private:
    void require(std::string_view directive) {
        cursor_.error("missing-directive", fmt::format("a module needs a {} directive", directive), {1, 1});
    }

    bool parse_item() {
        const Token& token = cursor_.peek();
        if (token.is(';')) return cursor_.take(), true;
        if (token.kind != TokenKind::dotted) {
            cursor_.expected("a directive, variable or function");
            cursor_.take();
            return false;
        }
        if (cursor_.accept_word(".version")) return parse_version();
        if (cursor_.accept_word(".target")) return parse_target_line();
        if (cursor_.accept_word(".address_size")) return parse_address_size();
        if (token.text == ".file" || token.text == ".loc") return cursor_.take(), cursor_.skip_line(), true;
        if (token.text == ".pragma") return cursor_.skip_statement(), true;
        if (token.text == ".section") return parse_section();
        return parse_definition();
    }

    bool parse_version() {
        saw_version_ = true;
        const Token& token = cursor_.take();
        const auto version = token.kind == TokenKind::floating ? parse_ptx_version(token.text) : std::nullopt;
        if (!version) {
            cursor_.error("version", fmt::format("expected a version such as 8.0, found {}", quoted(token)),
                          token.location);
            return true;
        }
        result_.module.version = *version;
        return true;
    }

    bool parse_target_line() {
        saw_target_ = true;
        do {
            const Token& token = cursor_.take();
            if (token.kind != TokenKind::name) {
                cursor_.error("target", fmt::format("expected a target such as sm_90, found {}", quoted(token)),
                              token.location);
                return true;
            }
            if (token.text.substr(0, 3) != "sm_") continue; // debug, texmode_independent, …
            const auto target = ptxgen::parse_target(token.text);
            if (!target || !introduced_in(*target)) {
                std::vector<std::string> names;
                for (const auto& known : known_targets()) names.push_back(to_string(known.target));
                const std::vector<std::string_view> views(names.begin(), names.end());
                cursor_.error("target",
                              fmt::format("unknown target {}{}", quoted(token), did_you_mean(token.text, views)),
                              token.location);
            } else {
                result_.module.target = *target;
            }
        } while (cursor_.accept(','));
        return true;
    }

    bool parse_address_size() {
        const auto location = cursor_.peek().location;
        const auto size = parse_integer(cursor_, "an address size");
        if (size && *size != 64)
            cursor_.error("address-size", fmt::format("only 64-bit addresses are supported, found {}", *size),
                          location);
        return true;
    }

    bool parse_section() {
        cursor_.take();
        if (cursor_.peek().kind == TokenKind::dotted || cursor_.peek().kind == TokenKind::name) cursor_.take();
        if (!cursor_.peek().is('{')) {
            cursor_.expected("'{' behind the name of a section");
            return false;
        }
        cursor_.skip_block();
        return true;
    }

    bool parse_definition() {
        const std::string comment = cursor_.take_comments();
        Linkage linkage = Linkage::internal;
        if (cursor_.accept_word(".visible"))
            linkage = Linkage::visible;
        else if (cursor_.accept_word(".extern"))
            linkage = Linkage::external;
        else if (cursor_.accept_word(".weak"))
            linkage = Linkage::weak;
        if (cursor_.accept_word(".entry")) return parse_function(true, linkage, comment);
        if (cursor_.accept_word(".func")) return parse_function(false, linkage, comment);
        if (const auto space = declared_space(cursor_.peek()); space && *space != Space::param) {
            cursor_.take();
            return parse_module_variables(*space, linkage, comment);
        }
        const Token& token = cursor_.peek();
        if (token.kind == TokenKind::dotted)
            cursor_.error("unknown-directive", fmt::format("directive {} is not supported here", quoted(token)));
        else
            cursor_.expected("a variable or function");
        return false;
    }

    bool parse_module_variables(Space space, Linkage linkage, const std::string& comment) {
        std::vector<Variable> variables;
        const bool ok = parse_variables(cursor_, space, linkage, variables);
        if (!variables.empty() && !comment.empty())
            variables.front().comment =
                comment + (variables.front().comment.empty() ? "" : "\n") + variables.front().comment;
        for (auto& variable : variables) {
            const auto id = static_cast<std::uint32_t>(result_.module.variables.size());
            declare(variable.name, Operand::symbol(SymbolScope::module_variable, id), variable.location, false);
            result_.module.variables.push_back(std::move(variable));
        }
        return ok;
    }

    void declare(const std::string& name, const Operand& operand, SourceLocation location, bool repeatable) {
        const auto [at, inserted] = names_.try_emplace(names_pool_.emplace_back(name), operand);
        if (inserted) return;
        if (repeatable && at->second.scope == SymbolScope::function) return;
        cursor_.error("duplicate-name", fmt::format("'{}' is already declared", name), location);
    }

    bool parse_function(bool is_kernel, Linkage linkage, const std::string& comment) {
        Function function;
        function.is_kernel = is_kernel;
        function.linkage = linkage;
        function.comment = comment;
        if (!is_kernel && cursor_.peek().is('(') && !parse_parameters(cursor_, function.returns)) skip_signature();
        const Token& name = cursor_.peek();
        if (name.kind == TokenKind::name) {
            cursor_.take();
            function.name = name.text;
            function.location = name.location;
            cursor_.set_function(function.name);
        } else {
            cursor_.expected(is_kernel ? "the name of a kernel" : "the name of a function");
            skip_signature();
        }
        if (cursor_.peek().is('(') && !parse_parameters(cursor_, function.parameters)) skip_signature();
        parse_directives(function);
        const auto id = static_cast<std::uint32_t>(result_.module.functions.size());
        const bool named = !function.name.empty();
        if (named) declare(function.name, Operand::symbol(SymbolScope::function, id), function.location, true);
        cursor_.drop_comments();
        if (cursor_.accept(';')) {
            function.is_declaration = true;
        } else if (cursor_.peek().is('{')) {
            FunctionParser(cursor_, names_, function).parse_body();
        } else {
            cursor_.expected("'{' before the body");
            return false;
        }
        if (named) result_.module.functions.push_back(std::move(function));
        return true;
    }

    /// After an error between a function's name and its body: the body is still read.
    void skip_signature() {
        while (!cursor_.at_end() && !cursor_.peek().is('{') && !cursor_.peek().is(';')) cursor_.take();
    }

    void parse_directives(Function& function) {
        while (cursor_.peek().kind == TokenKind::dotted) {
            const Token& token = cursor_.take();
            if (token.text == ".pragma") {
                cursor_.skip_statement();
                continue;
            }
            const auto* directive = find_function_directive(token.text.substr(1));
            if (!directive) {
                std::vector<std::string_view> names;
                for (const auto& known : function_directives()) names.push_back(known.name);
                cursor_.error(
                    "unknown-directive",
                    fmt::format("unknown directive {}{}", quoted(token), did_you_mean(token.text.substr(1), names)),
                    token.location);
                skip_signature();
                return;
            }
            std::vector<std::uint32_t> arguments;
            while (directive->max_arguments != 0 && arguments.size() < directive->max_arguments) {
                const auto location = cursor_.peek().location;
                const auto value = parse_integer(cursor_, fmt::format("an argument of {}", token.text));
                if (!value) return skip_signature();
                if (*value < 0 || *value > UINT32_MAX) {
                    cursor_.error("directive-argument", fmt::format("{} is out of range", *value), location);
                    return skip_signature();
                }
                arguments.push_back(static_cast<std::uint32_t>(*value));
                if (!cursor_.accept(',')) break;
            }
            function.directives.emplace_back(directive->name, std::move(arguments));
        }
    }

    /// Goes on with the next thing at module level.
    void recover() {
        while (!cursor_.at_end()) {
            if (cursor_.peek().is('{')) return cursor_.skip_block();
            if (cursor_.take().is(';')) return;
        }
    }

    ParseResult result_;
    Tokens tokens_;
    Cursor cursor_;
    ModuleNames names_;
    std::deque<std::string> names_pool_;
    bool saw_version_ = false;
    bool saw_target_ = false;
};

} // namespace

ParseResult parse(std::string_view text) { return ModuleParser(text).run(); }

} // namespace ptxgen
