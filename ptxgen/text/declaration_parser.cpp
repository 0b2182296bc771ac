#include "ptxgen/text/declaration_parser.hpp"

#include "ptxgen/text/constant_expression.hpp"

#include <bit>

#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{1} << 40;   // of a variable
constexpr std::uint64_t most_initial = std::uint64_t{1} << 24; // elements of an initialiser, gaps included
constexpr std::size_t most_dimensions = 8;
constexpr std::uint32_t largest_alignment = 1u << 16;

bool parse_alignment(Cursor& cursor, std::uint32_t& out) {
    const auto location = cursor.peek().location;
    const auto value = parse_integer(cursor, "an alignment in bytes");
    if (!value) return false;
    if (*value <= 0 || *value > largest_alignment || !std::has_single_bit(static_cast<std::uint64_t>(*value))) {
        cursor.error("alignment",
                     fmt::format("an alignment is a power of two up to {}, found {}", largest_alignment, *value),
                     location);
        return false;
    }
    out = static_cast<std::uint32_t>(*value);
    return true;
}

/// The type that a token names; reports types that are missing or that cannot be declared.
std::optional<Type> parse_declared_type(Cursor& cursor) {
    const Token& token = cursor.peek();
    const auto type = token.kind == TokenKind::dotted ? parse_type(token.text.substr(1)) : std::nullopt;
    if (!type || *type == Type::tf32 ||
        (bit_width(*type) == 8 && type_class(*type) == TypeClass::bits && *type != Type::b8)) {
        cursor.expected("a type such as .b32");
        return std::nullopt;
    }
    cursor.take();
    return type;
}

struct Dimensions {
    std::vector<std::uint64_t> sizes; ///< 0 for `[]`
    std::uint64_t count = 1;
};

bool parse_dimensions(Cursor& cursor, Dimensions& out) {
    while (cursor.accept('[')) {
        const auto location = cursor.peek().location;
        std::int64_t size = 0;
        if (!cursor.peek().is(']')) {
            const auto value = parse_integer(cursor, "the number of elements");
            if (!value) return false;
            size = *value;
        }
        if (!cursor.expect(']', "after the number of elements")) return false;
        const auto limit = static_cast<std::int64_t>(most_bytes / std::max<std::uint64_t>(out.count, 1));
        if (size < 0 || size > limit || out.sizes.size() == most_dimensions) {
            cursor.error("array-size", "an array has at most 8 dimensions and 2^40 elements, none of them negative",
                         location);
            return false;
        }
        out.sizes.push_back(static_cast<std::uint64_t>(size));
        out.count *= static_cast<std::uint64_t>(size);
    }
    return true;
}

class InitialiserParser {
public:
    InitialiserParser(Cursor& cursor, Variable& variable, const Dimensions& dimensions)
        : cursor_(cursor), variable_(variable), dimensions_(dimensions) {}

    bool run() {
        if (dimensions_.sizes.empty() && !cursor_.peek().is('{')) return element(0);
        std::uint64_t at = 0;
        return row(0, at);
    }

private:
    /// Elements below one element of dimension `level`.
    std::uint64_t stride(std::size_t level) const {
        std::uint64_t product = 1;
        for (std::size_t i = level + 1; i < dimensions_.sizes.size(); i++) product *= dimensions_.sizes[i];
        return product;
    }

    bool row(std::size_t level, std::uint64_t& at) {
        if (!cursor_.expect('{', "before initial values")) return false;
        const std::uint64_t begin = at;
        while (!cursor_.peek().is('}')) {
            if (cursor_.peek().is('{')) {
                if (level + 1 >= std::max<std::size_t>(dimensions_.sizes.size(), 1)) {
                    cursor_.error("initialiser", "more braces than the array has dimensions");
                    return false;
                }
                const auto next = at + stride(level);
                if (!row(level + 1, at)) return false;
                at = next;
            } else if (!element(at++)) {
                return false;
            }
            if (!cursor_.accept(',')) break;
        }
        const std::uint64_t size = dimensions_.sizes.empty() ? 1 : dimensions_.sizes[level];
        if (size != 0 && at - begin > size * stride(level)) {
            cursor_.error("initialiser",
                          fmt::format("{} initial values for {} elements", at - begin, size * stride(level)));
            return false;
        }
        return cursor_.expect('}', "after initial values");
    }

    bool element(std::uint64_t at) {
        if (cursor_.peek().kind == TokenKind::name && !starts_constant(cursor_.peek())) {
            cursor_.error("initialiser",
                          "an initial value must be a number; addresses of variables are not supported here");
            return false;
        }
        const auto location = cursor_.peek().location;
        const auto constant = parse_constant(cursor_);
        if (!constant) return false;
        if (at >= most_initial) {
            cursor_.error("initialiser", fmt::format("more than {} initial values", most_initial), location);
            return false;
        }
        const bool floating = constant->kind != Constant::Kind::integer;
        std::uint64_t bits = std::bit_cast<std::uint64_t>(constant->value);
        if (floating && variable_.type == Type::f32 && constant->kind == Constant::Kind::f64_bits)
            bits = std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
        else if (floating && variable_.type == Type::f64 && constant->kind == Constant::Kind::f32_bits)
            bits = std::bit_cast<std::uint64_t>(double{std::bit_cast<float>(static_cast<std::uint32_t>(bits))});
        else if (floating && bit_width(variable_.type) != (constant->kind == Constant::Kind::f32_bits ? 32u : 64u)) {
            cursor_.error("initialiser",
                          fmt::format("a floating constant cannot initialise a .{}", to_string(variable_.type)),
                          location);
            return false;
        }
        const unsigned width = bit_width(variable_.type);
        if (width < 64) bits &= (std::uint64_t{1} << width) - 1;
        if (variable_.initial.size() <= at) variable_.initial.resize(at + 1);
        variable_.initial[at] = bits;
        return true;
    }

    Cursor& cursor_;
    Variable& variable_;
    const Dimensions& dimensions_;
};

bool parse_variable(Cursor& cursor, Variable& variable, std::uint32_t vector) {
    const Token& name = cursor.peek();
    if (name.kind != TokenKind::name) {
        cursor.expected("the name of a variable");
        return false;
    }
    cursor.take();
    variable.name = name.text;
    variable.location = name.location;
    Dimensions dimensions;
    if (!parse_dimensions(cursor, dimensions)) return false;
    const bool open = !dimensions.sizes.empty() && dimensions.sizes.front() == 0;
    if (!dimensions.sizes.empty()) variable.count = dimensions.count;
    if (vector != 1) {
        variable.count = variable.count.value_or(1) * vector;
        dimensions.sizes.push_back(vector);
        if (variable.alignment == 0) variable.alignment = vector * byte_size(variable.type);
    }
    if (cursor.accept('=')) {
        if (!InitialiserParser(cursor, variable, dimensions).run()) return false;
        if (open) variable.count = variable.initial.size();
    }
    return true;
}

bool parse_pointer_attributes(Cursor& cursor, Parameter& parameter) {
    parameter.pointer = true;
    if (const auto space = declared_space(cursor.peek())) {
        parameter.pointer_space = *space;
        cursor.take();
    }
    return !cursor.accept_word(".align") || parse_alignment(cursor, parameter.pointer_alignment);
}

bool parse_parameter(Cursor& cursor, Parameter& parameter) {
    if (cursor.accept_word(".reg")) {
        cursor.error("parameter", "register parameters are not supported: declare it with .param",
                     cursor.previous().location);
        return false;
    }
    if (!cursor.accept_word(".param")) {
        cursor.expected("'.param'");
        return false;
    }
    if (cursor.accept_word(".align") && !parse_alignment(cursor, parameter.alignment)) return false;
    const auto type = parse_declared_type(cursor);
    if (!type) return false;
    parameter.type = *type;
    while (cursor.peek().kind == TokenKind::dotted) {
        if (cursor.accept_word(".ptr")) {
            if (!parse_pointer_attributes(cursor, parameter)) return false;
        } else if (cursor.accept_word(".align")) {
            if (!parse_alignment(cursor, parameter.alignment)) return false;
        } else {
            cursor.expected("the name of a parameter");
            return false;
        }
    }
    const Token& name = cursor.peek();
    if (name.kind != TokenKind::name) {
        cursor.expected("the name of a parameter");
        return false;
    }
    cursor.take();
    parameter.name = name.text;
    parameter.location = name.location;
    Dimensions dimensions;
    if (!parse_dimensions(cursor, dimensions)) return false;
    if (!dimensions.sizes.empty()) parameter.count = dimensions.count;
    return true;
}

} // namespace

std::optional<Space> declared_space(const Token& token) {
    if (token.kind != TokenKind::dotted) return std::nullopt;
    const auto word = token.text.substr(1);
    if (word == "global") return Space::global;
    if (word == "shared") return Space::shared;
    if (word == "const") return Space::constant;
    if (word == "local") return Space::local;
    if (word == "param") return Space::param;
    return std::nullopt;
}

bool parse_variables(Cursor& cursor, Space space, Linkage linkage, std::vector<Variable>& out) {
    Variable common;
    common.space = space;
    common.linkage = linkage;
    common.comment = cursor.take_comments();
    std::uint32_t vector = 1;
    if (cursor.accept_word(".align") && !parse_alignment(cursor, common.alignment)) return false;
    if (cursor.accept_word(".v2")) vector = 2;
    if (cursor.accept_word(".v4")) vector = 4;
    const auto type = parse_declared_type(cursor);
    if (!type) return false;
    if (*type == Type::pred) {
        cursor.error("variable-type", "predicates live in registers only", cursor.previous().location);
        return false;
    }
    common.type = *type;
    do {
        out.push_back(common);
        if (!parse_variable(cursor, out.back(), vector)) {
            if (out.back().name.empty()) out.pop_back();
            return false;
        }
        common.comment.clear();
    } while (cursor.accept(','));
    if (!cursor.expect_semicolon("after a declaration")) return false;
    if (const auto comment = cursor.take_trailing_comment(); !comment.empty())
        out.back().comment += (out.back().comment.empty() ? "" : "\n") + comment;
    return true;
}

bool parse_parameters(Cursor& cursor, std::vector<Parameter>& out) {
    if (!cursor.expect('(', "before parameters")) return false;
    cursor.drop_comments();
    if (cursor.accept(')')) return true;
    while (true) {
        Parameter parameter;
        parameter.comment = cursor.take_comments();
        if (!parse_parameter(cursor, parameter)) return false;
        const bool more = cursor.accept(',');
        if (const auto comment = cursor.take_trailing_comment(); !comment.empty())
            parameter.comment += (parameter.comment.empty() ? "" : "\n") + comment;
        out.push_back(std::move(parameter));
        if (!more) return cursor.expect(')', "after parameters");
    }
}

bool parse_registers(Cursor& cursor, std::vector<RegisterDeclaration>& out) {
    if (cursor.peek().is(TokenKind::dotted, ".v2") || cursor.peek().is(TokenKind::dotted, ".v4")) {
        cursor.error("register-type", "vector registers are not supported: declare one register for each element");
        return false;
    }
    const auto type = parse_declared_type(cursor);
    if (!type) return false;
    if (*type == Type::bf16 || *type == Type::bf16x2) {
        cursor.error("register-type",
                     fmt::format("values of type .{} live in .b{} registers", to_string(*type), bit_width(*type)),
                     cursor.previous().location);
        return false;
    }
    do {
        RegisterDeclaration declaration;
        const Token& name = cursor.peek();
        if (name.kind != TokenKind::name) {
            cursor.expected("the name of a register");
            return false;
        }
        cursor.take();
        declaration.name = name.text;
        declaration.type = *type;
        declaration.location = name.location;
        if (cursor.accept('<')) {
            const auto location = cursor.peek().location;
            const Token& count = cursor.peek();
            if (count.kind != TokenKind::integer || count.value < 1 || count.value > UINT32_MAX) {
                cursor.error("register-range", fmt::format("expected the number of registers, found {}", quoted(count)),
                             location);
                return false;
            }
            cursor.take();
            declaration.count = static_cast<std::uint32_t>(count.value);
            if (!cursor.expect('>', "after the number of registers")) return false;
        }
        out.push_back(declaration);
    } while (cursor.accept(','));
    return cursor.expect_semicolon("after a declaration");
}

} // namespace ptxgen
