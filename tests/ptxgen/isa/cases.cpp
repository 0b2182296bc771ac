#include "cases.hpp"

#include "ptxgen/text/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>
#include <set>
#include <tuple>

namespace isa_test {
namespace {

using namespace ptxgen;

constexpr unsigned registers_of_a_kind = 64;
constexpr Type register_types[] = {Type::pred, Type::b8, Type::b16, Type::b32, Type::b64, Type::b128};

/// Register of a type's width; small types live in 16-bit registers where they may.
Operand register_operand(Type type, bool wider_ok, unsigned number) {
    const unsigned width = bit_width(type) == 8 && wider_ok ? 16 : std::max(1u, bit_width(type));
    for (unsigned kind = 0; kind < std::size(register_types); kind++)
        if (bit_width(register_types[kind]) == width)
            return Operand::reg({kind * registers_of_a_kind + number % registers_of_a_kind});
    return {};
}

Operand literal(const OperandSpec& operand, Type type) {
    if (operand.alignment != 0) return Operand::integer(operand.alignment);
    if (type == Type::f32) return Operand::f32(1);
    if (type == Type::f64) return Operand::f64(1);
    return Operand::integer(1);
}

Operand address_operand(Space space, bool written) {
    if (space == Space::param && written) return Operand::address(SymbolScope::local_variable, 0);
    if (space == Space::param) return Operand::address(SymbolScope::parameter, 0);
    if (space == Space::constant) return Operand::address(SymbolScope::module_variable, 0);
    return Operand::address(Register{register_operand(Type::b64, false, 40).id});
}

bool is_legal(const Form& form, const Choices& choices) { return violated_clause(form, choices) == nullptr; }

std::size_t choices_of(const Slot& slot) { return slot.words.size() + 1; }

std::uint8_t default_choice(const Slot& slot) {
    if (slot.optional) return 0;
    return static_cast<std::uint8_t>(slot.fallback >= 0 ? slot.fallback + 1 : 1);
}

bool may_be(const Slot& slot, std::size_t choice) { return choice != 0 || slot.optional; }

/// Changes up to `depth` slots that are not `fixed` until `done` holds.
template <class Done>
bool repair(const Form& form, Choices& choices, std::uint32_t fixed, int depth, const Done& done) {
    if (done(choices)) return true;
    if (depth == 0) return false;
    for (std::size_t slot = 0; slot < form.slots.size(); slot++) {
        if (fixed >> slot & 1u) continue;
        const auto before = choices[slot];
        for (std::size_t choice = 0; choice < choices_of(form.slots[slot]); choice++) {
            if (choice == before || !may_be(form.slots[slot], choice)) continue;
            choices[slot] = static_cast<std::uint8_t>(choice);
            if (repair(form, choices, fixed | 1u << slot, depth - 1, done)) return true;
        }
        choices[slot] = before;
    }
    return false;
}

template <class Done>
bool repair(const Form& form, Choices& choices, std::uint32_t fixed, const Done& done) {
    for (int depth = 0; depth <= 3; depth++)
        if (repair(form, choices, fixed, depth, done)) return true;
    return false;
}

Choices default_choices(const Form& form) {
    Choices choices{};
    for (std::size_t slot = 0; slot < form.slots.size(); slot++) choices[slot] = default_choice(form.slots[slot]);
    return choices;
}

Case plain_case(const Form& form, const Choices& choices) {
    Case c{&form, choices, {}, nullptr};
    for (const auto& operand : form.operands) {
        const bool there = is_present(choices, operand) && !(operand.optional && operand.if_slot < 0);
        c.fillings.push_back(there ? Filling::normal : Filling::left_out);
    }
    return c;
}

/// Legal choices that together have every pair of words.
std::vector<Choices> pairwise(const Form& form) {
    std::vector<Choices> result;
    std::set<std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>> covered;
    const auto add = [&](const Choices& choices) {
        result.push_back(choices);
        for (std::size_t i = 0; i < form.slots.size(); i++)
            for (std::size_t j = i; j < form.slots.size(); j++) covered.insert({i, choices[i], j, choices[j]});
    };
    const auto legal = [&](const Choices& choices) { return is_legal(form, choices); };
    auto start = default_choices(form);
    if (repair(form, start, 0, legal)) add(start);
    for (std::size_t i = 0; i < form.slots.size(); i++)
        for (std::size_t j = i; j < form.slots.size(); j++)
            for (std::size_t a = 0; a < choices_of(form.slots[i]); a++)
                for (std::size_t b = 0; b < choices_of(form.slots[j]); b++) {
                    if (!may_be(form.slots[i], a) || !may_be(form.slots[j], b) || (i == j && a != b)) continue;
                    if (covered.count({i, a, j, b})) continue;
                    auto choices = default_choices(form);
                    choices[i] = static_cast<std::uint8_t>(a);
                    choices[j] = static_cast<std::uint8_t>(b);
                    if (repair(form, choices, 1u << i | 1u << j, legal)) add(choices);
                }
    return result;
}

} // namespace

const Module& scaffold() {
    static const Module module = [] {
        Module m;
        Variable constants;
        constants.name = "constants";
        constants.space = Space::constant;
        constants.count = 256;
        constants.alignment = 16;
        m.variables.push_back(constants);
        auto& k = m.functions.emplace_back();
        k.name = "k";
        Parameter parameter;
        parameter.name = "parameter";
        parameter.type = Type::b8;
        parameter.count = 256;
        parameter.alignment = 16;
        k.parameters.push_back(parameter);
        auto argument = constants;
        argument.name = "argument";
        argument.space = Space::param;
        k.variables.push_back(argument);
        constexpr std::string_view prefixes[] = {"%p", "%b", "%h", "%r", "%rd", "%q"};
        for (std::size_t kind = 0; kind < std::size(register_types); kind++)
            for (unsigned i = 0; i < registers_of_a_kind; i++)
                k.registers.push_back({register_types[kind], fmt::format("{}{}", prefixes[kind], i)});
        k.labels.push_back({"target", 0, true});
        return m;
    }();
    return module;
}

Instruction Case::instruction() const {
    Instruction instruction;
    instruction.form = static_cast<std::uint16_t>(form - forms().data());
    instruction.choices = choices;
    unsigned number = 1;
    for (std::size_t i = 0; i < form->operands.size(); i++) {
        const auto& spec = form->operands[i];
        auto& operand = instruction.operands.emplace_back();
        if (fillings[i] == Filling::left_out) continue;
        const auto type = element_type(*form, choices, spec);
        const auto count = element_count(*form, choices, spec);
        switch (spec.kind) {
        case OperandKind::address:
            operand = address_operand(address_space(*form, choices, spec), form->has_effect(EffectKind::write));
            break;
        case OperandKind::immediate: operand = Operand::integer(spec.min == INT64_MIN ? 0 : spec.min); break;
        case OperandKind::label: operand = Operand::label(0); break;
        case OperandKind::sink: operand = Operand::sink(); break;
        case OperandKind::symbol:
        case OperandKind::list: break; // of custom rows only, which need declarations
        default:
            std::vector<Operand> elements;
            for (unsigned e = 0; e < count; e++) {
                if (fillings[i] == Filling::sink && e == 0)
                    elements.push_back(Operand::sink());
                else if (fillings[i] == Filling::literal && e + 1 == count)
                    elements.push_back(literal(spec, type));
                else
                    elements.push_back(register_operand(type, spec.wider_ok, number++));
            }
            operand = count == 1 ? elements[0] : Operand::vector(elements);
            operand.negated = fillings[i] == Filling::negated;
        }
    }
    return instruction;
}

std::string Case::text() const { return print(scaffold().functions[0], instruction(), scaffold()); }

std::vector<Case> accepted_cases(const Form& form) {
    std::vector<Case> cases;
    const auto all = pairwise(form);
    for (const auto& choices : all) cases.push_back(plain_case(form, choices));
    // Operand variants, once for each element type of the operand.
    for (std::size_t i = 0; i < form.operands.size(); i++) {
        const auto& operand = form.operands[i];
        std::set<Type> seen;
        for (const auto& choices : all) {
            if (!is_present(choices, operand)) continue;
            const auto type = element_type(form, choices, operand);
            if (!seen.insert(type).second) continue;
            const auto vary = [&](Filling filling) {
                auto c = plain_case(form, choices);
                // Optional operands before this one that stand at plain positions must be there, too.
                for (std::size_t j = 0; j < i; j++)
                    if (form.operands[j].optional && !form.operands[j].joined && !operand.joined && operand.optional &&
                        is_present(choices, form.operands[j]))
                        c.fillings[j] = Filling::normal;
                c.fillings[i] = filling;
                cases.push_back(std::move(c));
            };
            if (operand.optional && operand.if_slot < 0) vary(Filling::normal);
            if (operand.optional && operand.if_slot >= 0) vary(Filling::left_out);
            if (operand.kind == OperandKind::value && type != Type::pred && bit_width(type) <= 64)
                vary(Filling::literal);
            // `_` of a vector stands for an element; one that is a vector at times has none when it is scalar.
            if (operand.sink_ok && (element_count(form, choices, operand) > 1 || operand.count_slot < 0))
                vary(Filling::sink);
            if (operand.negatable) vary(Filling::negated);
        }
    }
    return cases;
}

std::vector<Case> all_cases(const Form& form, std::size_t most) {
    std::uint64_t product = 1;
    for (const auto& slot : form.slots) product *= slot.words.size() + slot.optional;
    std::vector<Case> cases;
    std::mt19937_64 random(form.slots.size());
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(product, most); i++) {
        auto rest = product <= most ? i : random() % product;
        Choices choices{};
        for (std::size_t slot = 0; slot < form.slots.size(); slot++) {
            const auto count = form.slots[slot].words.size() + form.slots[slot].optional;
            choices[slot] = static_cast<std::uint8_t>(rest % count + !form.slots[slot].optional);
            rest /= count;
        }
        cases.push_back(plain_case(form, choices));
    }
    return cases;
}

std::vector<Case> rejected_cases(const Form& form) {
    std::vector<Case> cases;
    for (const auto& clause : form.clauses) {
        if (!clause.never && clause.require.empty()) continue;
        const auto breaks_only = [&](const Choices& choices) {
            const auto breaks = [&](const Clause& k) {
                for (const auto& condition : k.when)
                    if (!holds(condition, choices)) return false;
                if (k.never) return true;
                for (const auto& condition : k.require)
                    if (!holds(condition, choices)) return true;
                return false;
            };
            for (const auto& other : form.clauses)
                if (breaks(other) != (&other == &clause)) return false;
            return true;
        };
        const auto add = [&](Choices choices, std::uint32_t fixed) {
            if (!repair(form, choices, fixed, breaks_only)) return;
            for (const auto& c : cases)
                if (c.breaks == &clause && c.choices == choices) return;
            auto c = plain_case(form, choices);
            c.breaks = &clause;
            cases.push_back(std::move(c));
        };
        add(default_choices(form), 0);
        // Every word that the clause names.
        const auto add_words = [&](std::span<const Condition> conditions) {
            for (const auto& condition : conditions)
                for (std::size_t choice = 0; choice < choices_of(form.slots[condition.slot]); choice++) {
                    if (!may_be(form.slots[condition.slot], choice)) continue;
                    auto choices = default_choices(form);
                    choices[condition.slot] = static_cast<std::uint8_t>(choice);
                    add(choices, 1u << condition.slot);
                }
        };
        add_words(clause.when);
        add_words(clause.require);
    }
    return cases;
}

const std::vector<PtxVersion>& versions() {
    static const std::vector<PtxVersion> all = {
        {1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {2, 0}, {2, 1}, {2, 2}, {2, 3}, {3, 0},
        {3, 1}, {3, 2}, {4, 0}, {4, 1}, {4, 2}, {4, 3}, {5, 0}, {6, 0}, {6, 1}, {6, 2}, {6, 3},
        {6, 4}, {6, 5}, {7, 0}, {7, 1}, {7, 2}, {7, 3}, {7, 4}, {7, 5}, {7, 6}, {7, 7}, {7, 8},
        {8, 0}, {8, 1}, {8, 2}, {8, 3}, {8, 4}, {8, 5}, {8, 6}, {8, 7}, {8, 8}, {9, 0},
    };
    return all;
}

bool is_provided(const Case& c, const Setting& setting) {
    if (c.form->removed && setting.version >= c.form->removed->version &&
        setting.target.provides(c.form->removed->target))
        return false;
    return !unmet(*c.form, c.choices, setting.version, setting.target);
}

bool is_in_another_row(const Case& c) {
    const auto text = mnemonic(*c.form, c.choices);
    std::vector<std::string_view> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find('.', begin), text.size());
        parts.push_back(std::string_view(text).substr(begin, end - begin));
        begin = end + 1;
    }
    for (const auto& form : forms_of(parts[0]))
        if (&form != c.form && match_modifiers(form, std::span(parts).subspan(1)).ok) return true;
    return false;
}

std::vector<Setting> lowest_settings(const Case& c) {
    const auto parts = requirements(*c.form, c.choices);
    const auto lowest_version = [&](const KnownTarget& known) -> std::optional<PtxVersion> {
        auto version = std::max(known.version, module_floor.version);
        for (const auto& alternatives : parts) {
            std::optional<PtxVersion> best;
            for (const auto& m : alternatives)
                if (known.target.provides(m.target) && (!best || m.version < *best)) best = m.version;
            if (!best && !alternatives.empty()) return std::nullopt;
            if (best) version = std::max(version, *best);
        }
        return version;
    };
    std::vector<Setting> settings;
    std::set<Target> wanted; // targets that an alternative names
    for (const auto& alternatives : parts)
        for (const auto& m : alternatives)
            if (alternatives.size() > 1) wanted.insert(m.target);
    for (const auto& known : known_targets())
        if (const auto version = lowest_version(known)) {
            const Setting setting{*version, known.target};
            if (!is_provided(c, setting)) continue;
            if (settings.empty() || wanted.count(known.target)) settings.push_back(setting);
        }
    return settings;
}

} // namespace isa_test
