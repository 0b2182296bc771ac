#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/inference/jinja/value.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace ptxgen::jinja {

/// The part of the Jinja template language that chat templates use, rendered as Python's jinja2 does with
/// `trim_blocks` and `lstrip_blocks` (the settings of Hugging Face transformers). Statements: if, for, set, macro;
/// all operators but `**`; see builtins.cpp for filters, tests, methods and functions. What is not supported is an
/// error when it is reached, not when the template is read. Templates are bounded in nesting, steps and output, so that
/// a hostile one ends in an error.
class Template {
public:
    /// Errors have the line: syntax, unsupported statements.
    static Result<Template> parse(std::string_view source);
    Template(Template&&) noexcept;
    Template& operator=(Template&&) noexcept;
    ~Template();

    /// `variables`: what the template's names stand for; others are undefined. Errors have the line; what the template
    /// raises itself (raise_exception) is an error with its message.
    Result<std::string> render(const Dict& variables) const;

private:
    struct Impl;
    explicit Template(std::unique_ptr<const Impl> impl);
    std::unique_ptr<const Impl> impl_;
};

} // namespace ptxgen::jinja
