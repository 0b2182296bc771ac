#include "ptxgen/isa/compatible.hpp"
#include "ptxgen/text/instruction_printer.hpp"
#include "ptxgen/text/operand_parser.hpp"
#include "ptxgen/verify/report.hpp"

namespace ptxgen::verifier {
namespace {

/// Whether `value` is representable in `width` bits, signed or unsigned.
bool fits_width(std::int64_t value, unsigned width) {
    if (width >= 64) return true;
    return value >= -(std::int64_t{1} << (width - 1)) && value < (std::int64_t{1} << width);
}

class OperandChecks {
public:
    OperandChecks(Report& report, const Function& function)
        : report_(report), function_(function), printer_(report.module(), function) {}

    void run() {
        for (index_ = 0; index_ < function_.body.size(); index_++) {
            const auto& instruction = function_.body[index_];
            position_ = -1;
            if (instruction.guard) check_guard(*instruction.guard);
            for (std::size_t i = 0; i < instruction.operands.size(); i++) {
                position_ = static_cast<int>(i);
                check_label(instruction.operands[i]);
            }
            if (instruction.form != raw_form) check(instruction);
        }
    }

private:
    void fail(std::string_view rule, std::string message, Severity severity = Severity::error) {
        report_.at(severity, rule, function_, index_, position_, std::move(message));
    }

    std::string text(const Operand& operand) const {
        std::string out;
        printer_.append(out, operand);
        return out;
    }

    const Type& type_of(const Operand& operand) const { return function_.registers[operand.id].type; }

    void check_guard(const Operand& guard) {
        if (type_of(guard) != Type::pred)
            fail("guard-type", fmt::format("the guard '{}' is a .{} register, expected a predicate", text(guard),
                                           to_string(type_of(guard))));
    }

    void check_label(const Operand& operand) {
        if (operand.kind == Operand::Kind::label && !function_.labels[operand.id].placed)
            fail("undefined-label", fmt::format("label '{}' stands nowhere in '{}'", text(operand), function_.name));
    }

    void check(const Instruction& instruction) {
        const Form& form = instruction.row();
        if (const auto* clause = violated_clause(form, instruction.choices)) {
            position_ = -1;
            fail("modifier-combination", fmt::format("these modifiers of '{}' do not go together: {}",
                                                     mnemonic(form, instruction.choices), clause->text));
        }
        for (std::size_t i = 0; i < form.operands.size(); i++) {
            position_ = static_cast<int>(i);
            check(instruction, form.operands[i], instruction.operands[i]);
        }
        if (form.opcode == "call") check_call(instruction);
    }

    /// A direct call: its lists against the parameters of the function that it names.
    void check_call(const Instruction& instruction) {
        const Operand* callee = nullptr;
        const Operand *results = nullptr, *arguments = nullptr;
        for (const auto& operand : instruction.operands) {
            if (operand.kind == Operand::Kind::symbol) callee = &operand;
            if (operand.kind == Operand::Kind::vector) (callee ? arguments : results) = &operand;
        }
        position_ = -1;
        if (!callee) return; // through a register
        if (callee->scope != SymbolScope::function)
            return fail("call", fmt::format("'{}' is no function", text(*callee)));
        const auto& function = report_.module().functions[callee->id];
        if (function.is_kernel)
            return fail("call", fmt::format("'{}' is a kernel, which cannot be called", function.name));
        check_list(function.name, "result", results, function.returns);
        check_list(function.name, "argument", arguments, function.parameters);
    }

    void check_list(std::string_view callee, std::string_view what, const Operand* list,
                    const std::vector<Parameter>& wanted) {
        const std::size_t count = list ? list->elements.size() : 0;
        if (count != wanted.size())
            return fail("call", fmt::format("'{}' has {} {}{}, found {}", callee, wanted.size(), what,
                                            wanted.size() == 1 ? "" : "s", count));
        for (std::size_t i = 0; i < count; i++) {
            const auto bytes = byte_size_of(list->elements[i]);
            if (bytes && *bytes != wanted[i].byte_size())
                fail("call", fmt::format("{} '{}' of '{}' has {} bytes, '{}' has {}", what, wanted[i].name, callee,
                                         wanted[i].byte_size(), text(list->elements[i]), *bytes));
        }
    }

    /// Nothing for constants, which fit anything.
    std::optional<std::uint64_t> byte_size_of(const Operand& operand) const {
        if (operand.kind == Operand::Kind::reg) return byte_size(type_of(operand));
        if (operand.kind != Operand::Kind::symbol) return std::nullopt;
        if (operand.scope == SymbolScope::local_variable) return function_.variables[operand.id].byte_size();
        if (operand.scope == SymbolScope::parameter && operand.id < function_.parameters.size())
            return function_.parameters[operand.id].byte_size();
        return std::nullopt;
    }

    void check(const Instruction& instruction, const OperandSpec& spec, const Operand& operand) {
        const Form& form = instruction.row();
        const bool wanted = is_present(instruction.choices, spec);
        if (operand.kind == Operand::Kind::none) {
            if (wanted && !spec.optional && !spec.joined)
                fail("operand-count",
                     fmt::format("'{}' lacks operand '{}'", mnemonic(form, instruction.choices), spec.name));
            return;
        }
        if (!wanted)
            return fail("operand-count", fmt::format("'{}' has no operand '{}' without its modifier",
                                                     mnemonic(form, instruction.choices), spec.name));
        if (spec.kind == OperandKind::list) {
            if (operand.kind != Operand::Kind::vector)
                fail("operand-kind", fmt::format("operand '{}' of '{}' is {}, expected a list in parentheses",
                                                 spec.name, mnemonic(form, instruction.choices), describe(operand)));
            return;
        }
        const Type type =
            spec.kind == OperandKind::predicate ? Type::pred : element_type(form, instruction.choices, spec);
        const unsigned count = element_count(form, instruction.choices, spec);
        if (spec.kind == OperandKind::list && operand.kind == Operand::Kind::vector) return;
        if (operand.kind == Operand::Kind::vector) {
            if (operand.elements.size() != count)
                return fail("operand-count",
                            fmt::format("operand '{}' of '{}' has {} elements, expected {}", spec.name,
                                        mnemonic(form, instruction.choices), operand.elements.size(), count));
            for (const auto& element : operand.elements) check(instruction, spec, element, type, true);
            check_same_width(instruction, spec, operand);
        } else if (count > 1) {
            fail("operand-count", fmt::format("operand '{}' of '{}' is {}, expected a vector of {}", spec.name,
                                              mnemonic(form, instruction.choices), describe(operand), count));
        } else {
            check(instruction, spec, operand, type, false);
        }
    }

    /// The registers of a vector may be wider than the type, but all alike.
    void check_same_width(const Instruction& instruction, const OperandSpec& spec, const Operand& vector) {
        const Operand* first = nullptr;
        for (const auto& element : vector.elements) {
            if (element.kind != Operand::Kind::reg) continue;
            if (!first) first = &element;
            if (bit_width(type_of(element)) != bit_width(type_of(*first)))
                return fail(
                    "operand-type",
                    fmt::format(
                        "elements '{}' and '{}' of operand '{}' of '{}' have {} and {} bits, expected one width",
                        text(*first), text(element), spec.name, mnemonic(instruction.row(), instruction.choices),
                        bit_width(type_of(*first)), bit_width(type_of(element))));
        }
    }

    void check(const Instruction& instruction, const OperandSpec& spec, const Operand& operand, Type type,
               bool element) {
        const Form& form = instruction.row();
        const auto wrong_kind = [&](std::string_view expected) {
            fail("operand-kind", fmt::format("operand '{}' of '{}' is {}, expected {}", spec.name,
                                             mnemonic(form, instruction.choices), describe(operand), expected));
        };
        const bool read_predicate = type == Type::pred && !spec.written;
        if (operand.negated && !spec.negatable && !read_predicate)
            return fail("operand-kind", fmt::format("operand '{}' of '{}' cannot be negated", spec.name,
                                                    mnemonic(form, instruction.choices)));
        switch (spec.kind) {
        case OperandKind::address:
            if (operand.kind != Operand::Kind::address) wrong_kind("an address in brackets");
            return;
        case OperandKind::label:
            if (operand.kind != Operand::Kind::label) wrong_kind("a label");
            return;
        case OperandKind::symbol:
            if (operand.kind != Operand::Kind::symbol) wrong_kind("the name of a function or variable");
            return;
        case OperandKind::list: return wrong_kind("a list in parentheses");
        case OperandKind::sink:
            if (operand.kind != Operand::Kind::sink) wrong_kind("'_'");
            return;
        case OperandKind::immediate:
            if (operand.kind != Operand::Kind::integer) return wrong_kind("an integer constant");
            break;
        case OperandKind::value:
        case OperandKind::reg:
        case OperandKind::predicate: break;
        }
        switch (operand.kind) {
        case Operand::Kind::reg: return check_register(instruction, spec, operand, type);
        case Operand::Kind::sink:
            if (!spec.sink_ok && !(element && spec.written)) wrong_kind("a register");
            return;
        case Operand::Kind::integer:
        case Operand::Kind::f32_bits:
        case Operand::Kind::f64_bits:
            if (spec.kind == OperandKind::immediate || (spec.kind == OperandKind::value && !spec.written))
                return check_constant(instruction, spec, operand, type);
            return wrong_kind("a register");
        case Operand::Kind::special:
            if (element || spec.kind != OperandKind::value || spec.written) return wrong_kind("a register");
            return check_special(instruction, operand, type);
        case Operand::Kind::symbol:
            if (element || spec.kind != OperandKind::value || spec.written) return wrong_kind("a register");
            return check_symbol(instruction, operand, type);
        default: return wrong_kind(spec.written ? "a register" : "a register or constant");
        }
    }

    void check_register(const Instruction& instruction, const OperandSpec& spec, const Operand& operand, Type type) {
        if (register_accepts(type_of(operand), type, spec.wider_ok)) return;
        fail("operand-type",
             fmt::format("operand '{}' of '{}' is '{}', a .{} register, expected {}.{}", spec.name,
                         mnemonic(instruction.row(), instruction.choices), text(operand), to_string(type_of(operand)),
                         spec.wider_ok ? "at least " : "", to_string(type)));
    }

    void check_constant(const Instruction& instruction, const OperandSpec& spec, const Operand& operand, Type type) {
        const auto name = [&] { return mnemonic(instruction.row(), instruction.choices); };
        const auto width = bit_width(type);
        const bool bits = type == bits_type(width) && type != Type::pred;
        if (operand.kind != Operand::Kind::integer) {
            const bool single = operand.kind == Operand::Kind::f32_bits;
            const bool takes = type == Type::f32 || type == Type::f64 || (bits && width == (single ? 32u : 64u));
            if (!takes)
                fail("operand-type",
                     fmt::format("operand '{}' of '{}' is a {} constant, expected .{}", spec.name, name(),
                                 single ? "single-precision" : "double-precision", to_string(type)));
            return;
        }
        if (spec.kind != OperandKind::immediate && type != Type::pred && !bits && !is_integer(type))
            return fail("operand-type",
                        fmt::format("operand '{}' of '{}' is the integer {}, expected {}", spec.name, name(),
                                    operand.value,
                                    is_floating(type) && width >= 32
                                        ? fmt::format("a floating constant (0f…, 0d… or 1.0)")
                                        : fmt::format("a register: .{} has no constants", to_string(type))));
        if (operand.value < spec.min || operand.value > spec.max)
            return fail("immediate", fmt::format("operand '{}' of '{}' is {}, expected {} to {}", spec.name, name(),
                                                 operand.value, spec.min, spec.max));
        if (spec.alignment > 1 && operand.value % spec.alignment != 0)
            return fail("immediate", fmt::format("operand '{}' of '{}' is {}, expected a multiple of {}", spec.name,
                                                 name(), operand.value, spec.alignment));
        if (spec.kind == OperandKind::value && width != 0 && width != 1 && !fits_width(operand.value, width))
            fail("immediate",
                 fmt::format("the constant {} has more than the {} bits of operand '{}' of '{}'", operand.value, width,
                             spec.name, name()),
                 Severity::warning);
    }

    void check_special(const Instruction& instruction, const Operand& operand, Type type) {
        const auto& special = special_registers()[operand.id];
        const auto head = instruction.row().opcode.substr(0, instruction.row().opcode.find('.'));
        if (head != "mov" && head != "cvt")
            return fail("special-register",
                        fmt::format("'{}' cannot be read by '{}'; mov it into a register first", special.name,
                                    mnemonic(instruction.row(), instruction.choices)));
        const bool halved = bit_width(special.type) == 32 && bit_width(type) == 16;
        if (!register_accepts(type, special.type) && !register_accepts(special.type, type) && !halved)
            fail("operand-type", fmt::format("'{}' is a .{}, '{}' wants .{}", special.name, to_string(special.type),
                                             mnemonic(instruction.row(), instruction.choices), to_string(type)));
    }

    void check_symbol(const Instruction& instruction, const Operand& operand, Type type) {
        const auto head = instruction.row().opcode.substr(0, instruction.row().opcode.find('.'));
        if (head != "mov" && head != "cvta")
            fail("operand-kind", fmt::format("the address of '{}' cannot be read by '{}'; mov it into a register first",
                                             text(operand), mnemonic(instruction.row(), instruction.choices)));
        else if (is_floating(type) || bit_width(type) < 16)
            fail("operand-type", fmt::format("the address of '{}' is an integer, '{}' wants .{}", text(operand),
                                             mnemonic(instruction.row(), instruction.choices), to_string(type)));
    }

    Report& report_;
    const Function& function_;
    InstructionPrinter printer_;
    std::size_t index_ = 0;
    int position_ = -1;
};

} // namespace

void check_operands(Report& report, const Function& function) { OperandChecks(report, function).run(); }

} // namespace ptxgen::verifier
