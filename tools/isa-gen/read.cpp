#include "table.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <stdexcept>

namespace isa_gen {
namespace {

/// Thrown inside this file only, caught by read_family.
struct Mistake {
    std::size_t position;
    std::string message;
};

bool is_slot_name(std::string_view name) {
    return !name.empty() && name[0] >= 'A' && name[0] <= 'Z' && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

/// Characters of one line between two positions.
class Cursor {
public:
    Cursor(std::string_view line, std::size_t begin, std::size_t end) : line_(line), at_(begin), end_(end) {}

    void skip_space() {
        while (at_ < end_ && (line_[at_] == ' ' || line_[at_] == '\t')) at_++;
    }
    bool done() {
        skip_space();
        return at_ >= end_;
    }
    char peek() const { return at_ < end_ ? line_[at_] : '\0'; }
    bool accept(std::string_view text) {
        if (end_ - at_ < text.size() || line_.substr(at_, text.size()) != text) return false;
        at_ += text.size();
        return true;
    }
    void expect(std::string_view text) {
        if (!accept(text)) fail(fmt::format("expected '{}'", text));
    }
    std::string word(bool dots = false) {
        const auto begin = at_;
        while (at_ < end_ && (is_word_char(line_[at_]) || (dots && line_[at_] == '.'))) at_++;
        if (at_ == begin) fail("expected a name");
        return std::string(line_.substr(begin, at_ - begin));
    }
    /// A name without '_', which is a mark behind an operand's type.
    std::string plain_name() {
        auto name = word();
        if (const auto mark = name.find('_'); mark != std::string::npos) {
            at_ -= name.size() - mark;
            name.resize(mark);
        }
        return name;
    }
    std::int64_t number() {
        const auto begin = at_;
        if (peek() == '-') at_++;
        while (at_ < end_ && line_[at_] >= '0' && line_[at_] <= '9') at_++;
        try {
            return std::stoll(std::string(line_.substr(begin, at_ - begin)));
        } catch (const std::exception&) {
            at_ = begin;
            fail("expected a number");
        }
    }
    [[noreturn]] void fail(std::string message) const { throw Mistake{at_, std::move(message)}; }
    std::size_t position() const { return at_; }
    void rewind(std::size_t position) { at_ = position; }
    std::string rest() const {
        auto text = line_.substr(at_, end_ - at_);
        while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
        return std::string(text);
    }

private:
    std::string_view line_;
    std::size_t at_, end_;
};

Minima read_minima(Cursor& c) {
    Minima minima;
    do {
        c.skip_space();
        ptxgen::Minimum minimum;
        minimum.version.major = static_cast<std::uint8_t>(c.number());
        c.expect(".");
        minimum.version.minor = static_cast<std::uint8_t>(c.number());
        c.expect("/");
        minimum.target.sm = static_cast<std::uint16_t>(c.number());
        if (c.accept("a")) minimum.target.variant = ptxgen::TargetVariant::arch;
        if (c.accept("f")) minimum.target.variant = ptxgen::TargetVariant::family;
        minima.push_back(minimum);
    } while (c.accept(","));
    return minima;
}

Word read_word(Cursor& c) {
    Word word;
    word.text = c.word(true);
    if (c.accept("(")) {
        word.minimum = read_minima(c);
        c.expect(")");
    }
    return word;
}

std::vector<Word> read_alternatives(Cursor& c, char close) {
    std::vector<Word> words;
    do {
        c.skip_space();
        words.push_back(read_word(c));
        c.skip_space();
    } while (c.accept("|"));
    c.expect(std::string(1, close));
    return words;
}

using Alphabets = std::map<std::string, std::vector<Word>>;

Slot read_slot(Cursor& c, const Alphabets& alphabets) {
    Slot slot;
    slot.optional = c.accept("[");
    c.expect(".");
    const auto begin = c.position();
    slot.name = c.word();
    if (!is_slot_name(slot.name)) {
        slot.fixed = true;
        slot.words.push_back({slot.name, {}});
        if (c.accept("(")) {
            slot.words[0].minimum = read_minima(c);
            c.expect(")");
        }
    } else {
        if (c.accept("(")) slot.words = read_alternatives(c, ')');
        if (c.accept("{")) {
            slot.in_method_name = true;
            if (!c.accept("}")) slot.words = read_alternatives(c, '}');
        }
        if (slot.words.empty()) {
            const auto found = alphabets.find(slot.name);
            if (found == alphabets.end()) {
                c.rewind(begin);
                c.fail(fmt::format("no alphabet {} in this file", slot.name));
            }
            slot.words = found->second;
        }
        if (slot.words.size() > 62) c.fail("a slot has room for 62 words");
        if (c.accept("=")) {
            const auto word_begin = c.position();
            const auto name = c.word();
            for (std::size_t i = 0; i < slot.words.size(); i++)
                if (slot.words[i].text == name) slot.fallback = static_cast<int>(i);
            if (slot.fallback < 0) {
                c.rewind(word_begin);
                c.fail(fmt::format("{} is not a word of {}", name, slot.name));
            }
        }
    }
    if (slot.optional) c.expect("]");
    return slot;
}

int find_slot(const Form& form, std::string_view name) {
    for (std::size_t i = 0; i < form.slots.size(); i++)
        if (form.slots[i].name == name) return static_cast<int>(i);
    return -1;
}

int need_slot(Cursor& c, const Form& form) {
    const auto begin = c.position();
    const auto name = c.word();
    const int slot = find_slot(form, name);
    if (slot < 0) {
        c.rewind(begin);
        c.fail(fmt::format("{} has no slot {}", form.opcode, name));
    }
    return slot;
}

/// An element type: a slot, twice a slot, or a type's name.
void read_element_type(Cursor& c, const Form& form, Operand& operand) {
    const auto begin = c.position();
    if (c.accept("2")) operand.doubled = true;
    const auto name = c.plain_name();
    if (is_slot_name(name)) {
        operand.type_slot = find_slot(form, name);
        if (operand.type_slot >= 0) return;
    } else if (const auto type = ptxgen::parse_type(name); type && !operand.doubled) {
        operand.type = *type;
        if (name == "pred") operand.kind = "predicate";
        return;
    }
    c.rewind(begin);
    c.fail(fmt::format("expected a type or a slot of {}", form.opcode));
}

void read_operand_type(Cursor& c, const Form& form, Operand& operand) {
    if (c.accept("addr(")) {
        operand.kind = "address";
        if (!c.accept(")")) {
            const auto begin = c.position();
            const auto name = c.word();
            if (is_slot_name(name)) {
                c.rewind(begin);
                operand.space_slot = need_slot(c, form);
            } else if (const auto space = ptxgen::parse_space(name)) {
                operand.space = *space;
            } else {
                c.rewind(begin);
                c.fail("expected a state space or a slot");
            }
            c.expect(")");
        }
    } else if (c.accept("imm")) {
        operand.kind = "immediate";
    } else if (c.accept("label")) {
        operand.kind = "label";
    } else if (c.accept("symbol")) {
        operand.kind = "symbol";
    } else if (c.accept("list")) {
        operand.kind = "list";
    } else if (c.accept("sink")) {
        operand.kind = "sink";
    } else {
        const auto begin = c.position();
        // `V*T`, `4*b32`; a digit may also begin `2T`.
        const auto count = c.word();
        if (c.accept("*")) {
            const auto end = c.position();
            if (is_slot_name(count)) {
                c.rewind(begin);
                operand.count_slot = need_slot(c, form);
                const auto& slot = form.slots[static_cast<std::size_t>(operand.count_slot)];
                operand.braces = !slot.optional;
            } else {
                c.rewind(begin);
                operand.count = static_cast<unsigned>(c.number());
                operand.braces = true;
            }
            c.rewind(end);
        } else {
            c.rewind(begin);
        }
        read_element_type(c, form, operand);
    }
}

Operand read_operand(Cursor& c, const Form& form) {
    Operand operand;
    operand.joined = c.accept("|");
    const auto begin = c.position();
    while (c.peek() != ':' && is_word_char(c.peek())) c.rewind(c.position() + 1);
    const auto end = c.position();
    c.rewind(begin);
    if (end == begin) c.fail("expected an operand's name");
    while (c.position() < end) {
        operand.name += c.peek();
        c.rewind(c.position() + 1);
    }
    c.expect(":");
    read_operand_type(c, form, operand);
    if (c.accept("(")) {
        operand.min = c.number();
        c.expect("..");
        operand.max = c.number();
        c.expect(")");
    }
    if (c.accept("/")) operand.alignment = static_cast<unsigned>(c.number());
    operand.written = operand.name[0] == 'd' && operand.kind != "address" && operand.kind != "sink";
    for (;;) {
        if (c.accept("^"))
            operand.wider_ok = true;
        else if (c.accept("!")) {
            if (operand.kind == "value") operand.kind = "reg";
        } else if (c.accept("_"))
            operand.sink_ok = true;
        else if (c.accept("~"))
            operand.negatable = true;
        else if (c.accept("?"))
            operand.optional = true;
        else if (c.accept("@"))
            operand.if_slot = need_slot(c, form);
        else
            break;
    }
    // ptxas takes a constant as an element of a vector, but not as the only one.
    const bool lone = operand.braces && operand.count == 1;
    if ((operand.written || lone) && operand.kind == "value") operand.kind = "reg";
    return operand;
}

Condition read_condition(Cursor& c, const Form& form) {
    c.skip_space();
    const bool absent = c.accept("!");
    const auto slot = static_cast<unsigned>(need_slot(c, form));
    const auto& words = form.slots[slot].words;
    const std::uint64_t all = ((std::uint64_t{1} << words.size()) - 1) << 1;
    if (absent) return {slot, 1};
    const bool unequal = c.accept("!=");
    if (!unequal && c.peek() != '=') return {slot, all};
    if (!unequal) {
        const auto begin = c.position();
        c.expect("=");
        if (c.peek() == '>') { // the arrow behind a bare slot name
            c.rewind(begin);
            return {slot, all};
        }
    }
    std::uint64_t choices = 0;
    do {
        const auto begin = c.position();
        const auto name = c.word(true);
        bool found = false;
        for (std::size_t i = 0; i < words.size(); i++)
            if (words[i].text == name) choices |= std::uint64_t{2} << i, found = true;
        if (!found) {
            c.rewind(begin);
            c.fail(fmt::format("{} is not a word of {}", name, form.slots[slot].name));
        }
    } while (c.accept("|"));
    return {slot, unequal ? (all | 1) & ~choices : choices};
}

void read_clauses(Cursor& c, Form& form) {
    if (c.accept("-")) return;
    do {
        if (c.done()) break;
        Clause clause;
        const auto begin = c.position();
        do {
            c.skip_space();
            if (c.peek() == '=') break; // no condition: always
            clause.when.push_back(read_condition(c, form));
            c.skip_space();
        } while (c.accept("&"));
        c.expect("=>");
        c.skip_space();
        if (c.accept("never")) {
            clause.never = true;
        } else if (c.peek() >= '0' && c.peek() <= '9') {
            clause.minimum = read_minima(c);
        } else {
            do {
                clause.require.push_back(read_condition(c, form));
                c.skip_space();
            } while (c.accept("&"));
        }
        const auto end = c.position();
        c.rewind(begin);
        while (c.position() < end) {
            clause.text += c.peek();
            c.rewind(c.position() + 1);
        }
        while (clause.text.back() == ' ') clause.text.pop_back();
        form.clauses.push_back(std::move(clause));
        c.skip_space();
    } while (c.accept(";"));
}

void read_effects(Cursor& c, Form& form) {
    static const std::map<std::string, std::string> kinds = {
        {"R", "read"},
        {"W", "write"},
        {"RW", "read_write"},
        {"converge", "converge"},
        {"barrier", "barrier"},
        {"branch", "branch"},
        {"exit", "exit"},
        {"fence", "fence"},
        {"aR", "async_read"},
        {"aW", "async_write"},
        {"tx", "tx"},
        {"clc", "clc"},
        {"volatile", "volatile_value"},
    };
    if (c.accept("-")) return;
    while (!c.done()) {
        const auto begin = c.position();
        const auto name = c.word();
        if (name == "custom") {
            form.custom = true;
            continue;
        }
        const auto kind = kinds.find(name);
        if (kind == kinds.end()) {
            c.rewind(begin);
            c.fail(fmt::format("no effect {}", name));
        }
        Effect effect{kind->second, -1};
        if (c.accept("(")) {
            const auto operand_begin = c.position();
            const auto operand = c.word();
            for (std::size_t i = 0; i < form.operands.size(); i++)
                if (form.operands[i].name == operand) effect.operand = static_cast<int>(i);
            if (effect.operand < 0 && operand != "all") {
                c.rewind(operand_begin);
                c.fail(fmt::format("{} has no operand {}", form.opcode, operand));
            }
            c.expect(")");
        }
        form.effects.push_back(effect);
    }
}

void read_alphabet(Cursor& c, Alphabets& alphabets) {
    c.skip_space();
    const auto name = c.word();
    if (!is_slot_name(name)) c.fail("the name of an alphabet is upper-case");
    c.skip_space();
    c.expect("=");
    std::vector<Word> words;
    while (!c.done()) words.push_back(read_word(c));
    alphabets[name] = std::move(words);
}

Form read_row(std::string_view line, const std::string& family, const Alphabets& alphabets) {
    // Columns are separated by " | "; alternatives and joined operands have no space behind their bar.
    std::vector<std::pair<std::size_t, std::size_t>> columns;
    std::size_t begin = 0;
    for (;;) {
        const auto end = line.find(" | ", begin);
        columns.emplace_back(begin, std::min(end, line.size()));
        if (end == std::string_view::npos) break;
        begin = end + 2; // keeps a space, so that an empty column is found
    }
    if (columns.size() != 7)
        throw Mistake{0,
                      fmt::format("expected 7 columns (opcode | modifiers | operands | clauses | effects | minimum | "
                                  "section), found {}",
                                  columns.size())};
    const auto column = [&](int i) {
        Cursor c(line, columns[static_cast<std::size_t>(i)].first, columns[static_cast<std::size_t>(i)].second);
        c.skip_space();
        return c;
    };

    Form form;
    form.family = family;
    auto opcode = column(0);
    form.opcode = opcode.word(true);
    if (!opcode.done()) opcode.fail("unexpected text behind the opcode");
    auto modifiers = column(1);
    if (!modifiers.accept("-"))
        while (!modifiers.done()) form.slots.push_back(read_slot(modifiers, alphabets));
    if (!modifiers.done()) modifiers.fail("unexpected text behind '-'");
    if (form.slots.size() > 14) modifiers.fail("a form has room for 14 slots");
    auto operands = column(2);
    if (!operands.accept("-"))
        while (!operands.done()) form.operands.push_back(read_operand(operands, form));
    auto clauses = column(3);
    read_clauses(clauses, form);
    if (!clauses.done()) clauses.fail("unexpected text in the clauses");
    auto effects = column(4);
    read_effects(effects, form);
    auto minimum = column(5);
    form.minimum = read_minima(minimum);
    if (minimum.accept("..")) form.removed = read_minima(minimum);
    if (!minimum.done()) minimum.fail("unexpected text behind the minimum");
    auto section = column(6);
    form.section = section.rest();
    if (form.section.empty()) section.fail("expected a section of the manual");
    return form;
}

} // namespace

ptxgen::Type Word::type() const { return ptxgen::parse_type(text).value_or(ptxgen::Type::none); }
ptxgen::Space Word::space() const { return ptxgen::parse_space(text).value_or(ptxgen::Space::generic); }
unsigned Word::count() const {
    if (text.size() < 2 || text.size() > 3 || (text[0] != 'v' && text[0] != 'x')) return 0;
    unsigned count = 0;
    for (const char c : text.substr(1)) {
        if (c < '0' || c > '9') return 0;
        count = count * 10 + static_cast<unsigned>(c - '0');
    }
    return count;
}

void read_family(const std::string& file, const std::string& family, const std::string& text, std::vector<Form>& forms,
                 std::vector<Problem>& problems) {
    Alphabets alphabets;
    unsigned line_number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        auto line = std::string_view(text).substr(begin, end - begin);
        begin = end + 1;
        line_number++;
        line = line.substr(0, line.find('#'));
        Cursor c(line, 0, line.size());
        if (c.done()) continue;
        try {
            if (c.accept("alphabet "))
                read_alphabet(c, alphabets);
            else
                forms.push_back(read_row(line, family, alphabets));
        } catch (const Mistake& mistake) {
            problems.push_back({file, line_number, static_cast<unsigned>(mistake.position + 1), mistake.message});
        }
    }
}

void sort_rows(std::vector<Form>& forms) {
    std::stable_sort(forms.begin(), forms.end(), [](const Form& a, const Form& b) {
        return std::make_pair(a.head(), a.opcode) < std::make_pair(b.head(), b.opcode);
    });
}

} // namespace isa_gen
