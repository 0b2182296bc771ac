#pragma once

#include "runtime/inference/jinja/value.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ptxgen::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
    std::string name; ///< empty for a positional one
    ExpressionPtr value;
};

struct Expression {
    enum class Kind {
        literal,     ///< value
        name,        ///< text
        list,        ///< children
        dict,        ///< children: key, value, key, value, …
        attribute,   ///< children[0].text
        item,        ///< children[0][children[1]]
        slice,       ///< children[0][children[1]:children[2]:children[3]], null where left out
        call,        ///< children[0](arguments)
        filter,      ///< children[0] | text(arguments)
        test,        ///< children[0] is text(arguments)
        unary,       ///< text children[0]; "not", "-", "+"
        binary,      ///< children[0] text children[1]
        comparison,  ///< as binary, chained: children[0] operators[0] children[1] operators[1] …
        conditional, ///< children[0] if children[1] else children[2] (null: undefined)
    };
    Kind kind;
    std::size_t line = 0;
    int height = 1; ///< levels of children below and including this one; bounded by the parser
    std::string text;
    Value value;
    std::vector<ExpressionPtr> children;
    std::vector<Argument> arguments;
    std::vector<std::string> operators;
};

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
    enum class Kind {
        text,      ///< text
        output,    ///< expression
        condition, ///< branches; a null expression is `else`
        loop,      ///< for names in expression if filter: body, otherwise (if empty)
        set,       ///< names = expression; with `attribute` names[0].attribute
        capture,   ///< names[0] = what body prints
        macro,     ///< text(parameters): body
    };
    struct Branch {
        ExpressionPtr condition;
        Body body;
    };
    Statement(Kind of, std::size_t at_line) : kind(of), line(at_line) {}
    Kind kind;
    std::size_t line;
    std::string text, attribute;
    std::vector<std::string> names;
    ExpressionPtr expression, filter;
    std::vector<Branch> branches;
    std::vector<Argument> parameters; ///< value: the default, or null
    Body body, otherwise;
};

/// Throws Failure.
Body parse(std::string_view source);

} // namespace ptxgen::jinja
