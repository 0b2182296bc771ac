#include "runtime/emulator/decoder.hpp"

#include <algorithm>

namespace ptxgen::runtime::emulator {

bool Opcodes::synchronisation(Decoder& d) {
    if (d.is_opcode("membar") || d.is_opcode("fence")) {
        d.append(run_fence);
        return true;
    }
    if (d.is_opcode("griddepcontrol") || d.is_opcode("pmevent") || d.is_opcode("brkpt") || d.is_opcode("setmaxnreg")) {
        d.append(run_nop);
        return true;
    }
    if (d.is_opcode("nanosleep")) {
        const u32 a = d.source(d.instruction_->operands.front(), Type::u32);
        d.append(run_nanosleep).a = a;
        return true;
    }
    if (d.is_opcode("bar") && d.has("warp")) {
        const u32 mask = d.source(d.instruction_->operands.front(), Type::u32);
        Inst& i = d.append(run_warp_sync);
        i.e = mask;
        d.trace().uses = {mask};
        return true;
    }
    if (!d.is_opcode("bar") && !d.is_opcode("barrier")) return false;
    if (d.has("cluster")) return false;
    const bool aligned = d.is_opcode("bar") || d.has("aligned"), arrive = d.has("arrive"), reduce = d.has("red");
    std::vector<const Operand*> numbers;
    const auto specs = d.instruction_->row().operands;
    u32 result = no_slot, condition = no_slot;
    for (std::size_t k = 0; k < specs.size() && k < d.instruction_->operands.size(); ++k) {
        const Operand& o = d.instruction_->operands[k];
        if (o.kind == Operand::Kind::none) continue;
        const Type t = element_type(d.instruction_->row(), d.instruction_->choices, specs[k]);
        if (specs[k].written)
            result = t == Type::pred ? d.predicate_dest(&o) : d.dest(o, Type::u32);
        else if (t == Type::pred)
            condition = d.source(o, Type::pred);
        else
            numbers.push_back(&o);
    }
    const u32 id = numbers.empty() ? d.constant(0, 32) : d.source(*numbers[0], Type::u32);
    const u32 count = numbers.size() > 1 ? d.source(*numbers[1], Type::u32) : no_slot;
    Inst& i = d.append(run_barrier);
    i.a = id;
    i.b = count;
    i.c = condition;
    i.d = result;
    i.mode = static_cast<u8>((aligned ? 1 : 0) | (arrive ? 2 : 0));
    if (reduce) i.mode = static_cast<u8>(i.mode | (d.has("popc") ? 1 : d.has("and") ? 2 : 3) << 2);
    for (const u32 s : {id, count, condition})
        if (s != no_slot) d.trace().uses.push_back(s);
    if (result != no_slot) d.trace().writes = {result};
    return true;
}

bool Opcodes::lanes(Decoder& d) {
    if (d.is_opcode("activemask")) {
        const u32 result = d.dest("d");
        d.append(run_activemask).d = result;
        return true;
    }
    if (d.is_opcode("elect")) {
        const u32 result = d.dest("d", Type::b32), p = d.predicate_dest("dp");
        const Operand* mask = nullptr;
        const auto specs = d.instruction_->row().operands;
        for (std::size_t k = 0; k < specs.size() && k < d.instruction_->operands.size(); ++k)
            if (!specs[k].written) mask = &d.instruction_->operands[k];
        const u32 e = mask ? d.source(*mask, Type::b32) : d.constant(all_lanes, 32);
        Inst& i = d.append(run_elect);
        i.d = result;
        i.c = p;
        i.e = e;
        d.trace().uses = {e};
        d.trace().writes = {result, p};
        return true;
    }
    const bool shfl = d.is_opcode("shfl"), vote = d.is_opcode("vote"), match = d.is_opcode("match"),
               redux = d.is_opcode("redux");
    if (!shfl && !vote && !match && !redux) return false;
    const bool has_mask = d.has("sync");
    const u32 all = d.constant(all_lanes, 32);
    const auto mask_slot = [&] {
        if (!has_mask) return all;
        // the member mask is the last operand that is read
        const auto specs = d.instruction_->row().operands;
        const Operand* mask = nullptr;
        for (std::size_t k = 0; k < specs.size() && k < d.instruction_->operands.size(); ++k)
            if (!specs[k].written && d.instruction_->operands[k].kind != Operand::Kind::none)
                mask = &d.instruction_->operands[k];
        return mask ? d.source(*mask, Type::b32) : all;
    };
    if (shfl) {
        const u32 a = d.source("a"), b = d.source("b"), c = d.source("c"), m = mask_slot();
        const u32 result = d.dest("d"), p = d.predicate_dest("dp");
        u32* list = d.new_list(1);
        list[0] = p;
        Inst& i = d.append(run_shfl);
        i.a = a;
        i.b = b;
        i.c = c;
        i.e = m;
        i.d = result;
        i.list = list;
        i.mode = d.has("up") ? 0 : d.has("down") ? 1 : d.has("bfly") ? 2 : 3;
        d.trace().reads = {a};
        d.trace().uses = {b, c, m};
        d.trace().writes = {result, p};
        d.trace().shuffles = true;
        return true;
    }
    if (vote) {
        const bool ballot = d.has("ballot");
        const u32 a = d.predicate("a"), m = mask_slot();
        const u32 result = ballot ? d.dest("d", Type::b32) : d.predicate_dest("d");
        Inst& i = d.append(run_vote);
        i.a = a;
        i.e = m;
        i.d = result;
        i.mode = ballot ? 3 : d.has("all") ? 0 : d.has("any") ? 1 : 2;
        d.trace().uses = {m};
        d.trace().reads = {a};
        d.trace().writes = {result};
        d.trace().shuffles = true;
        return true;
    }
    if (match) {
        const Type t = d.type_of("a");
        const u32 a = d.source("a"), m = mask_slot();
        const u32 result = d.dest("d", Type::b32), p = d.predicate_dest("dp");
        Inst& i = d.append(run_match);
        i.a = a;
        i.e = m;
        i.d = result;
        i.c = p;
        i.bytes = static_cast<u16>(byte_size(t));
        i.mode = d.has("all") ? 1 : 0;
        d.trace().uses = {a, m};
        d.trace().writes = {result, p};
        return true;
    }
    const Type t = d.type_of("a");
    if (t == Type::f32) return false;
    const u32 a = d.source("a"), m = mask_slot(), result = d.dest("d");
    Inst& i = d.append(run_redux);
    i.a = a;
    i.e = m;
    i.d = result;
    i.mode = d.has("add") ? 0 : d.has("min") ? 1 : d.has("max") ? 2 : d.has("and") ? 3 : d.has("or") ? 4 : 5;
    i.n = t == Type::s32;
    d.trace().reads = {a};
    d.trace().uses = {m};
    d.trace().writes = {result};
    d.trace().shuffles = true;
    return true;
}

bool Opcodes::matrix(Decoder& d) {
    if (d.is_opcode("ldmatrix")) {
        const auto& operands = d.instruction_->operands;
        if (operands.size() < 2 || !d.has("b16") || !d.has("m8n8")) return false;
        const Operand& to = operands[0];
        const std::vector<Operand> elements = to.kind == Operand::Kind::vector ? to.elements : std::vector<Operand>{to};
        const Decoder::Address where = d.address(operands[1], true);
        u32* list = d.new_list(elements.size());
        for (std::size_t k = 0; k < elements.size(); ++k) list[k] = d.dest(elements[k], Type::b32);
        Inst& i = d.append(run_ldmatrix);
        i.a = where.slot;
        i.imm = where.offset;
        i.list = list;
        i.n = static_cast<u8>(elements.size());
        i.mode = d.has("trans");
        i.bytes = 16;
        d.trace().uses = {where.slot};
        d.trace().writes.assign(list, list + elements.size());
        d.trace().keeps = true;
        return true;
    }
    if (d.is_opcode("movmatrix")) {
        const u32 from = d.source("a"), to = d.dest("d");
        Inst& i = d.append(run_movmatrix);
        i.a = from;
        i.d = to;
        d.trace().reads = {from};
        d.trace().writes = {to};
        d.trace().shuffles = true;
        return true;
    }
    if (!d.is_opcode("mma") || d.has("sp")) return false;
    const auto& operands = d.instruction_->operands;
    std::string_view shape;
    for (const auto word : d.words_)
        if (word.size() > 3 && word[0] == 'm' && word[1] == '1') shape = word;
    // element types in the mnemonic: d, a, b, c
    std::vector<std::string_view> types;
    for (const auto word : d.words_)
        if (parse_type(word)) types.push_back(word);
    if (types.size() != 4 || operands.size() < 4 || !d.has("row") || !d.has("col")) return false;
    const unsigned k = static_cast<unsigned>(std::atoi(shape.substr(shape.find('k') + 1).data()));
    const bool integer = types[0] == "s32";
    if (!shape.starts_with("m16n8k")) return false;
    Key key{.sem = Sem::mma, .type = integer ? Type::s8 : *parse_type(types[1]), .n = static_cast<u8>(k)};
    u8 mode = 0;
    if (integer) {
        if ((types[1] != "s8" && types[1] != "u8") || (types[2] != "s8" && types[2] != "u8")) return false;
        mode = static_cast<u8>((types[1] == "s8" ? 1 : 0) | (types[2] == "s8" ? 2 : 0) | (d.has("satfinite") ? 4 : 0));
    } else {
        if (types[1] != "f16" && types[1] != "bf16" && types[1] != "tf32") return false;
        if (types[1] == "tf32" && k > 8) return false;
        mode = static_cast<u8>((types[1] == "f16"    ? 0
                                : types[1] == "bf16" ? 1
                                                     : 2) |
                               (types[0] == "f16" ? 4 : 0) | (types[3] == "f16" ? 8 : 0));
    }
    std::vector<u32> slots, results;
    for (std::size_t o = 0; o < 4; ++o) {
        const std::vector<Operand> elements =
            operands[o].kind == Operand::Kind::vector ? operands[o].elements : std::vector<Operand>{operands[o]};
        for (const Operand& e : elements) {
            slots.push_back(o == 0 ? d.dest(e, Type::b32) : d.source(e, types[o] == "f32" ? Type::f32 : Type::b32));
            if (o == 0) results.push_back(slots.back());
        }
    }
    u32* list = d.new_list(slots.size());
    std::copy(slots.begin(), slots.end(), list);
    Inst* i = d.emit(key);
    i->list = list;
    i->mode = mode;
    i->inner[0] = i->run[0];
    i->run[0] = i->run[1] = run_aligned;
    Trace& trace = d.trace();
    trace.reads.assign(slots.begin() + static_cast<std::ptrdiff_t>(results.size()), slots.end());
    trace.writes = results;
    trace.shuffles = true;
    return true;
}

} // namespace ptxgen::runtime::emulator
