#include "ptxgen/text/instruction_printer.hpp"
#include "ptxgen/verify/report.hpp"

#include <algorithm>

namespace ptxgen::verifier {
namespace {

/// What is known about the thing that a symbol names.
struct Place {
    Space space = Space::generic;
    std::uint64_t alignment = 1;
    std::optional<std::uint64_t> bytes; ///< nothing: unknown
    std::string_view name;
    bool input_parameter = false;
};

class AddressChecks {
public:
    AddressChecks(Report& report, const Function& function)
        : report_(report), function_(function), printer_(report.module(), function) {}

    void run() {
        for (index_ = 0; index_ < function_.body.size(); index_++) {
            const auto& instruction = function_.body[index_];
            if (instruction.form == raw_form) continue;
            const auto specs = instruction.row().operands;
            for (std::size_t i = 0; i < instruction.operands.size(); i++) {
                position_ = static_cast<int>(i);
                const auto& spec = specs[i];
                if (spec.kind == OperandKind::address && instruction.operands[i].kind == Operand::Kind::address)
                    check(instruction, spec, instruction.operands[i]);
            }
        }
    }

private:
    void fail(std::string_view rule, std::string message, Severity severity = Severity::error) {
        report_.at(severity, rule, function_, index_, position_, std::move(message));
    }

    void check(const Instruction& instruction, const OperandSpec& spec, const Operand& address) {
        const Space space = address_space(instruction.row(), instruction.choices, spec);
        const std::uint64_t size = spec.alignment != 0 ? spec.alignment : access_bytes(instruction);
        switch (address.base) {
        case Operand::Kind::reg: check_base(space, function_.registers[address.id].type, address); break;
        case Operand::Kind::symbol: check_symbol(instruction, spec, space, size, address); break;
        default:
            if (space != Space::local)
                fail("state-space", "a constant address exists in local memory only; use a register");
            else if (size != 0 && address.value % static_cast<std::int64_t>(size) != 0)
                fail("misaligned",
                     fmt::format("address {} is no multiple of the {} bytes of the access", address.value, size));
        }
    }

    /// Bytes that an instruction reads or writes at its address, 0 if its operands do not say.
    static std::uint64_t access_bytes(const Instruction& instruction) {
        const Form& form = instruction.row();
        for (const auto& spec : form.operands) {
            if (spec.kind != OperandKind::value && spec.kind != OperandKind::reg) continue;
            if (spec.type_slot < 0 || spec.doubled) continue;
            return std::uint64_t{byte_size(element_type(form, instruction.choices, spec))} *
                   element_count(form, instruction.choices, spec);
        }
        return 0;
    }

    void check_base(Space space, Type type, const Operand& address) {
        const auto klass = type_class(type);
        const bool narrow_ok = space != Space::generic && space != Space::global;
        const bool integer = klass == TypeClass::bits || is_integer(type);
        if (integer && (bit_width(type) == 64 || (narrow_ok && bit_width(type) == 32))) return;
        fail("address-type",
             fmt::format("'{}' is a .{} register, expected a 64-bit{} integer as an address{}{}",
                         printer_.names().registers[address.id], to_string(type), narrow_ok ? " or 32-bit" : "",
                         space == Space::generic ? "" : " in ." + std::string(to_string(space)),
                         space == Space::generic ? " (generic)" : ""));
    }

    Place place_of(const Operand& address) const {
        const auto variable = [](const Variable& v) {
            Place place{v.space, v.alignment ? v.alignment : byte_size(v.type), v.byte_size(), v.name, false};
            if (v.linkage == Linkage::external && v.count == std::uint64_t{0}) place.bytes.reset();
            return place;
        };
        switch (address.scope) {
        case SymbolScope::module_variable: return variable(report_.module().variables[address.id]);
        case SymbolScope::local_variable: return variable(function_.variables[address.id]);
        case SymbolScope::function:
            return {Space::generic, 1, std::nullopt, report_.module().functions[address.id].name, false};
        case SymbolScope::parameter: break;
        }
        const bool input = address.id < function_.parameters.size();
        const auto& parameter =
            input ? function_.parameters[address.id] : function_.returns[address.id - function_.parameters.size()];
        return {Space::param, parameter.alignment ? parameter.alignment : byte_size(parameter.type),
                parameter.byte_size(), parameter.name, input};
    }

    void check_symbol(const Instruction& instruction, const OperandSpec& spec, Space space, std::uint64_t size,
                      const Operand& address) {
        const Place place = place_of(address);
        const bool shared = space == Space::shared_cluster && place.space == Space::shared;
        if (address.scope == SymbolScope::function)
            return fail("state-space", fmt::format("'{}' is a function, not memory", place.name));
        if (space != Space::generic && space != place.space && !shared)
            return fail("state-space",
                        fmt::format("'{}' lies in .{}, but '{}' accesses .{}", place.name, to_string(place.space),
                                    mnemonic(instruction.row(), instruction.choices), to_string(space)));
        if (space == Space::generic && place.space == Space::param)
            return fail("state-space", fmt::format("'{}' is a parameter: access it with .param", place.name));
        if (place.input_parameter && writes(instruction, spec))
            fail("parameter-write", fmt::format("'{}' is an input parameter, which cannot be written", place.name));
        check_range(place, spec.alignment != 0 ? 1 : size, address);
        if (size > 1) check_alignment(place, size, address);
    }

    bool writes(const Instruction& instruction, const OperandSpec& spec) const {
        const Form& form = instruction.row();
        const auto position = &spec - form.operands.data();
        return std::any_of(form.effects.begin(), form.effects.end(), [&](const Effect& effect) {
            return effect.operand == position &&
                   (effect.kind == EffectKind::write || effect.kind == EffectKind::read_write ||
                    effect.kind == EffectKind::async_write);
        });
    }

    void check_range(const Place& place, std::uint64_t size, const Operand& address) {
        if (!place.bytes) {
            if (address.value < 0)
                fail("out-of-bounds", fmt::format("offset {} lies before '{}'", address.value, place.name));
            return;
        }
        const auto bytes = *place.bytes;
        const bool inside = address.value >= 0 && static_cast<std::uint64_t>(address.value) <= bytes &&
                            std::max<std::uint64_t>(size, 1) <= bytes - static_cast<std::uint64_t>(address.value);
        if (!inside)
            fail("out-of-bounds",
                 fmt::format("{} byte{} at offset {} lie outside of '{}', which has {}",
                             std::max<std::uint64_t>(size, 1), size > 1 ? "s" : "", address.value, place.name, bytes));
    }

    void check_alignment(const Place& place, std::uint64_t size, const Operand& address) {
        // An access of 96 or 384 bits does not exist: sizes are powers of two.
        const auto common = std::min(size, place.alignment);
        if (address.value % static_cast<std::int64_t>(common) != 0)
            fail("misaligned",
                 fmt::format("'{}{:+}' is no multiple of the {} bytes of the access", place.name, address.value, size));
        else if (place.alignment < size && !place.input_parameter)
            fail("misaligned",
                 fmt::format("'{}' is aligned to {} bytes, the access needs {}; declare it with .align {}", place.name,
                             place.alignment, size, size),
                 report_.doubtful());
    }

    Report& report_;
    const Function& function_;
    InstructionPrinter printer_;
    std::size_t index_ = 0;
    int position_ = -1;
};

} // namespace

void check_addresses(Report& report, const Function& function) { AddressChecks(report, function).run(); }

} // namespace ptxgen::verifier
