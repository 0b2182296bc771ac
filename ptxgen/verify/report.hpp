#pragma once

#include "ptxgen/verify/verify.hpp"

#include <fmt/format.h>

namespace ptxgen::verifier {

/// Where findings go: fills in the function, the instruction and its location.
class Report {
public:
    Report(const Module& module, Target target, const VerifyOptions& options, std::vector<Diagnostic>& out)
        : module_(module), target_(target), options_(options), out_(out) {}

    const Module& module() const { return module_; }
    Target target() const { return target_; } ///< that the module says or needs
    const VerifyOptions& options() const { return options_; }
    std::size_t count() const { return out_.size(); }

    /// What compilers emit although it is doubtful: an error for built code, a warning for parsed code.
    Severity doubtful() const { return options_.parsed ? Severity::warning : Severity::error; }

    void add(Severity severity, std::string_view rule, std::string message, const Function* function = nullptr,
             SourceLocation location = {}) {
        Diagnostic diagnostic;
        diagnostic.severity = severity;
        diagnostic.rule = rule;
        diagnostic.message = std::move(message);
        if (function) diagnostic.function = function->name;
        diagnostic.location = location;
        out_.push_back(std::move(diagnostic));
    }

    void at(Severity severity, std::string_view rule, const Function& function, std::size_t instruction, int operand,
            std::string message) {
        add(severity, rule, std::move(message), &function, function.body[instruction].location);
        out_.back().instruction = static_cast<int>(instruction);
        out_.back().operand = operand;
    }

private:
    const Module& module_;
    Target target_;
    const VerifyOptions& options_;
    std::vector<Diagnostic>& out_;
};

/// Ids, choices and operand counts: what every other check relies on. False if one of them is wrong.
bool check_structure(Report& report, const Function& function);
/// Names, variables, parameters, directives, memory limits.
void check_module_declarations(Report& report);
void check_function_declarations(Report& report, const Function& function);
/// Modifier combinations; operand kinds, types, vector sizes, constants; guards.
void check_operands(Report& report, const Function& function);
/// Address registers, state spaces, alignment and bounds of symbols, writes to parameters.
void check_addresses(Report& report, const Function& function);
/// Registers read before they are assigned; running off the end.
void check_flow(Report& report, const Function& function);
/// Instructions, special registers and directives that version and target lack.
void check_availability(Report& report);

} // namespace ptxgen::verifier
