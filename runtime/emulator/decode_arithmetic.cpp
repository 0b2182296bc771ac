#include "runtime/emulator/decoder.hpp"

namespace ptxgen::runtime::emulator {
namespace {

u16 rounding_of(std::string_view word) {
    if (word == "rz" || word == "rzi") return round_rz;
    if (word == "rm" || word == "rmi") return round_rm;
    if (word == "rp" || word == "rpi") return round_rp;
    return round_rn;
}

} // namespace

bool Opcodes::arithmetic(Decoder& d) {
    static constexpr std::string_view heads[] = {
        "add",  "sub",   "mul",   "mad", "mul24", "mad24", "sad",  "div",      "rem",   "abs",  "neg",  "min", "max",
        "popc", "clz",   "bfind", "fns", "brev",  "bfe",   "bfi",  "bmsk",     "szext", "dp4a", "dp2a", "fma", "sqrt",
        "rcp",  "rsqrt", "sin",   "cos", "lg2",   "ex2",   "tanh", "copysign", "testp", "addc", "subc", "madc"};
    bool known = false;
    for (const auto h : heads) known = known || d.is_opcode(h);
    if (!known) return false;
    if (d.is_opcode("addc") || d.is_opcode("subc") || d.is_opcode("madc") || d.has("cc")) return carries(d);
    Type t = d.type_of("a");
    const Type result = d.type_of("d");
    if (d.is_opcode("testp")) return floating(d, t);
    // mixed precision: f32 arithmetic with narrower operands
    if (result == Type::f32 && (t == Type::f16 || t == Type::bf16)) t = Type::f32;
    const bool is_float =
        type_class(t) == TypeClass::floating || t == Type::f16x2 || t == Type::bf16x2 || t == Type::f32x2;
    return is_float ? floating(d, t) : integer(d, t);
}

bool Opcodes::carries(Decoder& d) {
    if (d.carry_ == no_slot) d.carry_ = d.temporary(1);
    const Type t = d.type_of("d");
    const bool add = d.is_opcode("add") || d.is_opcode("addc"), sub = d.is_opcode("sub") || d.is_opcode("subc");
    const bool reads = d.head_.back() == 'c' && d.head_ != "cc";
    const u32 a = d.source("a"), b = d.source("b");
    const u32 c = add || sub ? no_slot : d.source("c");
    const u32 result = d.dest("d");
    Inst* i = d.emit({.sem = add ? Sem::add_carry : sub ? Sem::sub_carry : Sem::mad_carry, .type = t});
    i->d = result;
    i->a = a;
    i->b = b;
    i->c = c;
    i->e = d.carry_;
    const bool writes = d.has("cc");
    i->mode = static_cast<u8>((reads ? 1 : 0) | (writes ? 2 : 0) | (d.has("hi") ? 4 : 0));
    Trace& trace = d.trace();
    for (const u32 s : {a, b, c})
        if (s != no_slot) trace.reads.push_back(s);
    if (reads) trace.reads.push_back(d.carry_);
    trace.writes = {result};
    if (writes) trace.writes.push_back(d.carry_);
    return true;
}

bool Opcodes::integer(Decoder& d, Type t) {
    const auto three = [&](Sem sem) {
        return d.emit_map({.sem = sem, .type = t}, {d.source("a"), d.source("b"), d.source("c")}, d.dest("d"));
    };
    const auto two = [&](Sem sem) {
        return d.emit_map({.sem = sem, .type = t}, {d.source("a"), d.source("b")}, d.dest("d"));
    };
    const auto one = [&](Sem sem) { return d.emit_map({.sem = sem, .type = t}, {d.source("a")}, d.dest("d")); };
    const bool hi = d.has("hi"), wide = d.has("wide"), sat = d.has("sat"), relu = d.has("relu"), clamp = d.has("clamp");
    if (d.is_opcode("add")) return two(sat ? Sem::add_sat : Sem::add);
    if (d.is_opcode("sub")) return two(sat ? Sem::sub_sat : Sem::sub);
    if (d.is_opcode("mul")) return two(wide ? Sem::mul_wide : hi ? Sem::mul_hi : Sem::mul_lo);
    if (d.is_opcode("mad")) return three(sat ? Sem::mad_hi_sat : wide ? Sem::mad_wide : hi ? Sem::mad_hi : Sem::mad_lo);
    if (d.is_opcode("mul24")) return two(hi ? Sem::mul24_hi : Sem::mul24_lo);
    if (d.is_opcode("mad24")) {
        if (sat) return false;
        return three(hi ? Sem::mad24_hi : Sem::mad24_lo);
    }
    if (d.is_opcode("sad")) return three(Sem::sad);
    if (d.is_opcode("div")) return two(Sem::div);
    if (d.is_opcode("rem")) return two(Sem::rem);
    if (d.is_opcode("abs")) return one(Sem::abs);
    if (d.is_opcode("neg")) return one(Sem::neg);
    if (d.is_opcode("min")) return two(relu ? Sem::min_relu : Sem::min);
    if (d.is_opcode("max")) return two(relu ? Sem::max_relu : Sem::max);
    if (d.is_opcode("popc")) return one(Sem::popc);
    if (d.is_opcode("clz")) return one(Sem::clz);
    if (d.is_opcode("bfind")) return one(d.has("shiftamt") ? Sem::bfind_shift : Sem::bfind);
    if (d.is_opcode("brev")) return one(Sem::brev);
    if (d.is_opcode("fns")) return three(Sem::fns);
    if (d.is_opcode("bfe")) return three(Sem::bfe);
    if (d.is_opcode("bfi"))
        return d.emit_map({.sem = Sem::bfi, .type = t}, {d.source("a"), d.source("b"), d.source("c"), d.source("e")},
                          d.dest("d"));
    if (d.is_opcode("bmsk")) return two(clamp ? Sem::bmsk_clamp : Sem::bmsk_wrap);
    if (d.is_opcode("szext")) return two(clamp ? Sem::szext_clamp : Sem::szext_wrap);
    const bool a_signed = d.type_of("a") == Type::s32, b_signed = d.type_of("b") == Type::s32;
    if (d.is_opcode("dp4a"))
        return three(a_signed ? (b_signed ? Sem::dp4a_ss : Sem::dp4a_su) : b_signed ? Sem::dp4a_us : Sem::dp4a_uu);
    if (d.is_opcode("dp2a")) {
        if (hi)
            return three(a_signed   ? (b_signed ? Sem::dp2a_hi_ss : Sem::dp2a_hi_su)
                         : b_signed ? Sem::dp2a_hi_us
                                    : Sem::dp2a_hi_uu);
        return three(a_signed   ? (b_signed ? Sem::dp2a_lo_ss : Sem::dp2a_lo_su)
                     : b_signed ? Sem::dp2a_lo_us
                                : Sem::dp2a_lo_uu);
    }
    return false;
}

bool Opcodes::floating(Decoder& d, Type t) {
    if (d.has("oob")) return false;
    u16 mode = 0;
    for (const auto word : d.words_) mode |= rounding_of(word);
    if (d.has("ftz")) mode |= float_ftz;
    if (d.has("sat")) mode |= float_sat;
    if (d.has("relu")) mode |= float_relu;
    if (d.has("NaN")) mode |= float_nan;
    if (d.has("xorsign")) mode |= float_xorsign;
    // operands in the computation's type; narrower ones of mixed precision are widened first
    const auto operand = [&](std::string_view name) {
        const Type own = d.type_of(name);
        if (t != Type::f32 || (own != Type::f16 && own != Type::bf16)) return d.source(name);
        const u32 wide = d.temporary(32);
        d.emit_map({.sem = Sem::cvt, .type = Type::f32, .type2 = own}, {d.source(name)}, wide);
        return wide;
    };
    const auto finish = [&](Sem sem, std::initializer_list<u32> sources, u32 result) {
        Key key{.sem = sem, .type = t, .variant = mode};
        d.emit_map(key, sources, result);
        d.program_->code.back().mode = static_cast<u8>(mode);
        return true;
    };
    const auto one = [&](Sem sem) {
        const u32 a = operand("a");
        return finish(sem, {a}, d.dest("d"));
    };
    const auto two = [&](Sem sem) {
        const u32 a = operand("a"), b = d.present("b") ? operand("b") : operand("c");
        if (t == Type::f32x2) {
            // each half by itself
            u32 halves[2][2], results[2];
            const u32 whole[2] = {a, b};
            for (int k = 0; k < 2; ++k) {
                u32* list = d.new_list(2);
                for (int h = 0; h < 2; ++h) list[h] = halves[k][h] = d.temporary(32);
                Inst* i = d.emit({.sem = Sem::unpack, .type = Type::b64, .type2 = Type::b32});
                i->a = whole[k];
                i->list = list;
                i->n = 2;
                d.trace().reads = {whole[k]};
                d.trace().writes = {halves[k][0], halves[k][1]};
            }
            t = Type::f32;
            u32* list = d.new_list(2);
            for (int h = 0; h < 2; ++h) {
                list[h] = results[h] = d.temporary(32);
                finish(sem, {halves[0][h], halves[1][h]}, results[h]);
            }
            const u32 result = d.dest("d");
            Inst* i = d.emit({.sem = Sem::pack, .type = Type::b64, .type2 = Type::b32});
            i->d = result;
            i->list = list;
            i->n = 2;
            d.trace().reads = {results[0], results[1]};
            d.trace().writes = {result};
            return true;
        }
        return finish(sem, {a, b}, d.dest("d"));
    };
    const auto three = [&](Sem sem) {
        const u32 a = operand("a"), b = operand("b"), c = operand("c");
        return finish(sem, {a, b, c}, d.dest("d"));
    };
    if (d.is_opcode("testp")) {
        const Sem sem = d.has("finite")       ? Sem::testp_finite
                        : d.has("infinite")   ? Sem::testp_infinite
                        : d.has("number")     ? Sem::testp_number
                        : d.has("notanumber") ? Sem::testp_notanumber
                        : d.has("normal")     ? Sem::testp_normal
                                              : Sem::testp_subnormal;
        return d.emit_map({.sem = sem, .type = t}, {d.source("a")}, d.predicate_dest("d"));
    }
    if (d.is_opcode("add")) return two(Sem::fadd);
    if (d.is_opcode("sub")) return two(Sem::fsub);
    if (d.is_opcode("mul")) return two(Sem::fmul);
    if (d.is_opcode("fma") || d.is_opcode("mad")) return t == Type::f32x2 ? false : three(Sem::ffma);
    if (d.is_opcode("div")) return two(Sem::fdiv);
    if (d.is_opcode("abs")) return one(Sem::fabs);
    if (d.is_opcode("neg")) return one(Sem::fneg);
    if (d.is_opcode("min") || d.is_opcode("max")) {
        const bool min = d.is_opcode("min");
        if (!d.present("c")) return two(min ? Sem::fmin : Sem::fmax);
        if (d.has("abs")) return false;
        return three(min ? Sem::fmin3 : Sem::fmax3);
    }
    if (d.is_opcode("sqrt")) return one(Sem::fsqrt);
    if (d.is_opcode("rcp")) return one(Sem::frcp);
    if (d.is_opcode("rsqrt")) return one(Sem::frsqrt);
    if (d.is_opcode("sin")) return one(Sem::fsin);
    if (d.is_opcode("cos")) return one(Sem::fcos);
    if (d.is_opcode("lg2")) return one(Sem::flg2);
    if (d.is_opcode("ex2")) return one(Sem::fex2);
    if (d.is_opcode("tanh")) return one(Sem::ftanh);
    if (d.is_opcode("copysign")) return two(Sem::copysign);
    return false;
}

} // namespace ptxgen::runtime::emulator
