#include "ptxgen/verify/report.hpp"

namespace ptxgen::verifier {
namespace {

class Structure {
public:
    Structure(Report& report, const Function& function) : report_(report), function_(function) {}

    bool run() {
        const std::size_t before = report_.count();
        for (std::size_t i = 0; i < function_.body.size(); i++) {
            index_ = i;
            check(function_.body[i]);
        }
        for (const auto& label : function_.labels)
            if (label.placed && label.position > function_.body.size())
                report_.add(Severity::error, "structure",
                            fmt::format("label '{}' stands at {}, behind the end of {} instructions", label.name,
                                        label.position, function_.body.size()),
                            &function_);
        return report_.count() == before;
    }

private:
    void check(const Instruction& instruction) {
        if (instruction.guard) {
            if (instruction.guard->kind != Operand::Kind::reg)
                fail(-1, "a guard must be a register");
            else
                check(*instruction.guard, -1, 0);
        }
        for (std::size_t o = 0; o < instruction.operands.size(); o++)
            check(instruction.operands[o], static_cast<int>(o), 0);
        if (instruction.form == raw_form) return;
        if (instruction.form >= forms().size())
            return fail(-1, fmt::format("there is no row {} in the table", instruction.form));
        const Form& form = instruction.row();
        for (std::size_t s = 0; s < max_slots; s++) {
            const std::size_t words = s < form.slots.size() ? form.slots[s].words.size() : 0;
            if (instruction.choices[s] > words)
                return fail(
                    -1, fmt::format("'{}' has no word {} in modifier slot {}", form.opcode, instruction.choices[s], s));
            if (s < form.slots.size() && !form.slots[s].optional && instruction.choices[s] == 0)
                return fail(-1, fmt::format("'{}' lacks the modifier '{}'", form.opcode, form.slots[s].name));
        }
        if (instruction.operands.size() != form.operands.size())
            fail(-1, fmt::format("'{}' has {} operand positions, found {}", form.opcode, form.operands.size(),
                                 instruction.operands.size()));
    }

    void check(const Operand& operand, int position, int depth) {
        const auto kind = operand.kind == Operand::Kind::address ? operand.base : operand.kind;
        if (kind == Operand::Kind::reg && operand.id >= function_.registers.size())
            fail(position, fmt::format("there is no register {}", operand.id));
        if (kind == Operand::Kind::special && operand.id >= special_registers().size())
            fail(position, fmt::format("there is no special register {}", operand.id));
        if (kind == Operand::Kind::label && operand.id >= function_.labels.size())
            fail(position, fmt::format("there is no label {}", operand.id));
        if (kind == Operand::Kind::symbol && operand.id >= symbols(operand.scope))
            fail(position, fmt::format("there is no symbol {}", operand.id));
        if (depth > 1 && !operand.elements.empty()) return fail(position, "vectors may be nested 2 deep at most");
        for (const auto& element : operand.elements) check(element, position, depth + 1);
    }

    std::size_t symbols(SymbolScope scope) const {
        switch (scope) {
        case SymbolScope::module_variable: return report_.module().variables.size();
        case SymbolScope::parameter: return function_.parameters.size() + function_.returns.size();
        case SymbolScope::local_variable: return function_.variables.size();
        case SymbolScope::function: return report_.module().functions.size();
        }
        return 0;
    }

    void fail(int operand, std::string message) {
        report_.at(Severity::error, "structure", function_, index_, operand, std::move(message));
    }

    Report& report_;
    const Function& function_;
    std::size_t index_ = 0;
};

} // namespace

bool check_structure(Report& report, const Function& function) { return Structure(report, function).run(); }

} // namespace ptxgen::verifier
