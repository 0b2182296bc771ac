#include "policies/context.hpp"

#include "policies/tiles.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {

Val<u32> PolicyContext::launched_cta() { return linear_cta(k, dimensions_); }

Val<u32> PolicyContext::grid_ctas() { return linear_size(k, dimensions_); }

Val<u64> PolicyContext::nanoseconds() {
    auto now = k.var<u64>();
    k.raw("mov.u64 {0}, %globaltimer;", now);
    return now;
}

Operand PolicyContext::place(Type type, Placement placement) {
    FunctionState& function = k.state();
    if (placement == Placement::leader_register) {
        // The leader alone assigns it, behind a branch; every thread's register has a value from the start on.
        const Register reg = function.new_register(type);
        Instruction zero;
        std::tie(zero.form, zero.choices) = find_form(fmt::format("mov.{}", to_string(register_type(type))), 2);
        zero.operands = {Operand::reg(reg), Operand::integer(0)};
        function.append_prologue(std::move(zero));
        return Operand::reg(reg);
    }
    Variable variable;
    variable.name = fmt::format("policy_state_{}", function.function().variables.size());
    variable.space = Space::shared;
    variable.type = bits_type(bit_width(type));
    function.function().variables.push_back(std::move(variable));
    return Operand::symbol(SymbolScope::local_variable,
                           static_cast<std::uint32_t>(function.function().variables.size() - 1));
}

} // namespace ptxgen::policies
