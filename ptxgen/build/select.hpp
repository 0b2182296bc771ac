#pragma once

#include "ptxgen/build/value.hpp"
#include "ptxgen/isa/table.hpp"

#include <array>
#include <span>

namespace ptxgen::detail {

// Choice of the table row for a builder call, at compile time: from the opcode, the types of the arguments and the
// modifier tags. The same table serves the parser and the verifier at run time.

enum class ArgKind : std::uint8_t {
    value,
    immediate_int,
    immediate_float,
    predicate,
    pointer,
    label,
    fragment,
    modifier
};

/// What the type of one argument says.
struct ArgInfo {
    ArgKind kind = ArgKind::value;
    Type type = Type::none;    ///< of a value, of the elements of a fragment; the address type of a pointer
    Type element = Type::none; ///< what a pointer points to
    bool is_const = false;     ///< pointer to const
    Space space = Space::generic;
    unsigned count = 1;
    std::string_view text = {}; ///< modifier
};

template <class A>
struct arg_info_of;
template <class T>
constexpr ArgInfo value_info() {
    if constexpr (pointer_type<T>) {
        ArgInfo info{ArgKind::pointer, T::type};
        if constexpr (value_type<typename T::element>) info.element = T::element::type;
        info.is_const = T::is_const;
        info.space = T::space;
        return info;
    } else if constexpr (T::type == Type::pred) {
        return {ArgKind::predicate, Type::pred};
    } else {
        return {ArgKind::value, T::type};
    }
}
template <class A>
constexpr ArgInfo arg_info() {
    using B = std::remove_cvref_t<A>;
    if constexpr (typed_value<B>)
        return value_info<value_t<B>>();
    else if constexpr (std::is_floating_point_v<B>)
        return {ArgKind::immediate_float};
    else if constexpr (std::is_integral_v<B>)
        return {ArgKind::immediate_int};
    else if constexpr (std::is_same_v<B, LabelRef>)
        return {ArgKind::label};
    else
        return arg_info_of<B>::value;
}
template <class X, std::size_t N>
struct arg_info_of<std::array<X, N>> {
    static constexpr ArgInfo value{ArgKind::fragment, value_t<X>::type, Type::none, false, Space::generic, N};
};
template <FixedString Text>
struct arg_info_of<Modifier<Text>> {
    static constexpr ArgInfo value{ArgKind::modifier, Type::none, Type::none, false, Space::generic, 1, Text.view()};
};

/// Why no row fits, the most specific reason over all rows; higher is more specific.
enum class Misfit : std::uint8_t {
    none,
    operand_count,
    operand_kind,
    modifier,     ///< a modifier that the instruction does not have
    no_such_type, ///< the instruction does not exist for this type
    mixed_types,
    pointee,          ///< pointer to another type than the value
    const_pointee,    ///< write through a pointer to const
    space,            ///< pointer into a space that the instruction does not take
    missing_modifier, ///< a required slot is empty: all operands fit
    combination,      ///< a clause forbids it
};

inline constexpr std::size_t max_args = 16;

struct Selection {
    Misfit misfit = Misfit::operand_count;
    std::uint16_t row = 0;
    Choices choices{};
    std::array<std::int8_t, max_args> spec_of_arg{}; ///< operand spec of every argument, -1 for modifiers
    std::array<std::int8_t, 2> dest{-1, -1};         ///< specs of the results
    std::array<std::int8_t, 2> like_arg{-1, -1};     ///< argument whose value type a result has, -1: by the form
    std::array<Type, 2> dest_type{};
    std::array<unsigned, 2> dest_count{1, 1};
};

constexpr bool returned(const OperandSpec& spec) { return spec.written && spec.kind != OperandKind::address; }

/// Whether a value of type `given` may stand where the form says `wanted`: bit types stand for every type of the width.
constexpr bool same_or_bits(Type given, Type wanted) {
    if (given == wanted) return true;
    if (bit_width(given) != bit_width(wanted)) return false;
    const auto neutral = [](Type t) { return type_class(t) == TypeClass::bits; };
    return neutral(given) || neutral(wanted);
}

/// The word of a type slot for a value's type: the same type, else the bit type of its width. -1: none.
constexpr int word_for_type(const Slot& slot, Type type) {
    for (std::size_t i = 0; i < slot.words.size(); i++)
        if (slot.words[i].type == type) return static_cast<int>(i);
    if (type == Type::pred) return -1;
    for (std::size_t i = 0; i < slot.words.size(); i++)
        if (slot.words[i].type != Type::none && slot.words[i].type == bits_type(bit_width(type)))
            return static_cast<int>(i);
    return -1;
}

constexpr bool is_type_slot(const Slot& slot) { return slot.words[0].type != Type::none; }

/// Tries one row. `word` is the expanded part of the method's name, `result` an explicit result type.
constexpr Selection try_row(const Form& form, std::string_view word, Type result, std::span<const ArgInfo> args,
                            bool with_pred) {
    Selection s;
    std::array<Type, max_slots> bound{}; // type of the values bound to a type slot
    const auto fail = [&s](Misfit misfit) {
        s.misfit = misfit;
        return s;
    };

    bool named = word.empty();
    for (std::size_t i = 0; i < form.slots.size(); i++) {
        const Slot& slot = form.slots[i];
        if (slot.in_method_name) {
            named = true;
            for (std::size_t w = 0; w < slot.words.size(); w++)
                if (slot.words[w].text == word) s.choices[i] = static_cast<std::uint8_t>(w + 1);
            if (s.choices[i] == 0) return fail(Misfit::operand_count);
        }
    }
    if (!named) return fail(Misfit::operand_count); // the row of a method without the word
    for (const auto& arg : args) {
        if (arg.kind != ArgKind::modifier || arg.text == "with_pred") continue;
        bool placed = false;
        for (std::size_t i = 0; i < form.slots.size() && !placed; i++) {
            if (s.choices[i] != 0) continue;
            for (std::size_t w = 0; w < form.slots[i].words.size() && !placed; w++)
                if (form.slots[i].words[w].text == arg.text) {
                    s.choices[i] = static_cast<std::uint8_t>(w + 1);
                    placed = true;
                }
        }
        if (!placed) return fail(Misfit::modifier);
    }

    // Arguments meet the source operands in order; optional ones are filled while arguments last.
    std::size_t sources = 0, optional = 0;
    for (const auto& spec : form.operands) {
        if (returned(spec) || spec.kind == OperandKind::sink) continue;
        if (spec.if_slot >= 0 && s.choices[static_cast<std::size_t>(spec.if_slot)] == 0) {
            // An operand that brings its optional modifier along (cache hints, masks) counts as optional.
            optional += form.slots[static_cast<std::size_t>(spec.if_slot)].words.size() == 1;
            continue;
        }
        if (spec.optional)
            optional++;
        else
            sources++;
    }
    std::size_t given = 0;
    for (const auto& arg : args) given += arg.kind != ArgKind::modifier;
    if (given < sources || given > sources + optional) return fail(Misfit::operand_count);
    std::size_t spare = given - sources;

    std::size_t at = 0;
    for (std::size_t o = 0; o < form.operands.size(); o++) {
        const OperandSpec& spec = form.operands[o];
        if (returned(spec) || spec.kind == OperandKind::sink) continue;
        if (spec.if_slot >= 0 && s.choices[static_cast<std::size_t>(spec.if_slot)] == 0) {
            const bool can = form.slots[static_cast<std::size_t>(spec.if_slot)].words.size() == 1 && spare > 0;
            if (!can) continue;
            spare--;
            s.choices[static_cast<std::size_t>(spec.if_slot)] = 1;
        } else if (spec.optional) {
            if (spare == 0) continue;
            spare--;
        }
        while (args[at].kind == ArgKind::modifier) s.spec_of_arg[at++] = -1;
        const ArgInfo& arg = args[at];
        s.spec_of_arg[at++] = static_cast<std::int8_t>(o);

        switch (spec.kind) {
        case OperandKind::label:
            if (arg.kind != ArgKind::label) return fail(Misfit::operand_kind);
            continue;
        case OperandKind::address: {
            if (arg.kind != ArgKind::pointer) return fail(Misfit::operand_kind);
            if (spec.space_slot >= 0) {
                const auto slot_at = static_cast<std::size_t>(spec.space_slot);
                const Slot& slot = form.slots[slot_at];
                if (s.choices[slot_at] == 0) {
                    if (arg.space == Space::generic) {
                        if (!slot.optional) return fail(Misfit::space);
                    } else {
                        for (std::size_t w = 0; w < slot.words.size() && s.choices[slot_at] == 0; w++)
                            if (slot.words[w].space == arg.space) s.choices[slot_at] = static_cast<std::uint8_t>(w + 1);
                        if (s.choices[slot_at] == 0) return fail(Misfit::space);
                    }
                } else {
                    const Space said = slot.words[s.choices[slot_at] - 1u].space;
                    if (said != arg.space && !(said == Space::shared_cluster && arg.space == Space::shared))
                        return fail(Misfit::space);
                }
            } else if (spec.space != arg.space &&
                       !(spec.space == Space::shared_cluster && arg.space == Space::shared)) {
                return fail(Misfit::space);
            }
            for (const auto& effect : form.effects)
                if (effect.operand == static_cast<std::int8_t>(o) && arg.is_const &&
                    (effect.kind == EffectKind::write || effect.kind == EffectKind::read_write ||
                     effect.kind == EffectKind::async_write))
                    return fail(Misfit::const_pointee);
            continue;
        }
        case OperandKind::immediate:
            if (arg.kind != ArgKind::immediate_int) return fail(Misfit::operand_kind);
            continue;
        case OperandKind::symbol:
        case OperandKind::list:
        case OperandKind::sink: return fail(Misfit::operand_kind);
        case OperandKind::predicate:
            if (arg.kind != ArgKind::predicate) return fail(Misfit::operand_kind);
            continue;
        case OperandKind::reg:
            if (arg.kind == ArgKind::immediate_int || arg.kind == ArgKind::immediate_float)
                return fail(Misfit::operand_kind);
            break;
        case OperandKind::value: break;
        }
        if (arg.kind == ArgKind::label) return fail(Misfit::operand_kind);

        unsigned count = spec.count;
        if (spec.count_slot >= 0) {
            const auto slot_at = static_cast<std::size_t>(spec.count_slot);
            const Slot& slot = form.slots[slot_at];
            if (s.choices[slot_at] == 0 && arg.kind == ArgKind::fragment)
                for (std::size_t w = 0; w < slot.words.size(); w++)
                    if (slot.words[w].count == arg.count) s.choices[slot_at] = static_cast<std::uint8_t>(w + 1);
            count = s.choices[slot_at] ? slot.words[s.choices[slot_at] - 1u].count : 1u;
        }
        if (arg.count != count) return fail(Misfit::operand_kind);
        if (arg.kind == ArgKind::immediate_int || arg.kind == ArgKind::immediate_float) continue; // takes any type
        const Type type = arg.type;
        if (spec.type_slot >= 0 && !spec.doubled) {
            const auto slot_at = static_cast<std::size_t>(spec.type_slot);
            const Slot& slot = form.slots[slot_at];
            if (bound[slot_at] != Type::none) {
                if (!same_or_bits(type, bound[slot_at])) return fail(Misfit::mixed_types);
                if (type_class(bound[slot_at]) == TypeClass::bits) bound[slot_at] = type;
                continue;
            }
            bound[slot_at] = type;
            if (s.choices[slot_at] == 0) {
                const int w = word_for_type(slot, type);
                if (w < 0) return fail(Misfit::no_such_type);
                s.choices[slot_at] = static_cast<std::uint8_t>(w + 1);
            } else if (!same_or_bits(type, slot.words[s.choices[slot_at] - 1u].type)) {
                return fail(Misfit::no_such_type);
            }
        } else if (spec.type_slot < 0) {
            const bool flexible = spec.wider_ok && is_integer(type) && bit_width(type) >= bit_width(spec.type);
            if (spec.type != Type::none && !same_or_bits(type, spec.type) && !flexible)
                return fail(Misfit::no_such_type);
        }
    }
    while (at < args.size()) {
        if (args[at].kind != ArgKind::modifier) return fail(Misfit::operand_count);
        s.spec_of_arg[at++] = -1;
    }

    // An explicit result type fills the slot of the first result; a pointer's element type fills what is still open.
    for (const auto& spec : form.operands) {
        if (!returned(spec) || spec.type_slot < 0 || result == Type::none) continue;
        const auto slot_at = static_cast<std::size_t>(spec.type_slot);
        const Slot& slot = form.slots[slot_at];
        const Type wanted = result;
        int w = -1;
        if (spec.doubled) {
            for (std::size_t i = 0; i < slot.words.size(); i++)
                if (doubled(slot.words[i].type) == wanted) w = static_cast<int>(i);
        } else {
            w = word_for_type(slot, wanted);
        }
        if (w < 0) return fail(Misfit::no_such_type);
        if (s.choices[slot_at] != 0 && s.choices[slot_at] != w + 1) return fail(Misfit::no_such_type);
        s.choices[slot_at] = static_cast<std::uint8_t>(w + 1);
        bound[slot_at] = wanted;
        break;
    }
    bool memory = false;
    for (const auto& effect : form.effects)
        memory = memory || effect.kind == EffectKind::read || effect.kind == EffectKind::write ||
                 effect.kind == EffectKind::read_write;
    const int t = slot_index(form, "T");
    if (memory && t >= 0 && is_type_slot(form.slots[static_cast<std::size_t>(t)]))
        for (const auto& arg : args) {
            if (arg.kind != ArgKind::pointer || arg.element == Type::none) continue;
            const auto slot_at = static_cast<std::size_t>(t);
            if (s.choices[slot_at] == 0) {
                const int w = word_for_type(form.slots[slot_at], arg.element);
                if (w < 0) return fail(Misfit::no_such_type);
                s.choices[slot_at] = static_cast<std::uint8_t>(w + 1);
                bound[slot_at] = arg.element;
            } else if (result == Type::none && bound[slot_at] != Type::none &&
                       !same_or_bits(arg.element, bound[slot_at]) &&
                       bit_width(arg.element) <= bit_width(bound[slot_at])) {
                return fail(Misfit::pointee);
            }
            break;
        }

    for (std::size_t i = 0; i < form.slots.size(); i++) {
        const Slot& slot = form.slots[i];
        if (s.choices[i] != 0) continue;
        if (slot.fallback >= 0)
            s.choices[i] = static_cast<std::uint8_t>(slot.fallback + 1);
        else if (!slot.optional && slot.words.size() == 1)
            s.choices[i] = 1;
        else if (!slot.optional)
            return fail(is_type_slot(slot) ? Misfit::no_such_type : Misfit::missing_modifier);
    }
    if (violated_clause_index(form, s.choices) >= 0) {
        // A fallback that the other choices forbid is left out.
        bool repaired = false;
        for (std::size_t i = 0; i < form.slots.size() && !repaired; i++)
            if (form.slots[i].optional && form.slots[i].fallback >= 0 && s.choices[i] == form.slots[i].fallback + 1) {
                s.choices[i] = 0;
                repaired = violated_clause_index(form, s.choices) < 0;
            }
        if (!repaired) return fail(Misfit::combination);
    }

    std::size_t results = 0;
    for (std::size_t o = 0; o < form.operands.size(); o++) {
        const OperandSpec& spec = form.operands[o];
        if (!returned(spec) || !is_present(s.choices, spec)) continue;
        if (spec.optional && !with_pred) continue;
        if (results == 2) break;
        s.dest[results] = static_cast<std::int8_t>(o);
        Type type = element_type(form, s.choices, spec);
        if (spec.type_slot >= 0 && !spec.doubled && bound[static_cast<std::size_t>(spec.type_slot)] != Type::none)
            type = bound[static_cast<std::size_t>(spec.type_slot)];
        if (spec.kind == OperandKind::predicate) type = Type::pred;
        s.dest_type[results] = type;
        s.dest_count[results] = element_count(form, s.choices, spec);
        // shfl.b32 of an f32 is an f32: a result of a bit type takes the value type of the first operand like it.
        for (std::size_t a = 0; a < args.size() && s.like_arg[results] < 0; a++) {
            if (args[a].kind != ArgKind::value && args[a].kind != ArgKind::pointer && args[a].kind != ArgKind::fragment)
                continue;
            const auto from = s.spec_of_arg[a];
            if (from < 0) continue;
            const OperandSpec& other = form.operands[static_cast<std::size_t>(from)];
            if (other.kind == OperandKind::address || other.doubled || spec.doubled) continue;
            const bool like = spec.type_slot >= 0 ? other.type_slot == spec.type_slot
                                                  : other.type_slot < 0 && other.type == spec.type &&
                                                        type_class(spec.type) == TypeClass::bits;
            if (like && result == Type::none && args[a].count == s.dest_count[results] &&
                same_or_bits(args[a].type, type))
                s.like_arg[results] = static_cast<std::int8_t>(a);
        }
        results++;
    }
    s.misfit = Misfit::none;
    return s;
}

constexpr Selection select(Op op, std::string_view word, Type result, std::span<const ArgInfo> args, bool with_pred) {
    Selection best;
    best.misfit = Misfit::operand_count;
    const auto& rows = op_rows[static_cast<std::size_t>(op)];
    for (std::size_t i = 0; i < rows.count; i++) {
        Selection s = try_row(table[rows.first + i], word, result, args, with_pred);
        s.row = static_cast<std::uint16_t>(rows.first + i);
        if (s.misfit == Misfit::none) return s;
        if (s.misfit > best.misfit) best = s;
    }
    return best;
}

} // namespace ptxgen::detail
