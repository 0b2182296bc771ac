#pragma once

#include "ptxgen/isa/form.hpp"

namespace ptxgen {

/// The rows of an Op: table[first] … table[first + count - 1].
struct OpRows {
    std::uint16_t first = 0;
    std::uint16_t count = 0;
};

#include "ptxgen/isa/generated/table.inc"

/// The table is generated as arrays of small numbers, which compilers read several times as fast as initialisers of its
/// structures; this turns them into the structures, at compile time.
namespace table_data {

constexpr std::string_view text(const std::uint16_t* code) { return {texts + code[0], code[1]}; }

template <class Element>
constexpr std::span<const Element> view(const Element* all, const std::uint16_t* code) {
    return code[1] == 0 ? std::span<const Element>{} : std::span<const Element>{all + code[0], code[1]};
}

constexpr std::int8_t slot(std::uint16_t code) { return static_cast<std::int8_t>(code - 1); }

template <class Element, std::size_t N>
struct Decoded {
    Element elements[N]{};
};

/// `stride` numbers make one element.
template <class Element, std::size_t stride, std::size_t N, class Decode>
constexpr auto decode(const std::uint16_t (&code)[N], Decode decode_one) {
    Decoded<Element, (N + stride - 1) / stride> result;
    for (std::size_t i = 0; i < N / stride; i++) decode_one(code + i * stride, result.elements[i]);
    return result;
}

inline constexpr auto minima = decode<Minimum, 4>(minima_code, [](const std::uint16_t* c, Minimum& m) {
    m.version.major = static_cast<std::uint8_t>(c[0]);
    m.version.minor = static_cast<std::uint8_t>(c[1]);
    m.target.sm = c[2];
    m.target.variant = static_cast<TargetVariant>(c[3]);
});

inline constexpr auto words = decode<Word, 7>(word_code, [](const std::uint16_t* c, Word& w) {
    w.text = text(c);
    w.type = static_cast<Type>(c[2]);
    w.space = static_cast<Space>(c[3]);
    w.count = static_cast<std::uint8_t>(c[4]);
    w.minimum = view(minima.elements, c + 5);
});

inline constexpr auto slots = decode<Slot, 6>(slot_code, [](const std::uint16_t* c, Slot& s) {
    s.name = text(c);
    s.words = view(words.elements, c + 2);
    s.optional = c[4] & 1u;
    s.in_method_name = c[4] & 2u;
    s.fallback = slot(c[5]);
});

inline constexpr auto operands = decode<OperandSpec, 13>(operand_code, [](const std::uint16_t* c, OperandSpec& o) {
    o.name = text(c);
    o.kind = static_cast<OperandKind>(c[2]);
    o.written = c[3] & 1u;
    o.doubled = c[3] & 2u;
    o.wider_ok = c[3] & 4u;
    o.braces = c[3] & 8u;
    o.optional = c[3] & 16u;
    o.joined = c[3] & 32u;
    o.sink_ok = c[3] & 64u;
    o.negatable = c[3] & 128u;
    o.type = static_cast<Type>(c[4]);
    o.type_slot = slot(c[5]);
    o.count = static_cast<std::uint8_t>(c[6]);
    o.count_slot = slot(c[7]);
    o.if_slot = slot(c[8]);
    o.space = static_cast<Space>(c[9]);
    o.space_slot = slot(c[10]);
    o.alignment = static_cast<std::uint8_t>(c[11]);
    o.min = ranges[c[12]][0];
    o.max = ranges[c[12]][1];
});

inline constexpr auto conditions =
    decode<Condition, 5>(condition_code, [](const std::uint16_t* c, Condition& condition) {
        condition.slot = static_cast<std::uint8_t>(c[0]);
        condition.choices = c[1] | std::uint64_t{c[2]} << 16 | std::uint64_t{c[3]} << 32 | std::uint64_t{c[4]} << 48;
    });

inline constexpr auto clauses = decode<Clause, 9>(clause_code, [](const std::uint16_t* c, Clause& clause) {
    clause.when = view(conditions.elements, c);
    clause.require = view(conditions.elements, c + 2);
    clause.minimum = view(minima.elements, c + 4);
    clause.never = c[6] != 0;
    clause.text = text(c + 7);
});

inline constexpr auto effects = decode<Effect, 2>(effect_code, [](const std::uint16_t* c, Effect& effect) {
    effect.kind = static_cast<EffectKind>(c[0]);
    effect.operand = slot(c[1]);
});

inline constexpr auto forms = decode<Form, 20>(form_code, [](const std::uint16_t* c, Form& form) {
    form.op = static_cast<Op>(c[0]);
    form.opcode = text(c + 1);
    form.family = text(c + 3);
    form.section = text(c + 5);
    form.slots = view(slots.elements, c + 7);
    form.operands = view(operands.elements, c + 9);
    form.clauses = view(clauses.elements, c + 11);
    form.effects = view(effects.elements, c + 13);
    form.minimum = view(minima.elements, c + 15);
    if (c[18] != 0) form.removed = minima.elements[c[17]];
    form.custom = c[19] != 0;
});

} // namespace table_data

/// All rows, those of one opcode's first word together, and within these those of one Op.
inline constexpr auto& table = table_data::forms.elements;

constexpr std::span<const Form> rows_of(Op op) {
    const auto rows = op_rows[static_cast<std::size_t>(op)];
    return {table + rows.first, rows.count};
}

} // namespace ptxgen
