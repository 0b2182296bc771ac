#include "runtime/emulator/decoder.hpp"

namespace ptxgen::runtime::emulator {

bool Opcodes::bits(Decoder& d) {
    const auto two = [&](Sem sem, Type t) {
        return d.emit_map({.sem = sem, .type = t}, {d.source("a"), d.source("b")}, d.dest("d"));
    };
    const auto three = [&](Sem sem) {
        return d.emit_map({.sem = sem, .type = Type::b32}, {d.source("a"), d.source("b"), d.source("c")}, d.dest("d"));
    };
    if (d.is_opcode("and") || d.is_opcode("or") || d.is_opcode("xor") || d.is_opcode("not")) {
        const Type t = d.type_of("d");
        const bool is_not = d.is_opcode("not");
        if (t == Type::pred) {
            const Sem sem = is_not               ? Sem::pred_not
                            : d.is_opcode("and") ? Sem::pred_and
                            : d.is_opcode("or")  ? Sem::pred_or
                                                 : Sem::pred_xor;
            if (is_not) return d.emit_map({.sem = sem, .type = t}, {d.predicate("a")}, d.predicate_dest("d"));
            return d.emit_map({.sem = sem, .type = t}, {d.predicate("a"), d.predicate("b")}, d.predicate_dest("d"));
        }
        if (is_not) return d.emit_map({.sem = Sem::not_, .type = t}, {d.source("a")}, d.dest("d"));
        return two(d.is_opcode("and") ? Sem::and_ : d.is_opcode("or") ? Sem::or_ : Sem::xor_, t);
    }
    if (d.is_opcode("cnot"))
        return d.emit_map({.sem = Sem::cnot, .type = d.type_of("d")}, {d.source("a")}, d.dest("d"));
    if (d.is_opcode("shl")) return two(Sem::shl, d.type_of("d"));
    if (d.is_opcode("shr")) return two(Sem::shr, d.type_of("d"));
    if (d.is_opcode("shf")) {
        const bool left = d.has("l"), clamp = d.has("clamp");
        return three(left ? (clamp ? Sem::shf_l_clamp : Sem::shf_l_wrap) : clamp ? Sem::shf_r_clamp : Sem::shf_r_wrap);
    }
    if (d.is_opcode("prmt") && d.words_.size() == 2 && d.operand("c").kind == Operand::Kind::integer &&
        (d.operand("c").value & 0x8888) == 0) {
        d.emit_map({.sem = Sem::prmt, .type = Type::b32, .variant = 1}, {d.source("a"), d.source("b")}, d.dest("d"));
        d.program_->code.back().imm = d.operand("c").value;
        return true;
    }
    if (d.is_opcode("prmt")) {
        return three(d.has("f4e")    ? Sem::prmt_f4e
                     : d.has("b4e")  ? Sem::prmt_b4e
                     : d.has("rc8")  ? Sem::prmt_rc8
                     : d.has("ecl")  ? Sem::prmt_ecl
                     : d.has("ecr")  ? Sem::prmt_ecr
                     : d.has("rc16") ? Sem::prmt_rc16
                                     : Sem::prmt);
    }
    if (d.is_opcode("lop3")) {
        const u32 result = d.dest("d");
        d.emit_map({.sem = Sem::lop3, .type = Type::b32}, {d.source("a"), d.source("b"), d.source("c")}, result);
        d.program_->code.back().imm = d.operand("lut").value;
        if (!d.present("dp")) return true;
        // dp = (d != 0) BOOL q
        const u32 p = d.predicate_dest("dp"), q = d.predicate("q");
        const u32 zero = d.constant(0, 32);
        Inst* i = d.emit({.sem = Sem::setp, .type = Type::b32, .variant = static_cast<u16>(Compare::ne)});
        i->d = p;
        i->e = d.scratch(1);
        i->a = result;
        i->b = zero;
        i->c = q;
        i->mode = d.has("and") ? 1 : 2;
        d.trace().reads = {result, q};
        d.trace().writes = {p};
        return true;
    }
    return false;
}

bool Opcodes::comparison(Decoder& d) {
    const bool setp = d.is_opcode("setp"), set = d.is_opcode("set");
    if (d.is_opcode("selp")) {
        const Type t = d.type_of("d");
        const u32 a = d.source("a"), b = d.source("b"), c = d.predicate("c");
        return d.emit_map({.sem = Sem::selp, .type = t}, {a, b, c}, d.dest("d"));
    }
    if (d.is_opcode("slct")) {
        const bool is_float = d.type_of("c") == Type::f32;
        return d.emit_map({.sem = is_float ? Sem::slct_f32 : Sem::slct,
                           .type = d.type_of("d"),
                           .variant = static_cast<u16>(d.has("ftz") ? 16 : 0)},
                          {d.source("a"), d.source("b"), d.source("c")}, d.dest("d"));
    }
    if (!setp && !set) return false;
    static constexpr std::pair<std::string_view, Compare> names[] = {
        {"eq", Compare::eq},   {"ne", Compare::ne},   {"lt", Compare::lt},   {"le", Compare::le},
        {"gt", Compare::gt},   {"ge", Compare::ge},   {"lo", Compare::lt},   {"ls", Compare::le},
        {"hi", Compare::gt},   {"hs", Compare::ge},   {"equ", Compare::equ}, {"neu", Compare::neu},
        {"ltu", Compare::ltu}, {"leu", Compare::leu}, {"gtu", Compare::gtu}, {"geu", Compare::geu},
        {"num", Compare::num}, {"nan", Compare::nan}};
    u16 variant = static_cast<u16>(d.has("ftz") ? 16 : 0);
    for (const auto& [name, compare] : names)
        if (d.words_.size() > 1 && d.words_[1] == name) variant |= static_cast<u16>(compare);
    const Type t = d.type_of("a");
    const u32 a = d.source("a"), b = d.source("b");
    const u32 c = d.present("c") ? d.predicate("c") : d.predicate_constant(true);
    const bool packed = t == Type::f16x2 || t == Type::bf16x2;
    const u32 p = set ? d.temporary(1) : d.predicate_dest("d");
    const u32 q = set ? (packed ? d.temporary(1) : d.scratch(1)) : d.predicate_dest("dp");
    Inst* i = d.emit({.sem = Sem::setp, .type = t, .variant = variant});
    i->d = p;
    i->e = q;
    i->a = a;
    i->b = b;
    i->c = c;
    if (d.present("c")) i->mode = d.has("and") ? 1 : d.has("or") ? 2 : 3;
    d.trace().reads = {a, b, c};
    d.trace().writes = {p, q};
    if (!set) return true;
    // the result as a number: all ones for an integer type, 1.0 for a floating one
    const Type result = d.type_of("d");
    const unsigned width = bit_width(result);
    const auto select = [&](u32 predicate, Type type, u64 yes, u32 to) {
        return d.emit_map({.sem = Sem::selp, .type = bits_type(bit_width(type))},
                          {d.constant(yes, bit_width(type)), d.constant(0, bit_width(type)), predicate}, to);
    };
    if (packed) {
        const u64 one = result == Type::f16x2 ? 0x3c00 : 0x3f80;
        const u32 low = d.temporary(32), high = d.temporary(32);
        select(p, Type::b32, one, low);
        select(q, Type::b32, one << 16, high);
        return d.emit_map({.sem = Sem::or_, .type = Type::b32}, {low, high}, d.dest("d"));
    }
    const u64 yes = result == Type::f32    ? 0x3f800000
                    : result == Type::f16  ? 0x3c00
                    : result == Type::bf16 ? 0x3f80
                                           : ~u64{0} >> (64 - width);
    return select(p, result, yes, d.dest("d"));
}

bool Opcodes::conversion(Decoder& d) {
    if (!d.is_opcode("cvt")) return false;
    if (d.has("pack")) return false;
    const Type to = d.type_of("d"), from = d.type_of("a");
    if (to == Type::none || from == Type::none || bit_width(to) == 128) return false;
    u16 mode = 0;
    bool to_integer = false;
    for (const auto word : d.words_) {
        if (word == "rni" || word == "rzi" || word == "rmi" || word == "rpi") {
            mode |= round_integer_flag;
            to_integer = true;
        }
        if (word == "rz" || word == "rzi") mode |= round_rz;
        if (word == "rm" || word == "rmi") mode |= round_rm;
        if (word == "rp" || word == "rpi") mode |= round_rp;
        if (word == "rs") return false;
    }
    (void)to_integer;
    if (d.has("rna")) mode |= round_rna;
    if (d.has("ftz")) mode |= float_ftz;
    if (d.has("sat")) mode |= float_sat;
    if (d.has("relu")) mode |= float_relu;
    if (d.has("satfinite")) mode |= convert_satfinite;
    const bool is_pair = to == Type::f16x2 || to == Type::bf16x2 || to == Type::e4m3x2 || to == Type::e5m2x2;
    const u32 a = d.source("a");
    const u32 b = is_pair && d.present("b") ? d.source("b") : no_slot;
    const u32 result = d.dest("d");
    Inst* i = d.emit({.sem = Sem::cvt, .type = to, .type2 = from, .variant = mode});
    i->d = result;
    i->a = a;
    i->b = b;
    i->imm = mode | static_cast<s64>(to) << 32 | static_cast<s64>(from) << 40;
    return true;
}

bool Opcodes::move(Decoder& d) {
    if (!d.is_opcode("mov")) return false;
    const Operand &to = d.operand("d"), &from = d.operand("a");
    if (from.kind == Operand::Kind::vector) return pack(d, from, bit_width(d.type_of("d")));
    if (to.kind == Operand::Kind::vector) return unpack(d, to, bit_width(d.type_of("a")));
    const Type t = d.type_of("d");
    if (t == Type::pred)
        return d.emit_map({.sem = Sem::pred_mov, .type = t}, {d.predicate("a")}, d.predicate_dest("d"));
    const auto mov = [&](Type type, u32 source, u32 result) {
        return d.emit_map({.sem = Sem::mov, .type = type}, {source}, result);
    };
    if (bit_width(t) == 128) {
        if (from.kind != Operand::Kind::reg || to.kind != Operand::Kind::reg) return false;
        const u32 a = d.slot_of({from.id}), b = d.slot_of({to.id});
        return mov(Type::b64, a, b) && mov(Type::b64, a + 1, b + 1);
    }
    return mov(t, d.source("a"), d.dest("d"));
}

/// d = {a0, a1, …}, a0 in the low bits.
bool Opcodes::pack(Decoder& d, const Operand& from, unsigned width) {
    const std::size_t n = from.elements.size();
    const unsigned part = width / static_cast<unsigned>(n);
    if (part == 8 || n > 4) return false;
    u32* list = d.new_list(n);
    for (std::size_t k = 0; k < n; ++k) list[k] = d.source(from.elements[k], bits_type(part));
    if (width == 128) {
        if (n != 2) return false;
        const u32 whole = d.slot_of({d.operand("d").id});
        const bool swapped = list[1] == whole; // the high half must not be overwritten before it is read
        for (const u32 k : {swapped ? 1u : 0u, swapped ? 0u : 1u})
            d.emit_map({.sem = Sem::mov, .type = Type::b64}, {list[k]}, whole + k);
        return true;
    }
    const u32 result = d.dest("d", bits_type(width));
    Inst* i = d.emit({.sem = Sem::pack, .type = bits_type(width), .type2 = bits_type(part)});
    i->d = result;
    i->list = list;
    i->n = static_cast<u8>(n);
    d.trace().reads.assign(list, list + n);
    d.trace().writes = {result};
    return true;
}

bool Opcodes::unpack(Decoder& d, const Operand& to, unsigned width) {
    const std::size_t n = to.elements.size();
    const unsigned part = width / static_cast<unsigned>(n);
    if (part == 8 || n > 4) return false;
    if (width == 128) {
        if (n != 2 || d.operand("a").kind != Operand::Kind::reg) return false;
        const u32 whole = d.slot_of({d.operand("a").id});
        for (u32 k = 0; k < 2; ++k)
            if (to.elements[k].kind == Operand::Kind::reg)
                d.emit_map({.sem = Sem::mov, .type = Type::b64}, {whole + k}, d.slot_of({to.elements[k].id}));
        return true;
    }
    const u32 source = d.source("a", bits_type(width));
    u32* list = d.new_list(n);
    Inst* i = d.emit({.sem = Sem::unpack, .type = bits_type(width), .type2 = bits_type(part)});
    i->a = source;
    i->list = list;
    i->n = static_cast<u8>(n);
    for (std::size_t k = 0; k < n; ++k) {
        list[k] = to.elements[k].kind == Operand::Kind::reg ? d.slot_of({to.elements[k].id}) : no_slot;
        if (list[k] != no_slot) d.trace().writes.push_back(list[k]);
    }
    d.trace().reads = {source};
    return true;
}

} // namespace ptxgen::runtime::emulator
