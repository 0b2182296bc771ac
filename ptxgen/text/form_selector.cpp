#include "ptxgen/text/form_selector.hpp"

#include "ptxgen/base/nearest.hpp"
#include "ptxgen/isa/compatible.hpp"

#include <bit>

#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr std::size_t most_modifiers = 24;
constexpr std::size_t most_suggestions = 200;

/// How far a row got before it failed; the furthest is reported.
struct Failure {
    int stage = -1;     ///< 0 modifiers, 1 clause, 2 operand count, 3 operand kind
    std::size_t at = 0; ///< modifier or operand index
    std::string message;
    std::string rule;
    SourceLocation location;
    const Form* form = nullptr;
    ModifierMatch match;
};

std::string counted(std::size_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string expected_kind(const OperandSpec& spec, Type type, unsigned count) {
    if (count > 1) return fmt::format("a vector of {} {}", count, to_string(type));
    switch (spec.kind) {
    case OperandKind::value:
        if (type == Type::pred) return "a predicate register";
        return spec.written ? fmt::format("a register of type {}", to_string(type))
                            : fmt::format("a register or constant of type {}", to_string(type));
    case OperandKind::reg: return fmt::format("a register of type {}", to_string(type));
    case OperandKind::predicate: return "a predicate register";
    case OperandKind::address: return "an address in brackets";
    case OperandKind::immediate: return "an integer constant";
    case OperandKind::label: return "a label";
    case OperandKind::symbol: return "the name of a function or variable";
    case OperandKind::list: return "a list in parentheses";
    case OperandKind::sink: return "'_'";
    }
    return "?";
}

/// Whether an operand (or an element of a vector) can stand in a position, its register types left aside.
bool kind_fits(const Operand& operand, const OperandSpec& spec, Type type, bool element) {
    const bool read_predicate = (type == Type::pred || spec.kind == OperandKind::predicate) && !spec.written;
    if (operand.negated && !spec.negatable && !read_predicate) return false;
    switch (operand.kind) {
    case Operand::Kind::reg:
        return spec.kind == OperandKind::value || spec.kind == OperandKind::reg || spec.kind == OperandKind::predicate;
    case Operand::Kind::sink: return spec.sink_ok || spec.kind == OperandKind::sink || (element && spec.written);
    case Operand::Kind::integer:
    case Operand::Kind::f32_bits:
    case Operand::Kind::f64_bits:
        if (spec.kind == OperandKind::immediate) return operand.kind == Operand::Kind::integer;
        return spec.kind == OperandKind::value && !spec.written;
    case Operand::Kind::special: return !element && spec.kind == OperandKind::value && !spec.written;
    case Operand::Kind::symbol:
        return spec.kind == OperandKind::symbol || (!element && spec.kind == OperandKind::value && !spec.written);
    case Operand::Kind::label: return spec.kind == OperandKind::label;
    case Operand::Kind::address: return spec.kind == OperandKind::address;
    default: return false;
    }
}

/// Floating constants take the precision of the operand.
void convert_constant(Operand& operand, Type type) {
    if (operand.kind == Operand::Kind::f64_bits && type == Type::f32)
        operand = Operand::f32(static_cast<float>(std::bit_cast<double>(operand.value)));
    else if (operand.kind == Operand::Kind::f32_bits && type == Type::f64)
        operand = Operand::f64(std::bit_cast<float>(static_cast<std::uint32_t>(operand.value)));
    for (auto& element : operand.elements) convert_constant(element, type);
}

class Selector {
public:
    Selector(Cursor& cursor, const Function& function, InstructionText& text, Instruction& out)
        : cursor_(cursor), function_(function), text_(text), out_(out) {}

    bool run() {
        const auto rows = forms_of(text_.head->text);
        if (rows.empty()) return unknown_opcode();
        std::vector<std::string_view> words;
        for (const auto* token : text_.modifiers) words.push_back(token->text.substr(1));
        if (words.size() > most_modifiers) {
            cursor_.error("modifier", fmt::format("no instruction has {} modifiers", words.size()),
                          text_.modifiers[most_modifiers]->location);
            return false;
        }
        for (const auto& form : rows) {
            const auto match = match_modifiers(form, words);
            if (!match.ok)
                modifiers_failed(form, match);
            else if (auto operands = arrange(form, match.choices))
                consider(form, match.choices, std::move(*operands));
            if (best_ && best_mismatches_ == 0) break;
        }
        if (best_) {
            out_.form = static_cast<std::uint16_t>(best_ - forms().data());
            for (std::size_t i = 0; i < out_.operands.size(); i++)
                convert_constant(out_.operands[i], element_type(*best_, out_.choices, best_->operands[i]));
            return true;
        }
        report(rows);
        return false;
    }

private:
    bool unknown_opcode() {
        std::string hint;
        if (cursor_.error_count() < most_suggestions) {
            std::vector<std::string_view> heads;
            for (const auto& form : forms()) {
                const auto head = form.opcode.substr(0, form.opcode.find('.'));
                if (heads.empty() || heads.back() != head) heads.push_back(head);
            }
            hint = did_you_mean(text_.head->text, heads);
        }
        cursor_.error("unknown-instruction", fmt::format("unknown instruction {}{}", quoted(*text_.head), hint),
                      text_.head->location);
        return false;
    }

    void modifiers_failed(const Form& form, const ModifierMatch& match) {
        const bool complete = match.failed_at >= text_.modifiers.size();
        fail(match.clause ? 1 : 0, complete ? text_.modifiers.size() + 1 : match.failed_at, form,
             [&](Failure& failure) {
                 failure.match = match;
                 failure.location = complete ? text_.head->location : text_.modifiers[match.failed_at]->location;
             });
    }

    template <class Fill>
    void fail(int stage, std::size_t at, const Form& form, Fill fill) {
        if (stage < failure_.stage || (stage == failure_.stage && at <= failure_.at && failure_.form)) return;
        failure_ = {};
        failure_.stage = stage;
        failure_.at = at;
        failure_.form = &form;
        fill(failure_);
    }

    std::optional<std::vector<Operand>> arrange(const Form& form, const Choices& choices) {
        const auto& given = text_.operands;
        std::size_t plain = 0, required = 0, optional = 0;
        for (const auto& operand : given) plain += !operand.joined;
        for (const auto& spec : form.operands) {
            if (spec.joined || !is_present(choices, spec)) continue;
            (spec.optional ? optional : required)++;
        }
        const auto count_failed = [&](std::size_t at) {
            fail(2, 0, form, [&](Failure& failure) {
                const std::string takes = optional == 0
                                              ? counted(required, "operand")
                                              : fmt::format("{} to {} operands", required, required + optional);
                failure.rule = "operand-count";
                failure.message = fmt::format("'{}' takes {}, found {}", mnemonic(form, choices), takes, plain);
                if (at < given.size() && given[at].joined)
                    failure.message = fmt::format("'{}' has no operand behind '|' here", mnemonic(form, choices));
                failure.location = at < given.size() ? given[at].location : text_.head->location;
            });
        };
        if (plain < required || plain > required + optional) {
            count_failed(plain < required ? given.size() : 0);
            return std::nullopt;
        }
        std::size_t spare = plain - required, next = 0;
        std::vector<Operand> operands;
        for (const auto& spec : form.operands) {
            bool filled = is_present(choices, spec);
            if (spec.joined) {
                filled = filled && next < given.size() && given[next].joined;
            } else if (spec.optional && filled) {
                filled = spare > 0 && next < given.size() && (spec.kind == OperandKind::list) == given[next].list;
                spare -= filled;
            }
            if (!filled) {
                operands.emplace_back();
                continue;
            }
            if (next >= given.size() || given[next].joined != spec.joined) {
                count_failed(next);
                return std::nullopt;
            }
            auto operand = fit(form, choices, spec, given[next], next);
            if (!operand) return std::nullopt;
            operands.push_back(std::move(*operand));
            next++;
        }
        if (next < given.size()) {
            count_failed(next);
            return std::nullopt;
        }
        return operands;
    }

    std::optional<Operand> fit(const Form& form, const Choices& choices, const OperandSpec& spec,
                               const ParsedOperand& given, std::size_t index) {
        const Type type = element_type(form, choices, spec);
        const unsigned count = element_count(form, choices, spec);
        const Operand* operand = &given.operand;
        bool fits = given.list == (spec.kind == OperandKind::list);
        if (given.list && fits) return *operand;
        if (operand->kind == Operand::Kind::vector) {
            const bool unwrap = count == 1 && operand->elements.size() == 1 && spec.braces;
            fits = fits && operand->elements.size() == count;
            for (const auto& element : operand->elements) fits = fits && kind_fits(element, spec, type, true);
            if (fits && unwrap) return operand->elements.front();
        } else {
            fits = fits && count == 1 && kind_fits(*operand, spec, type, false);
        }
        if (fits) return *operand;
        fail(3, index, form, [&](Failure& failure) {
            failure.rule = "operand-kind";
            failure.location = given.location;
            failure.message =
                fmt::format("operand {} of '{}' is {}{}, expected {}", index + 1, mnemonic(form, choices),
                            operand->negated ? "negated " : "", describe(*operand), expected_kind(spec, type, count));
            for (std::size_t i = 0; i < operand->elements.size() && operand->elements.size() == count; i++)
                if (const auto& wrong = operand->elements[i]; !kind_fits(wrong, spec, type, true))
                    failure.message =
                        fmt::format("element {} of operand {} of '{}' is {}, expected {}", i + 1, index + 1,
                                    mnemonic(form, choices), describe(wrong), expected_kind(spec, type, 1));
        });
        return std::nullopt;
    }

    void consider(const Form& form, const Choices& choices, std::vector<Operand> operands) {
        std::size_t mismatches = 0;
        for (std::size_t i = 0; i < operands.size(); i++)
            mismatches +=
                count_mismatches(operands[i], form.operands[i], element_type(form, choices, form.operands[i]));
        if (best_ && mismatches >= best_mismatches_) return;
        best_ = &form;
        best_mismatches_ = mismatches;
        out_.choices = choices;
        out_.operands = std::move(operands);
    }

    std::size_t count_mismatches(const Operand& operand, const OperandSpec& spec, Type type) const {
        std::size_t mismatches = 0;
        if (operand.kind == Operand::Kind::reg)
            mismatches += spec.kind == OperandKind::predicate
                              ? function_.registers[operand.id].type != Type::pred
                              : !register_accepts(function_.registers[operand.id].type, type, spec.wider_ok);
        for (const auto& element : operand.elements) mismatches += count_mismatches(element, spec, type);
        return mismatches;
    }

    void report(std::span<const Form> rows) {
        auto& failure = failure_;
        if (failure.stage >= 2) {
            cursor_.error(failure.rule, failure.message, failure.location);
        } else if (failure.stage == 1) {
            cursor_.error("modifier-combination",
                          fmt::format("these modifiers of '{}' do not go together: {}",
                                      mnemonic(*failure.form, failure.match.choices), failure.match.clause->text),
                          failure.location);
        } else if (failure.at > text_.modifiers.size()) {
            missing_modifier(rows);
        } else {
            unknown_modifier(rows);
        }
    }

    void missing_modifier(std::span<const Form>) {
        const auto& form = *failure_.form;
        const int slot = slot_index(form, failure_.match.missing);
        std::string words;
        if (slot >= 0) {
            const auto& all = form.slots[static_cast<std::size_t>(slot)].words;
            for (std::size_t i = 0; i < all.size() && i < 12; i++)
                words += fmt::format("{}.{}", i == 0 ? "" : ", ", all[i].text);
            if (all.size() > 12) words += ", …";
        } else {
            words = fmt::format(".{}", failure_.match.missing);
        }
        cursor_.error("modifier", fmt::format("'{}' lacks a modifier, expected one of {}", text_.head->text, words),
                      failure_.location);
    }

    void unknown_modifier(std::span<const Form> rows) {
        const Token& token = *text_.modifiers[failure_.at];
        std::vector<std::string_view> words;
        bool known = false;
        for (const auto& form : rows) {
            for (auto rest = form.opcode; rest.find('.') != std::string_view::npos;) {
                rest.remove_prefix(rest.find('.') + 1);
                words.push_back(rest.substr(0, rest.find('.')));
            }
            for (const auto& slot : form.slots)
                for (const auto& word : slot.words) words.push_back(word.text);
        }
        for (const auto word : words) known = known || word == token.text.substr(1);
        if (known) {
            cursor_.error("modifier",
                          fmt::format("{} does not fit here: no form of '{}' has it together with the other modifiers",
                                      quoted(token), text_.head->text),
                          token.location);
            return;
        }
        const std::string hint =
            cursor_.error_count() < most_suggestions ? did_you_mean(token.text.substr(1), words) : std::string();
        cursor_.error("modifier", fmt::format("{} is not a modifier of '{}'{}", quoted(token), text_.head->text, hint),
                      token.location);
    }

    Cursor& cursor_;
    const Function& function_;
    InstructionText& text_;
    Instruction& out_;
    Failure failure_;
    const Form* best_ = nullptr;
    std::size_t best_mismatches_ = 0;
};

} // namespace

bool select_form(Cursor& cursor, const Function& function, InstructionText& text, Instruction& out) {
    return Selector(cursor, function, text, out).run();
}

} // namespace ptxgen
