#include "ptxgen/ir/ir.hpp"

#include <bit>

namespace ptxgen {

Operand Operand::reg(Register r, bool negated) {
    Operand o;
    o.kind = Kind::reg;
    o.id = r.index;
    o.negated = negated;
    return o;
}

Operand Operand::integer(std::int64_t value) {
    Operand o;
    o.kind = Kind::integer;
    o.value = value;
    return o;
}

Operand Operand::f32(float value) {
    Operand o;
    o.kind = Kind::f32_bits;
    o.value = std::bit_cast<std::uint32_t>(value);
    return o;
}

Operand Operand::f64(double value) {
    Operand o;
    o.kind = Kind::f64_bits;
    o.value = std::bit_cast<std::int64_t>(value);
    return o;
}

Operand Operand::special(std::uint16_t index) {
    Operand o;
    o.kind = Kind::special;
    o.id = index;
    return o;
}

Operand Operand::symbol(SymbolScope scope, std::uint32_t index, std::int64_t offset) {
    Operand o;
    o.kind = Kind::symbol;
    o.scope = scope;
    o.id = index;
    o.value = offset;
    return o;
}

Operand Operand::label(std::uint32_t index) {
    Operand o;
    o.kind = Kind::label;
    o.id = index;
    return o;
}

Operand Operand::sink() {
    Operand o;
    o.kind = Kind::sink;
    return o;
}

Operand Operand::vector(std::vector<Operand> elements) {
    Operand o;
    o.kind = Kind::vector;
    o.elements = std::move(elements);
    return o;
}

Operand Operand::address(Register base, std::int64_t offset) {
    Operand o;
    o.kind = Kind::address;
    o.base = Kind::reg;
    o.id = base.index;
    o.value = offset;
    return o;
}

Operand Operand::address(SymbolScope scope, std::uint32_t index, std::int64_t offset) {
    Operand o;
    o.kind = Kind::address;
    o.base = Kind::symbol;
    o.scope = scope;
    o.id = index;
    o.value = offset;
    return o;
}

Operand Operand::absolute(std::int64_t address) {
    Operand o;
    o.kind = Kind::address;
    o.value = address;
    return o;
}

const Function* Module::find_function(std::string_view name) const {
    const Function* found = nullptr;
    for (const auto& function : functions)
        if (function.name == name && (!found || found->is_declaration)) found = &function;
    return found;
}

} // namespace ptxgen
