#include "runtime/emulator/decoder.hpp"

#include <algorithm>

namespace ptxgen::runtime::emulator {
namespace {

const OperandSpec* spec_of(const Instruction& i, std::string_view name) {
    for (const auto& spec : i.row().operands)
        if (spec.name == name) return &spec;
    return nullptr;
}

/// How the emulator reaches a state space, a SpaceMode; constant memory lies with global memory.
u8 mode_of(Space space) {
    switch (space) {
    case Space::shared: return mode_shared;
    case Space::shared_cluster: return mode_shared | mode_cluster;
    case Space::local: return mode_local;
    case Space::generic: return mode_generic | mode_cluster;
    default: return mode_global;
    }
}

std::vector<Operand> elements_of(const Operand& o) {
    return o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
}

} // namespace

bool Opcodes::memory(Decoder& d) {
    const bool load = d.is_opcode("ld") || d.is_opcode("ldu"), store = d.is_opcode("st");
    if (d.is_opcode("prefetch") || d.is_opcode("prefetchu") || d.is_opcode("applypriority") || d.is_opcode("discard")) {
        d.append(run_nop);
        return true;
    }
    if (d.is_opcode("createpolicy")) { // a policy has no effect here; any value will do
        return d.emit_map({.sem = Sem::mov, .type = Type::b64}, {d.constant(0, 64)}, d.dest("d"));
    }
    if (!load && !store) return false;
    if (d.has("async") || d.has("bulk")) return false;
    const OperandSpec* spec = spec_of(*d.instruction_, "a");
    const Operand& at = d.operand("a");
    if (!spec) return false;
    const Space space = address_space(d.instruction_->row(), d.instruction_->choices, *spec);
    Type t = d.type_of(load ? "d" : "b");
    const Type whole = t;
    const Operand& data = d.operand(load ? "d" : "b");
    std::vector<Operand> elements = elements_of(data);
    unsigned size = bit_width(t);
    std::vector<u32> slots;
    unsigned width = std::max(size, 16u);
    if (size == 128) {
        if (elements.size() != 1 || elements[0].kind != Operand::Kind::reg) return false;
        const u32 low = d.slot_of({elements[0].id});
        slots = {low, low + 1};
        size = width = 64;
        t = Type::b64;
    } else {
        for (const Operand& e : elements)
            if (e.kind == Operand::Kind::reg) width = std::max<unsigned>(width, d.slots_[d.slot_of({e.id})].bits);
        for (const Operand& e : elements) {
            if (e.kind == Operand::Kind::reg) {
                const u32 slot = d.slot_of({e.id});
                if (d.slots_[slot].bits != width) {
                    d.fail("registers of different widths");
                    return true;
                }
                slots.push_back(slot);
            } else if (load) {
                slots.push_back(d.scratch(width));
            } else {
                slots.push_back(d.source(e, width == size ? t : bits_type(width)));
            }
        }
    }
    const u8 n = static_cast<u8>(slots.size());
    u32* list = nullptr;
    if (n > 1) {
        list = d.new_list(n);
        std::copy(slots.begin(), slots.end(), list);
    }
    const bool param_symbol = at.base == Operand::Kind::symbol && at.scope == SymbolScope::parameter;
    if (space == Space::param) {
        if (!load || !param_symbol || at.id >= d.program_->param_offsets.size()) {
            d.fail("parameters are read by name only");
            return true;
        }
        Inst* i = d.emit({.sem = Sem::load_param, .type = t, .type2 = bits_type(width)});
        i->imm = static_cast<s64>(d.program_->param_offsets[at.id]) + at.value;
        i->n = n;
        if (n > 1)
            i->list = list;
        else
            i->d = slots[0];
        if (i->imm < 0 || i->imm + static_cast<s64>(size / 8) * n > static_cast<s64>(d.program_->param_bytes))
            d.fail("it reads beyond the parameters");
        d.trace().writes = slots;
        return true;
    }
    if (param_symbol) {
        d.fail("the address of a parameter");
        return true;
    }
    const u8 full_mode = mode_of(space), mode = full_mode & mode_space_mask;
    const Decoder::Address where = d.address(at, mode == mode_global || mode == mode_generic);
    const bool polls = load && (d.has("volatile") || d.has("relaxed") || d.has("acquire") || d.has("mmio"));
    if (polls) {
        Inst& i = d.append(run_poll);
        i.a = where.slot;
        i.imm = where.offset;
        i.bytes = static_cast<u16>(size / 8 * n);
        i.mode = static_cast<u8>(full_mode | (where.wide ? mode_wide_address : 0));
        d.trace().uses = {where.slot};
    }
    const u8 key_space =
        static_cast<u8>(mode | (where.wide && mode != mode_global && mode != mode_generic ? mode_wide_address : 0));
    Inst* i = d.emit({.sem = load ? Sem::load : Sem::store,
                      .type = bit_width(whole) == 128 ? whole : t, // one access of 16 bytes, not two
                      .type2 = bits_type(width),
                      .n = n,
                      .checks = d.checks_,
                      .space = key_space});
    i->a = where.slot;
    i->imm = where.offset;
    i->n = n;
    i->bytes = static_cast<u16>(size / 8 * n);
    i->mode = static_cast<u8>(full_mode | (where.wide ? mode_wide_address : 0) | (store ? mode_store : 0));
    if (n > 1)
        i->list = list;
    else if (load)
        i->d = slots[0];
    else
        i->b = slots[0];
    Trace& trace = d.trace();
    trace.uses = {where.slot};
    if (load) {
        trace.writes = slots;
        trace.keeps = true;
    } else if (mode == mode_local || mode == mode_generic) {
        trace.reads = slots;
        trace.stores = true;
    } else {
        trace.uses.insert(trace.uses.end(), slots.begin(), slots.end());
    }
    return true;
}

bool Opcodes::atomic(Decoder& d) {
    const bool atom = d.is_opcode("atom"), red = d.is_opcode("red");
    if (!atom && !red) return false;
    if (d.has("async")) return false;
    static constexpr std::pair<std::string_view, AtomicOp> names[] = {
        {"exch", AtomicOp::exch}, {"cas", AtomicOp::cas}, {"add", AtomicOp::add}, {"inc", AtomicOp::inc},
        {"dec", AtomicOp::dec},   {"min", AtomicOp::min}, {"max", AtomicOp::max}, {"and", AtomicOp::and_},
        {"or", AtomicOp::or_},    {"xor", AtomicOp::xor_}};
    const AtomicOp* op = nullptr;
    for (const auto& [name, value] : names)
        if (d.has(name)) op = &value;
    const Type t = d.type_of("b");
    const Handler handler = op ? find_atomic(*op, t) : nullptr;
    const Operand& data = d.operand("b");
    const OperandSpec* spec = spec_of(*d.instruction_, "a");
    if (!handler || !spec || data.kind == Operand::Kind::vector) return false;
    const u8 mode = mode_of(address_space(d.instruction_->row(), d.instruction_->choices, *spec)),
             space = mode & mode_space_mask;
    const Decoder::Address where = d.address(d.operand("a"), space == mode_global || space == mode_generic);
    const u32 b = d.source("b"), c = d.present("c") ? d.source("c") : no_slot;
    const u32 result = atom ? d.dest("d") : no_slot;
    Inst& i = d.append(handler);
    i.a = where.slot;
    i.b = b;
    i.c = c;
    i.d = result;
    i.imm = where.offset;
    i.bytes = static_cast<u16>(byte_size(t));
    i.mode = static_cast<u8>(mode | (where.wide ? mode_wide_address : 0) | mode_store);
    Trace& trace = d.trace();
    trace.uses = {where.slot, b};
    if (c != no_slot) trace.uses.push_back(c);
    if (result != no_slot) {
        trace.writes = {result};
        trace.keeps = true;
    }
    return true;
}

bool Opcodes::addresses(Decoder& d) {
    const bool isspacep = d.is_opcode("isspacep");
    if (d.is_opcode("cvta")) {
        const Type t = d.type_of("d");
        const Space space = d.has("shared") || d.has("shared::cta") || d.has("shared::cluster") ? Space::shared
                            : d.has("local")                                                    ? Space::local
                            : d.has("param")                                                    ? Space::param
                                                                                                : Space::global;
        if (space == Space::param) return false;
        if (bit_width(t) == 32 && space != Space::global) return false;
        const Operand& from = d.operand("a");
        const u32 a = d.source(from, t), result = d.dest("d");
        if (space == Space::global) return d.emit_map({.sem = Sem::mov, .type = t}, {a}, result);
        Inst& i = d.append(d.has("to") ? run_from_generic : run_to_generic);
        i.a = a;
        i.d = result;
        i.mode = mode_of(space) & mode_space_mask;
        return true;
    }
    if (isspacep) {
        const std::string_view space = d.words_.back();
        const u32 a = d.source("a", Type::u64), result = d.predicate_dest("d");
        Inst& i = d.append(run_isspacep);
        i.a = a;
        i.d = result;
        i.mode = space == "shared::cluster"    ? mode_shared | mode_cluster
                 : space.starts_with("shared") ? mode_shared
                 : space == "local"            ? mode_local
                                               : mode_global;
        if (space == "const" || space.starts_with("param")) i.mode = mode_generic; // no window of its own: never there
        return true;
    }
    return false;
}

bool Opcodes::async_copy(Decoder& d) {
    if (!d.is_opcode("cp") || !d.has("async") || d.has("bulk") || d.has("reduce") || d.has("mbarrier")) return false;
    if (d.has("commit_group")) {
        d.append(run_cp_async_commit);
        return true;
    }
    if (d.has("wait_group") || d.has("wait_all")) {
        s64 pending = 0;
        for (const Operand& o : d.instruction_->operands)
            if (o.kind == Operand::Kind::integer) pending = o.value;
        Inst& i = d.append(run_cp_async_wait);
        i.imm = pending;
        i.mode = d.has("wait_all");
        return true;
    }
    const OperandSpec *to = nullptr, *from = nullptr;
    const auto specs = d.instruction_->row().operands;
    for (const auto& spec : specs)
        if (spec.kind == OperandKind::address) (to ? from : to) = &spec;
    if (!to || !from) return false;
    // operands in order: [shared], [global], bytes, [bytes of the source | predicate to ignore it]
    std::vector<const Operand*> rest;
    for (std::size_t k = 0; k < specs.size() && k < d.instruction_->operands.size(); ++k)
        if (specs[k].kind != OperandKind::address && d.instruction_->operands[k].kind != Operand::Kind::none &&
            specs[k].name != "pol")
            rest.push_back(&d.instruction_->operands[k]);
    if (rest.empty() || rest[0]->kind != Operand::Kind::integer) return false;
    const Decoder::Address target = d.address(d.operand(to->name), true),
                           source = d.address(d.operand(from->name), true);
    u32 source_bytes = no_slot, ignore = no_slot;
    if (rest.size() > 1) {
        const bool is_predicate = rest[1]->kind == Operand::Kind::reg && d.slots_[d.slot_of({rest[1]->id})].bits == 1;
        (is_predicate ? ignore : source_bytes) = d.source(*rest[1], is_predicate ? Type::pred : Type::u32);
    }
    Inst& i = d.append(run_cp_async);
    i.d = target.slot;
    i.a = source.slot;
    i.b = source_bytes;
    i.c = ignore;
    i.bytes = static_cast<u16>(rest[0]->value);
    i.imm = source.offset;
    i.count = static_cast<u32>(target.offset);
    d.trace().uses = {target.slot, source.slot};
    if (source_bytes != no_slot) d.trace().uses.push_back(source_bytes);
    if (ignore != no_slot) d.trace().uses.push_back(ignore);
    return true;
}

} // namespace ptxgen::runtime::emulator
