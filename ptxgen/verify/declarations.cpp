#include "ptxgen/ir/directive.hpp"
#include "ptxgen/text/names.hpp"
#include "ptxgen/verify/report.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_map>

namespace ptxgen::verifier {
namespace {

constexpr std::uint64_t constant_bytes = 64 * 1024; // PTX ISA 5.1.3
constexpr std::uint64_t parameter_bytes = 32764;    // PTX ISA 5.1.6.1, from 8.1 on sm_70 on
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 40;

bool is_identifier(std::string_view name) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    if (name.empty()) return false;
    const bool marked = name[0] == '%' || name[0] == '_' || name[0] == '$';
    if (!letter(name[0]) && (!marked || name.size() < 2)) return false;
    for (const char c : name.substr(1))
        if (!letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '$') return false;
    return true;
}

/// Names of one scope.
class Names {
public:
    Names(Report& report, const Function* function) : report_(report), function_(function) {}

    void add(std::string_view name, std::string_view what, SourceLocation location, bool parsed_elsewhere = false) {
        if (!is_identifier(name) && !report_.options().parsed)
            report_.add(Severity::error, "invalid-name",
                        fmt::format("'{}' cannot name a {}: letters, digits, '_' and '$' may, after a letter, or after "
                                    "'_', '$' or '%' and one more",
                                    name, what),
                        function_, location);
        const auto [at, inserted] = first_.try_emplace(name, what);
        if (!inserted && !parsed_elsewhere)
            report_.add(Severity::error, "duplicate-name",
                        fmt::format("{} '{}' has the name of a {}", what, name, at->second), function_, location);
    }

private:
    Report& report_;
    const Function* function_;
    std::unordered_map<std::string_view, std::string_view> first_;
};

std::uint64_t aligned_end(std::uint64_t offset, const Variable& variable) {
    const std::uint64_t alignment =
        std::max<std::uint64_t>(variable.alignment ? variable.alignment : byte_size(variable.type), 1);
    return (offset + alignment - 1) / alignment * alignment + variable.byte_size();
}

void check_variable(Report& report, const Variable& variable, const Function* function) {
    const auto fail = [&](std::string_view rule, std::string message) {
        report.add(Severity::error, rule, fmt::format("variable '{}' {}", variable.name, message), function,
                   variable.location);
    };
    if (variable.type == Type::none || variable.type == Type::pred)
        return fail("variable-type", "cannot be a predicate: they live in registers only");
    if (variable.alignment != 0 && !std::has_single_bit(variable.alignment))
        fail("alignment", fmt::format("is aligned to {}, which is no power of two", variable.alignment));
    if (variable.count && *variable.count > most_bytes / byte_size(variable.type))
        return fail("array-size", "is larger than 2^40 bytes");
    if (variable.count && *variable.count == 0 && variable.linkage != Linkage::external)
        fail("array-size", "has no elements; only an external array may be of unknown size");
    if (!variable.initial.empty()) {
        if (variable.space != Space::global && variable.space != Space::constant)
            fail("initialiser",
                 fmt::format("lies in .{} memory, which has no initial values", to_string(variable.space)));
        else if (variable.linkage == Linkage::external)
            fail("initialiser", "is external: its definition has the initial values");
        else if (variable.initial.size() > variable.count.value_or(1))
            fail("initialiser", fmt::format("has {} initial values for {} elements", variable.initial.size(),
                                            variable.count.value_or(1)));
    }
    switch (variable.space) {
    case Space::local:
        if (!function) fail("state-space", "is local, but stands outside of any function");
        break;
    case Space::param:
        if (!function) fail("state-space", "is a parameter, but stands outside of any function");
        break;
    case Space::generic:
    case Space::shared_cluster: fail("state-space", "needs a state space of its own"); break;
    default: break;
    }
}

void check_directives(Report& report, const Function& function) {
    const auto fail = [&](std::string message) {
        report.add(Severity::error, "directive", std::move(message), &function, function.location);
    };
    bool maximum = false, required = false;
    for (const auto& [name, arguments] : function.directives) {
        const auto* directive = find_function_directive(name);
        if (!directive) {
            fail(fmt::format("unknown directive .{}", name));
            continue;
        }
        if (directive->kernel_only && !function.is_kernel) fail(fmt::format(".{} stands at kernels only", name));
        if (arguments.size() < directive->min_arguments || arguments.size() > directive->max_arguments)
            fail(fmt::format(".{} takes {} to {} numbers, found {}", name, directive->min_arguments,
                             directive->max_arguments, arguments.size()));
        for (const auto argument : arguments)
            if (argument == 0) fail(fmt::format(".{} takes positive numbers, found 0", name));
        maximum = maximum || name == "maxntid";
        required = required || name == "reqntid";
    }
    if (maximum && required) fail(".maxntid and .reqntid exclude each other");
}

/// Whether a declared name may be one that the printer gives to a register without a name: those begin with '%', differ
/// from each other, and from the names of the other registers.
bool may_meet_printed_names(const Function& function) {
    const auto marked = [](const auto& declared) { return !declared.name.empty() && declared.name[0] == '%'; };
    return std::any_of(function.parameters.begin(), function.parameters.end(), marked) ||
           std::any_of(function.returns.begin(), function.returns.end(), marked) ||
           std::any_of(function.variables.begin(), function.variables.end(), marked) ||
           std::any_of(function.labels.begin(), function.labels.end(), marked);
}

/// Module-level shared variables that a function's instructions name.
std::uint64_t shared_bytes(const Module& module, const Function& function) {
    std::vector<bool> used(module.variables.size());
    const auto mark = [&](const Operand& operand) {
        if (operand.scope == SymbolScope::module_variable && operand.id < used.size() &&
            (operand.kind == Operand::Kind::symbol || operand.base == Operand::Kind::symbol))
            used[operand.id] = true;
    };
    for (const auto& instruction : function.body)
        for (const auto& operand : instruction.operands) mark(operand);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < used.size(); i++)
        if (used[i] && module.variables[i].space == Space::shared) bytes = aligned_end(bytes, module.variables[i]);
    for (const auto& variable : function.variables)
        if (variable.space == Space::shared) bytes = aligned_end(bytes, variable);
    return bytes;
}

} // namespace

void check_module_declarations(Report& report) {
    const auto& module = report.module();
    Names names(report, nullptr);
    const bool by_parser = report.options().parsed; // the parser reports what it cannot declare
    std::uint64_t constants = 0;
    for (const auto& variable : module.variables) {
        names.add(variable.name, "variable", variable.location, by_parser);
        check_variable(report, variable, nullptr);
        if (variable.space == Space::constant) constants = aligned_end(constants, variable);
    }
    std::unordered_map<std::string_view, const Function*> functions;
    for (const auto& function : module.functions) {
        const auto [at, inserted] = functions.try_emplace(function.name, &function);
        if (inserted) {
            names.add(function.name, function.is_kernel ? "kernel" : "function", function.location, by_parser);
            continue;
        }
        if (at->second->is_kernel != function.is_kernel)
            report.add(Severity::error, "duplicate-name",
                       fmt::format("'{}' is both a kernel and a function", function.name), &function,
                       function.location);
        else if (!at->second->is_declaration && !function.is_declaration)
            report.add(Severity::error, "duplicate-name", fmt::format("'{}' is defined twice", function.name),
                       &function, function.location);
        if (!function.is_declaration) at->second = &function;
    }
    if (constants > constant_bytes)
        report.add(Severity::error, "memory-limit",
                   fmt::format("constant variables take {} bytes, of {} that there are", constants, constant_bytes));
}

void check_function_declarations(Report& report, const Function& function) {
    std::optional<FunctionNames> made;
    const auto printed = [&]() -> const FunctionNames& { return made ? *made : made.emplace(function); };
    Names names(report, &function);
    std::uint64_t bytes = 0;
    for (const auto* list : {&function.parameters, &function.returns}) {
        for (const auto& parameter : *list) {
            names.add(parameter.name, "parameter", parameter.location);
            if (parameter.type == Type::none || parameter.type == Type::pred)
                report.add(Severity::error, "variable-type",
                           fmt::format("parameter '{}' cannot be a predicate", parameter.name), &function,
                           parameter.location);
            if (parameter.alignment != 0 && !std::has_single_bit(parameter.alignment))
                report.add(Severity::error, "alignment",
                           fmt::format("parameter '{}' is aligned to {}, which is no power of two", parameter.name,
                                       parameter.alignment),
                           &function, parameter.location);
            if (list == &function.parameters) bytes += parameter.byte_size();
        }
    }
    if (function.is_kernel && !function.returns.empty())
        report.add(Severity::error, "directive", fmt::format("kernel '{}' cannot return values", function.name),
                   &function, function.location);
    if (function.is_kernel && bytes > parameter_bytes)
        report.add(Severity::error, "memory-limit",
                   fmt::format("the parameters of '{}' take {} bytes, of {} that there are", function.name, bytes,
                               parameter_bytes),
                   &function, function.location);
    for (const auto& variable : function.variables) {
        names.add(variable.name, "variable", variable.location);
        check_variable(report, variable, &function);
        if (variable.linkage == Linkage::external)
            report.add(Severity::error, "state-space",
                       fmt::format("external variable '{}' must be declared outside of functions", variable.name),
                       &function, variable.location);
    }
    const bool all_registers = may_meet_printed_names(function);
    for (std::size_t i = 0; i < function.registers.size(); i++) {
        const auto& info = function.registers[i];
        if (all_registers || !info.name.empty()) names.add(printed().registers[i], "register", {});
        if (info.type == Type::none || info.type == Type::bf16 || info.type == Type::bf16x2 || info.type == Type::tf32)
            report.add(
                Severity::error, "operand-type",
                fmt::format("register '{}' is declared as .{}; values of this type live in .b16 and .b32 registers",
                            printed().registers[i], to_string(info.type)),
                &function);
    }
    for (std::size_t i = 0; i < function.labels.size(); i++)
        if (const auto& label = function.labels[i]; label.placed)
            names.add(label.name.empty() ? printed().labels[i] : label.name, "label", {});
    check_directives(report, function);
    const auto limit = shared_memory_limits(report.target()).static_bytes;
    if (const auto shared = shared_bytes(report.module(), function); function.is_kernel && shared > limit)
        report.add(
            Severity::error, "memory-limit",
            fmt::format("static shared memory of '{}' takes {} bytes, of {} that {} has; use an external array, whose "
                        "size the launch gives",
                        function.name, shared, limit, to_string(report.target())),
            &function, function.location);
}

} // namespace ptxgen::verifier
