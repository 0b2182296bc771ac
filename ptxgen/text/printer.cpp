#include "ptxgen/text/instruction_printer.hpp"
#include "ptxgen/text/text.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace ptxgen {
namespace {

void append_comment(std::string& out, std::string_view comment, std::string_view indent) {
    while (!comment.empty()) {
        const auto end = comment.find('\n');
        const auto line = comment.substr(0, end);
        out += fmt::format("{}//{}{}\n", indent, line.empty() ? "" : " ", line);
        comment = end == std::string_view::npos ? std::string_view{} : comment.substr(end + 1);
    }
}

std::string_view linkage_text(Linkage linkage) {
    switch (linkage) {
    case Linkage::internal: return "";
    case Linkage::visible: return ".visible ";
    case Linkage::external: return ".extern ";
    case Linkage::weak: return ".weak ";
    }
    return "";
}

std::string initial_text(Type type, std::uint64_t bits) {
    if (type == Type::f32) return fmt::format("0f{:08X}", static_cast<std::uint32_t>(bits));
    if (type == Type::f64) return fmt::format("0d{:016X}", bits);
    if (type_class(type) == TypeClass::signed_integer) {
        const unsigned shift = 64 - bit_width(type);
        return fmt::format("{}", static_cast<std::int64_t>(bits << shift) >> shift);
    }
    return bits > 99999 ? fmt::format("{:#x}", bits) : fmt::format("{}", bits);
}

void append_variable(std::string& out, const Variable& variable, std::string_view indent) {
    append_comment(out, variable.comment, indent);
    out += fmt::format("{}{}.{}", indent, linkage_text(variable.linkage), to_string(variable.space));
    if (variable.alignment != 0) out += fmt::format(" .align {}", variable.alignment);
    out += fmt::format(" .{} {}", to_string(variable.type), variable.name);
    if (variable.count) out += *variable.count == 0 ? "[]" : fmt::format("[{}]", *variable.count);
    if (!variable.initial.empty()) {
        out += " = ";
        if (variable.count) out += '{';
        for (std::size_t i = 0; i < variable.initial.size(); i++) {
            if (i != 0) out += i % 16 == 0 ? fmt::format(",\n{}    ", indent) : ", ";
            out += initial_text(variable.type, variable.initial[i]);
        }
        if (variable.count) out += '}';
    }
    out += ";\n";
}

std::string parameter_text(const Parameter& parameter) {
    std::string out = ".param";
    if (parameter.alignment != 0) out += fmt::format(" .align {}", parameter.alignment);
    out += fmt::format(" .{}", to_string(parameter.type));
    if (parameter.pointer) {
        out += " .ptr";
        if (parameter.pointer_space != Space::generic) out += fmt::format(" .{}", to_string(parameter.pointer_space));
        if (parameter.pointer_alignment != 0) out += fmt::format(" .align {}", parameter.pointer_alignment);
    }
    out += fmt::format(" {}", parameter.name);
    if (parameter.count) out += *parameter.count == 0 ? "[]" : fmt::format("[{}]", *parameter.count);
    return out;
}

void append_parameters(std::string& out, const std::vector<Parameter>& parameters) {
    out += '(';
    for (std::size_t i = 0; i < parameters.size(); i++) {
        out += fmt::format("\n    {}{}", parameter_text(parameters[i]), i + 1 < parameters.size() ? "," : "");
        std::string meaning = parameters[i].comment;
        std::replace(meaning.begin(), meaning.end(), '\n', ' ');
        if (!meaning.empty()) out += "  // " + meaning;
    }
    out += parameters.empty() ? ")" : "\n)";
}

/// Registers that occur in a function's instructions.
class UsedRegisters {
public:
    explicit UsedRegisters(const Function& function) : used_(function.registers.size()) {
        for (const auto& instruction : function.body) {
            if (instruction.guard) mark(*instruction.guard);
            for (const auto& operand : instruction.operands) mark(operand);
        }
    }
    bool operator[](std::size_t index) const { return used_[index]; }

private:
    void mark(const Operand& operand) {
        const bool has_register = operand.kind == Operand::Kind::reg ||
                                  (operand.kind == Operand::Kind::address && operand.base == Operand::Kind::reg);
        if (has_register && operand.id < used_.size()) used_[operand.id] = true;
        for (const auto& element : operand.elements) mark(element);
    }
    std::vector<bool> used_;
};

void append_registers(std::string& out, const Function& function, const FunctionNames& names) {
    struct Family {
        std::string_view prefix;
        Type type;
        std::uint32_t end = 0; ///< one past the highest number
        std::vector<std::string_view> members;
        bool ranged = false;
    };
    const UsedRegisters used(function);
    std::map<std::pair<std::string_view, Type>, Family> families;
    std::array<Family*, static_cast<std::size_t>(Type::e5m2x2) + 1> latest{}; // of each type: mostly the next one's too
    std::map<std::string_view, unsigned> types_of_prefix;
    std::map<Type, std::vector<std::string_view>> singles;
    for (std::size_t i = 0; i < names.registers.size(); i++) {
        if (!used[i]) continue;
        const auto split = split_number(names.registers[i]);
        const Type type = function.registers[i].type;
        if (!split.ranged) {
            singles[type].push_back(names.registers[i]);
            continue;
        }
        Family*& family = latest[static_cast<std::size_t>(type)];
        if (!family || family->prefix != split.prefix) {
            const auto [at, inserted] =
                families.try_emplace({split.prefix, type}, Family{split.prefix, type, 0, {}, false});
            if (inserted) types_of_prefix[split.prefix]++;
            family = &at->second;
        }
        family->end = std::max(family->end, split.number + 1);
        family->members.push_back(names.registers[i]);
    }
    std::map<Type, std::vector<const Family*>> ranges;
    for (auto& [key, family] : families) {
        // A range declares all of its numbers: no good if they are sparse, if another type has some of them, or if a
        // label may be called so.
        family.ranged = family.prefix[0] == '%' && types_of_prefix[family.prefix] == 1 &&
                        family.end <= 64 + 8 * family.members.size();
        if (family.ranged)
            ranges[family.type].push_back(&family);
        else
            singles[family.type].insert(singles[family.type].end(), family.members.begin(), family.members.end());
    }
    for (int t = 0; t <= static_cast<int>(Type::e5m2x2); t++) {
        const auto type = static_cast<Type>(t);
        for (const auto* family : ranges[type])
            out += fmt::format("    .reg .{} {}<{}>;\n", to_string(type), family->prefix, family->end);
        const auto& list = singles[type];
        for (std::size_t i = 0; i < list.size(); i++)
            out += fmt::format("{}{}{}", i % 8 == 0 ? fmt::format("    .reg .{} ", to_string(type)) : ", ", list[i],
                               i % 8 == 7 || i + 1 == list.size() ? ";\n" : "");
    }
}

void append_signature(std::string& out, const Function& function) {
    append_comment(out, function.comment, "");
    out += linkage_text(function.linkage);
    out += function.is_kernel ? ".entry " : ".func ";
    if (!function.returns.empty()) {
        out += '(';
        for (std::size_t i = 0; i < function.returns.size(); i++)
            out += (i == 0 ? "" : ", ") + parameter_text(function.returns[i]);
        out += ") ";
    }
    out += function.name;
    append_parameters(out, function.parameters);
    for (const auto& [name, arguments] : function.directives) {
        out += fmt::format("\n.{}", name);
        for (std::size_t i = 0; i < arguments.size(); i++) out += fmt::format("{} {}", i == 0 ? "" : ",", arguments[i]);
    }
}

void append_function(std::string& out, const Module& module, const Function& function) {
    append_signature(out, function);
    if (function.is_declaration) {
        out += ";\n";
        return;
    }
    out += "\n{\n";
    const InstructionPrinter printer(module, function);
    std::string declarations;
    append_registers(declarations, function, printer.names());
    for (const auto& variable : function.variables) append_variable(declarations, variable, "    ");
    out += declarations;
    if (!declarations.empty()) out += '\n';

    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < function.labels.size(); i++)
        if (function.labels[i].placed) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return function.labels[a].position < function.labels[b].position;
    });
    std::size_t next = 0;
    const auto labels_up_to = [&](std::size_t position) {
        for (; next < order.size() && function.labels[order[next]].position <= position; next++)
            out += printer.names().labels[order[next]] + ":\n";
    };
    for (std::size_t i = 0; i < function.body.size(); i++) {
        labels_up_to(i);
        append_comment(out, function.body[i].comment, "    ");
        if (!function.body[i].pragma.empty()) out += fmt::format("    .pragma {};\n", function.body[i].pragma);
        out += "    ";
        printer.append(out, function.body[i]);
        out += '\n';
    }
    labels_up_to(SIZE_MAX);
    out += "}\n";
}

} // namespace

Result<std::string> print(const Module& module) {
    const auto target = resolve_target(module);
    if (!target) return target.error();
    std::string out;
    append_comment(out, module.comment, "");
    out += fmt::format(".version {}\n.target {}\n.address_size 64\n", to_string(target->version),
                       to_string(target->target));
    if (!module.variables.empty()) out += '\n';
    for (const auto& variable : module.variables) append_variable(out, variable, "");
    for (const auto& function : module.functions) {
        out += '\n';
        append_function(out, module, function);
    }
    return out;
}

} // namespace ptxgen
