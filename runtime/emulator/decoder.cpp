#include "runtime/emulator/decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ptxgen::runtime::emulator {

Decoder::Decoder(std::shared_ptr<const LoadedText> text, const Function& kernel, Resolver resolver, bool checks)
    : text_(std::move(text)), function_(kernel), resolver_(resolver), checks_(checks),
      program_(std::make_unique<Program>()), register_slots_(kernel.registers.size(), no_slot) {}

Error Decoder::unsupported(std::string_view why) const {
    const u32 line = instruction_ ? instruction_->location.line : function_.location.line;
    return Error{fmt::format("line {}: the emulator does not execute '{}' (kernel '{}'){}{}", line, mnemonic_,
                             function_.name, why.empty() ? "" : ": ", why)};
}

u32 Decoder::new_slot(SlotKind kind, unsigned bits, u64 value) {
    slots_.push_back({kind, static_cast<u16>(bits), value, no_slot, false});
    return static_cast<u32>(slots_.size() - 1);
}

u32 Decoder::constant(u64 value, unsigned bits) {
    if (bits == 8) bits = 16;
    if (bits > 1 && bits < 64) value &= (u64{1} << bits) - 1;
    const auto [it, added] = constants_.try_emplace({value, bits}, no_slot);
    if (added) it->second = new_slot(SlotKind::constant, bits, value);
    return it->second;
}

u32 Decoder::special(u16 index, unsigned bits) {
    const SpecialRegister& info = special_registers()[index];
    if (bits == 8) bits = 16;
    const bool timer = info.name.starts_with("%clock") || info.name.starts_with("%globaltimer");
    if (timer) {
        const u32 slot = temporary(bits);
        Inst& i = append(run_special);
        i.d = slot;
        i.imm = index;
        i.bytes = static_cast<u16>(bits / 8);
        return slot;
    }
    const auto [it, added] = specials_.try_emplace({index, bits}, no_slot);
    if (added) it->second = new_slot(SlotKind::special, bits, index);
    return it->second;
}

u32 Decoder::scratch(unsigned bits) {
    const auto [it, added] = scratch_.try_emplace(bits, no_slot);
    if (added) it->second = temporary(bits);
    return it->second;
}

u32 Decoder::slot_of(Register r) {
    u32& slot = register_slots_[r.index];
    if (slot == no_slot) {
        unsigned bits = bit_width(function_.registers[r.index].type);
        if (bits == 8) bits = 16;
        slot = new_slot(SlotKind::register_, std::min(bits, 64u));
        if (bits == 128) new_slot(SlotKind::register_, 64); // the high half has the next number
    }
    return slot;
}

const Operand* Decoder::find(std::string_view name) const {
    const auto specs = instruction_->row().operands;
    for (std::size_t k = 0; k < specs.size() && k < instruction_->operands.size(); ++k)
        if (specs[k].name == name && instruction_->operands[k].kind != Operand::Kind::none)
            return &instruction_->operands[k];
    return nullptr;
}

const Operand& Decoder::operand(std::string_view name) const {
    static const Operand missing{};
    const Operand* found = find(name);
    return found ? *found : missing;
}

Type Decoder::type_of(std::string_view name) const {
    for (const auto& spec : instruction_->row().operands)
        if (spec.name == name) return element_type(instruction_->row(), instruction_->choices, spec);
    return Type::none;
}

bool Decoder::has(std::string_view word) const { return std::find(words_.begin(), words_.end(), word) != words_.end(); }

Result<u64> Decoder::symbol_value(const Operand& o) const {
    const SymbolScope scope = o.scope;
    const auto offset = static_cast<u64>(o.value);
    if (scope == SymbolScope::local_variable && o.id < variable_offsets_.size())
        return variable_offsets_[o.id] + offset;
    if (scope == SymbolScope::module_variable && o.id < text_->module.variables.size()) {
        if (const auto shared = module_shared_offsets_.find(o.id); shared != module_shared_offsets_.end())
            return shared->second + offset;
        if (const u64 at = text_->variable_addresses[o.id]) return at + offset;
    }
    return Error{"the address of this symbol is not known"};
}

u32 Decoder::source(std::string_view name, Type type) {
    return source(operand(name), type == Type::none ? type_of(name) : type);
}

u32 Decoder::source(const Operand& o, Type type) {
    const unsigned bits = bit_width(type);
    switch (o.kind) {
    case Operand::Kind::reg: {
        if (bits == 1) {
            const u32 slot = slot_of({o.id});
            if (!o.negated) return slot;
            const u32 negation = temporary(1);
            emit_map({.sem = Sem::pred_not, .type = Type::pred}, {slot}, negation);
            return negation;
        }
        const u32 slot = slot_of({o.id});
        const unsigned width = slots_[slot].bits;
        if (width == bits || (bits == 8 && width == 16)) return slot;
        if (width < bits) {
            fail("a register is narrower than the operand");
            return slot;
        }
        const u32 narrow = temporary(bits == 8 ? 16 : bits);
        emit_map({.sem = Sem::extend, .type = bits_type(bits), .type2 = bits_type(width)}, {slot}, narrow);
        return narrow;
    }
    case Operand::Kind::integer:
        if (bits == 1) return predicate_constant((o.value != 0) != o.negated);
        if (type == Type::f32) { // an integer where a float is wanted stands for its value
            const float f = static_cast<float>(o.value);
            u32 raw;
            std::memcpy(&raw, &f, 4);
            return constant(raw, 32);
        }
        if (type == Type::f64) {
            const double f = static_cast<double>(o.value);
            u64 raw;
            std::memcpy(&raw, &f, 8);
            return constant(raw, 64);
        }
        return constant(static_cast<u64>(o.value), bits);
    case Operand::Kind::f32_bits:
        if (bits == 64) {
            float f;
            const u32 raw32 = static_cast<u32>(o.value);
            std::memcpy(&f, &raw32, 4);
            const double wide = static_cast<double>(f);
            u64 raw;
            std::memcpy(&raw, &wide, 8);
            return constant(raw, 64);
        }
        return constant(static_cast<u64>(o.value), bits);
    case Operand::Kind::f64_bits:
        if (bits == 32) {
            double f;
            std::memcpy(&f, &o.value, 8);
            const float narrow = static_cast<float>(f);
            u32 raw;
            std::memcpy(&raw, &narrow, 4);
            return constant(raw, 32);
        }
        return constant(static_cast<u64>(o.value), bits);
    case Operand::Kind::special: return special(static_cast<u16>(o.id), bits);
    case Operand::Kind::symbol: {
        const auto value = symbol_value(o);
        if (!value) {
            fail(value.error().message);
            return constant(0, bits);
        }
        return constant(*value, bits);
    }
    default: fail("an operand of this kind"); return constant(0, bits ? bits : 32);
    }
}

u32 Decoder::dest(std::string_view name, Type type) {
    return dest(operand(name), type == Type::none ? type_of(name) : type);
}

u32 Decoder::dest(const Operand& o, Type type) {
    const unsigned bits = bit_width(type);
    if (o.kind != Operand::Kind::reg) return scratch(bits == 8 ? 16 : bits);
    const u32 slot = slot_of({o.id});
    const unsigned width = slots_[slot].bits;
    if (width == bits) return slot;
    if (width < bits && !(bits == 8 && width == 16)) {
        fail("the destination is narrower than the result");
        return slot;
    }
    const u32 narrow = temporary(bits == 8 ? 16 : bits);
    widenings_.push_back({narrow, slot, type, width});
    return narrow;
}

u32 Decoder::predicate(std::string_view name) { return source(operand(name), Type::pred); }
u32 Decoder::predicate_dest(std::string_view name) { return predicate_dest(find(name)); }
u32 Decoder::predicate_dest(const Operand* o) {
    return o && o->kind == Operand::Kind::reg ? slot_of({o->id}) : scratch(1);
}

Decoder::Address Decoder::address(const Operand& o, bool prefer_wide) {
    if (o.base == Operand::Kind::reg) {
        const u32 slot = slot_of({o.id});
        const bool wide = slots_[slot].bits == 64;
        if (prefer_wide && !wide) { // 32-bit addresses are extended with zeros
            const u32 extended = temporary(64);
            emit_map({.sem = Sem::extend, .type = Type::u64, .type2 = Type::u32}, {slot}, extended);
            return {extended, o.value, true};
        }
        return {slot, o.value, wide};
    }
    u64 value = static_cast<u64>(o.value);
    if (o.base == Operand::Kind::symbol) {
        const auto symbol = symbol_value(o);
        if (!symbol)
            fail(symbol.error().message);
        else
            value = *symbol;
    }
    return {constant(value, prefer_wide ? 64 : 32), 0, prefer_wide};
}

Inst& Decoder::append(Handlers handlers) {
    Inst i{};
    i.run[0] = handlers.full;
    i.run[1] = handlers.masked;
    i.data[0] = handlers.data_full;
    i.data[1] = handlers.data_masked;
    i.d = i.a = i.b = i.c = i.e = i.guard = no_slot;
    i.source = index_;
    i.n = 1;
    program_->code.push_back(i);
    program_->traces.emplace_back();
    return program_->code.back();
}

Inst* Decoder::emit(const Key& key) {
    Handlers handlers = resolver_(key);
    if (!handlers) {
        fail();
        handlers = {run_nop, run_nop};
    }
    return &append(handlers);
}

bool Decoder::emit_map(const Key& key, std::initializer_list<u32> sources, u32 d) {
    Inst* i = emit(key);
    u32* fields[] = {&i->a, &i->b, &i->c, &i->e};
    std::size_t k = 0;
    for (const u32 s : sources) *fields[k++] = s;
    i->d = d;
    return true;
}

u32* Decoder::new_list(std::size_t n) {
    program_->lists.push_back(std::make_unique<u32[]>(n));
    list_sizes_.push_back(n);
    return program_->lists.back().get();
}

/// Shared and local variables get their offsets; dynamic shared memory begins behind the static variables.
void Decoder::place_variables() {
    u64 shared = 0, local = 0;
    u32 dynamic_alignment = 16;
    const auto align = [](u64 x, u64 a) { return (x + a - 1) / a * a; };
    const auto alignment_of = [](const Variable& v) {
        return std::max<u64>(v.alignment ? v.alignment : byte_size(v.type), 1);
    };
    const auto is_dynamic = [](const Variable& v) { return v.count && *v.count == 0; };
    std::vector<u32> used_module_shared;
    const auto note = [&](const Operand& o, const auto& self) -> void {
        const bool symbol =
            o.kind == Operand::Kind::symbol || (o.kind == Operand::Kind::address && o.base == Operand::Kind::symbol);
        if (symbol && o.scope == SymbolScope::module_variable && o.id < text_->module.variables.size() &&
            text_->module.variables[o.id].space == Space::shared &&
            std::find(used_module_shared.begin(), used_module_shared.end(), o.id) == used_module_shared.end())
            used_module_shared.push_back(o.id);
        for (const Operand& e : o.elements) self(e, self);
    };
    for (const Instruction& i : function_.body)
        for (const Operand& o : i.operands) note(o, note);
    std::sort(used_module_shared.begin(), used_module_shared.end());

    variable_offsets_.resize(function_.variables.size(), 0);
    for (const bool dynamic : {false, true}) {
        if (dynamic) {
            for (const u32 k : used_module_shared)
                if (is_dynamic(text_->module.variables[k]))
                    dynamic_alignment =
                        std::max<u32>(dynamic_alignment, static_cast<u32>(alignment_of(text_->module.variables[k])));
            program_->static_shared_bytes = static_cast<u32>(shared);
            shared = align(shared, dynamic_alignment);
            program_->dynamic_shared_offset = static_cast<u32>(shared);
        }
        const auto place = [&](const Variable& v) {
            if (!dynamic) shared = align(shared, alignment_of(v));
            const u64 at = shared;
            if (!dynamic) shared += v.byte_size();
            return at;
        };
        for (const u32 k : used_module_shared)
            if (is_dynamic(text_->module.variables[k]) == dynamic)
                module_shared_offsets_[k] = place(text_->module.variables[k]);
        for (std::size_t k = 0; k < function_.variables.size(); ++k) {
            const Variable& v = function_.variables[k];
            if (v.space == Space::shared && is_dynamic(v) == dynamic) variable_offsets_[k] = place(v);
        }
    }
    for (std::size_t k = 0; k < function_.variables.size(); ++k) {
        const Variable& v = function_.variables[k];
        if (v.space != Space::local) continue;
        local = align(local, alignment_of(v));
        variable_offsets_[k] = local;
        local += v.byte_size();
    }
    program_->local_bytes = static_cast<u32>(align(local, 16));
    u64 params = 0;
    for (const Parameter& p : function_.parameters) {
        params = align(params, std::max<u64>(p.alignment ? p.alignment : byte_size(p.type), 1));
        program_->param_offsets.push_back(static_cast<u32>(params));
        params += p.byte_size();
    }
    program_->param_bytes = static_cast<u32>(params);
}

/// Gives every slot that an instruction names its place, and rewrites the instructions.
void Decoder::place_slots() {
    const auto use = [&](u32 slot) {
        if (slot != no_slot) slots_[slot].used = true;
    };
    for (const Inst& i : program_->code)
        for (const u32 s : {i.d, i.a, i.b, i.c, i.e, i.guard}) use(s);
    for (std::size_t k = 0; k < program_->lists.size(); ++k)
        for (std::size_t j = 0; j < list_sizes_[k]; ++j) use(program_->lists[k][j]);
    u32 offset = 0;
    const auto bytes_of = [](const Slot& s) { return s.bits == 1 ? 64u : std::max(64u, s.bits * 4u); };
    for (const SlotKind kind : {SlotKind::constant, SlotKind::special, SlotKind::register_, SlotKind::temporary}) {
        for (Slot& s : slots_) {
            if (s.kind != kind || !s.used) continue;
            s.offset = offset;
            offset += bytes_of(s);
            if (kind == SlotKind::constant) {
                program_->constants.resize(offset, 0);
                u8* out = program_->constants.data() + s.offset;
                if (s.bits == 1) {
                    const u32 mask = static_cast<u32>(s.value);
                    std::memcpy(out, &mask, 4);
                } else {
                    for (u32 l = 0; l < warp_size; ++l)
                        std::memcpy(out + l * (s.bits / 8u), &s.value, std::min(8u, s.bits / 8u));
                }
            } else if (kind == SlotKind::special) {
                program_->specials.push_back(
                    {s.offset, static_cast<u16>(s.value), static_cast<u8>(s.bits == 1 ? 4 : s.bits / 8)});
            }
        }
    }
    program_->register_bytes = offset + 64;
    for (const u32 s : undefined_slots_)
        if (slots_[s].used) program_->undefined.emplace_back(slots_[s].offset, bytes_of(slots_[s]));
    const auto place = [&](u32& field) {
        if (field != no_slot) field = slots_[field].offset;
    };
    for (Inst& i : program_->code)
        for (u32* f : {&i.d, &i.a, &i.b, &i.c, &i.e, &i.guard}) place(*f);
    for (std::size_t k = 0; k < program_->lists.size(); ++k)
        for (std::size_t j = 0; j < list_sizes_[k]; ++j) place(program_->lists[k][j]);
    for (Trace& t : program_->traces)
        for (auto* list : {&t.reads, &t.uses, &t.writes})
            for (u32& s : *list) place(s);
}

Result<std::unique_ptr<Program>> decode(std::shared_ptr<const LoadedText> text, const Function& kernel,
                                        Resolver resolver, bool checks) {
    return Decoder(std::move(text), kernel, resolver, checks).run();
}

} // namespace ptxgen::runtime::emulator
