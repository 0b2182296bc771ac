#include "ptxgen/isa/form.hpp"

#include "ptxgen/isa/table.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace ptxgen {
namespace {

std::string_view head_of(std::string_view opcode) { return opcode.substr(0, opcode.find('.')); }

/// Types keep their order ("cvt.f16.f32" is not "cvt.f32.f16"), and so do state spaces; all else may stand anywhere.
enum class Ordered : std::uint8_t { no, type, space };

Ordered ordered(std::string_view word) {
    if (parse_space(word)) return Ordered::space;
    std::size_t at = 0;
    const auto letters = [&](std::string_view some) {
        if (word.substr(at, some.size()) != some) return false;
        at += some.size();
        return true;
    };
    const auto digit = [&] { return at < word.size() && word[at] >= '0' && word[at] <= '9'; };
    if (word == "pred") return Ordered::type;
    if (letters("ue") || letters("e")) { // e4m3, ue8m0x2
        if (!digit()) return Ordered::no;
        at++;
        return letters("m") && digit() ? Ordered::type : Ordered::no;
    }
    if (letters("bf") || letters("tf") || letters("b") || letters("u") || letters("s") || letters("f"))
        return digit() ? Ordered::type : Ordered::no;
    return Ordered::no;
}

/// Finds a slot for every modifier, in print order where several fit; an optional slot may be passed over for a later
/// one, which is why this backtracks.
class Matcher {
public:
    Matcher(const Form& form, std::span<const std::string_view> modifiers) : form_(form), modifiers_(modifiers) {
        // The opcode's own modifiers come with the others.
        for (auto rest = form.opcode; rest.find('.') != std::string_view::npos;) {
            rest.remove_prefix(rest.find('.') + 1);
            own_.push_back(head_of(rest));
        }
    }

    ModifierMatch run() {
        place(0);
        if (!result_.ok && result_.clause == nullptr && result_.missing.empty()) result_.failed_at = furthest_;
        return result_;
    }

private:
    /// Number of modifiers from `at` on that make up a word, 0 if they do not.
    std::size_t length_at(std::string_view word, std::size_t at) const {
        std::size_t length = 0;
        for (;;) {
            if (at + length >= modifiers_.size()) return 0;
            const auto dot = word.find('.');
            if (word.substr(0, dot) != modifiers_[at + length]) return 0;
            length++;
            if (dot == std::string_view::npos) return length;
            word.remove_prefix(dot + 1);
        }
    }

    /// Whether a slot behind this one has its type already: types keep their order (dp4a.s32.u32, cvt.f32.u32).
    bool type_behind(std::size_t slot) const {
        for (std::size_t k = slot + 1; k < form_.slots.size(); k++)
            if (const Word* word = chosen(form_, choices_, static_cast<int>(k)); word && word->type != Type::none)
                return true;
        return false;
    }

    bool place(std::size_t at) {
        furthest_ = std::max(furthest_, at);
        if (at == modifiers_.size()) return finish();
        for (auto& own : own_) {
            if (own.empty() || own != modifiers_[at]) continue;
            const auto word = std::exchange(own, std::string_view{});
            if (place(at + 1)) return true;
            own = word;
            break;
        }
        for (std::size_t slot = 0; slot < form_.slots.size(); slot++) {
            if (choices_[slot] != 0) continue;
            const auto order = ordered(modifiers_[at]);
            auto& last = order == Ordered::type ? last_type_ : last_space_;
            if (order != Ordered::no && slot < last) continue;
            bool fits = false;
            const auto& words = form_.slots[slot].words;
            for (std::size_t i = 0; i < words.size(); i++) {
                const auto length = length_at(words[i].text, at);
                if (length == 0 || (words[i].type != Type::none && type_behind(slot))) continue;
                fits = true;
                choices_[slot] = static_cast<std::uint8_t>(i + 1);
                const auto before = last;
                if (order != Ordered::no) last = slot;
                if (place(at + length)) return true;
                last = before;
                choices_[slot] = 0;
            }
            // Slots of the same words keep their order: the result's type stands before the operand's.
            if (fits && !form_.slots[slot].optional) return false;
        }
        return false;
    }

    bool finish() {
        std::string_view missing;
        for (const auto own : own_)
            if (missing.empty()) missing = own;
        for (std::size_t slot = 0; slot < form_.slots.size() && missing.empty(); slot++)
            if (choices_[slot] == 0 && !form_.slots[slot].optional) missing = form_.slots[slot].name;
        const Clause* clause = missing.empty() ? violated_clause(form_, choices_) : nullptr;
        if (missing.empty() && !clause) {
            result_ = {};
            result_.ok = true;
            result_.choices = choices_;
            return true;
        }
        if (result_.clause == nullptr && (clause || result_.missing.empty())) {
            result_.failed_at = modifiers_.size();
            result_.missing = missing;
            result_.clause = clause;
            result_.choices = choices_;
        }
        return false;
    }

    const Form& form_;
    std::span<const std::string_view> modifiers_;
    std::vector<std::string_view> own_;
    Choices choices_{};
    std::size_t last_type_ = 0, last_space_ = 0; ///< slots of the last type and space that were placed
    std::size_t furthest_ = 0;
    ModifierMatch result_;
};

} // namespace

std::span<const Form> forms() { return table; }

std::span<const Form> forms_of(std::string_view head) {
    const auto before = [](const Form& form, std::string_view h) { return head_of(form.opcode) < h; };
    const auto after = [](std::string_view h, const Form& form) { return h < head_of(form.opcode); };
    const auto first = std::lower_bound(std::begin(table), std::end(table), head, before);
    const auto last = std::upper_bound(first, std::end(table), head, after);
    return {first, last};
}

std::string_view to_string(Op op) {
    const auto index = static_cast<std::size_t>(op);
    return index < std::size(op_rows) ? table[op_rows[index].first].opcode : "?";
}

Requirements requirements(const Form& form, const Choices& choices) {
    Requirements result{};
    std::size_t count = 0;
    const auto add = [&](std::span<const Minimum> alternatives) {
        if (!alternatives.empty() && count < result.size()) result[count++] = alternatives;
    };
    add(form.minimum);
    for (std::size_t slot = 0; slot < form.slots.size(); slot++)
        if (const Word* word = chosen(form, choices, static_cast<int>(slot))) add(word->minimum);
    for (const auto& clause : form.clauses)
        if (std::all_of(clause.when.begin(), clause.when.end(), [&](const auto& c) { return holds(c, choices); }))
            add(clause.minimum);
    return result;
}

std::optional<std::span<const Minimum>> unmet(const Form& form, const Choices& choices, PtxVersion version,
                                              Target target) {
    for (const auto& alternatives : requirements(form, choices)) {
        const auto met = [&](const Minimum& m) { return version >= m.version && target.provides(m.target); };
        if (!alternatives.empty() && std::none_of(alternatives.begin(), alternatives.end(), met)) return alternatives;
    }
    return std::nullopt;
}

void append_mnemonic(std::string& out, const Form& form, const Choices& choices) {
    out += form.opcode;
    for (std::size_t slot = 0; slot < form.slots.size(); slot++)
        if (const Word* word = chosen(form, choices, static_cast<int>(slot))) {
            out += '.';
            out += word->text;
        }
}

std::string mnemonic(const Form& form, const Choices& choices) {
    std::string text;
    append_mnemonic(text, form, choices);
    return text;
}

ModifierMatch match_modifiers(const Form& form, std::span<const std::string_view> modifiers) {
    return Matcher(form, modifiers).run();
}

} // namespace ptxgen
