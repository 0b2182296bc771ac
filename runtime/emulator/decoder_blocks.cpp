#include "runtime/emulator/decoder.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ptxgen::runtime::emulator {
namespace {

std::string name_of(const Instruction& i) { return i.form == raw_form ? i.raw_mnemonic : mnemonic(i.row(), i.choices); }
std::string_view head_of(std::string_view mnemonic) { return mnemonic.substr(0, mnemonic.find('.')); }

std::vector<std::string_view> split_words(std::string_view mnemonic) {
    std::vector<std::string_view> words;
    std::size_t at = 0;
    while (at < mnemonic.size()) {
        const std::size_t dot = std::min(mnemonic.find('.', at), mnemonic.size());
        words.push_back(mnemonic.substr(at, dot - at));
        at = dot + 1;
    }
    return words;
}

bool ends_thread(std::string_view head) { return head == "exit" || head == "ret" || head == "trap"; }

} // namespace

bool converges(const Instruction& i) {
    if (i.form == raw_form) return false;
    return i.row().has_effect(EffectKind::converge) || i.row().has_effect(EffectKind::barrier);
}

Status Decoder::build_blocks() {
    const auto& body = function_.body;
    const u32 count = static_cast<u32>(body.size());
    std::vector<bool> leads(count + 1, false);
    leads[0] = true;
    for (const Label& l : function_.labels)
        if (l.placed && l.position <= count) leads[l.position] = true;
    for (u32 k = 0; k < count; ++k) {
        const std::string name = name_of(body[k]);
        const std::string_view head = head_of(name);
        if (head == "bra" || ends_thread(head)) leads[k + 1] = true;
        if (body[k].guard && converges(body[k])) leads[k] = leads[k + 1] = true;
    }
    std::vector<u32> block_at(count + 1, no_slot);
    for (u32 k = 0; k < count;) {
        Block b;
        b.first = k;
        do ++k;
        while (k < count && !leads[k]);
        b.last = k;
        block_at[b.first] = static_cast<u32>(blocks_.size());
        // a guarded instruction in which the warp's lanes meet: its other lanes go around it
        if (body[b.first].guard && converges(body[b.first])) {
            Block skip;
            skip.first = skip.last = b.first;
            skip.end = Block::End::skip;
            blocks_.push_back(skip);
        }
        blocks_.push_back(b);
    }
    block_at[count] = static_cast<u32>(blocks_.size()); // behind the last instruction, threads end
    Block last;
    last.first = last.last = count;
    last.end = Block::End::leave;
    blocks_.push_back(last);

    for (u32 k = 0; k < blocks_.size(); ++k) {
        Block& b = blocks_[k];
        if (b.end == Block::End::leave) continue;
        if (b.end == Block::End::skip) {
            b.next = k + 1;
            b.target = block_at[b.first + 1];
            continue;
        }
        const Instruction& i = body[b.last - 1];
        const std::string name = name_of(i);
        const std::string_view head = head_of(name);
        b.next = block_at[b.last];
        if (head == "bra") {
            b.end = Block::End::branch;
            instruction_ = &i;
            mnemonic_ = name;
            const Operand* target = nullptr;
            for (const Operand& o : i.operands)
                if (o.kind == Operand::Kind::label) target = &o;
            if (!target || target->id >= function_.labels.size() || !function_.labels[target->id].placed)
                return unsupported("its label is not placed");
            b.target = block_at[function_.labels[target->id].position];
            if (!i.guard) b.next = no_slot;
        } else if (ends_thread(head)) {
            b.end = Block::End::leave;
            if (!i.guard) b.next = no_slot;
        }
    }
    return {};
}

Result<std::unique_ptr<Program>> Decoder::run() {
    program_->name = function_.name;
    program_->function = &function_;
    program_->text = text_;
    for (const auto& [directive, values] : function_.directives) {
        const auto value = [&values = values](std::size_t k) { return k < values.size() ? values[k] : 1u; };
        if (directive == "maxntid" || directive == "reqntid")
            program_->max_threads = static_cast<u32>(std::min<u64>(u64{value(0)} * value(1) * value(2), 1024));
        if (directive == "reqnctapercluster") program_->cluster = {value(0), value(1), value(2)};
        if (directive == "explicitcluster") program_->explicit_cluster = true;
        if (directive == "maxclusterrank") program_->max_cluster = value(0);
    }
    place_variables();
    if (auto status = build_blocks(); !status) return status.error();
    std::vector<std::vector<u32>> successors(blocks_.size());
    for (u32 k = 0; k < blocks_.size(); ++k) {
        const Block& b = blocks_[k];
        const bool conditional = b.last > b.first && function_.body[b.last - 1].guard.has_value();
        switch (b.end) {
        case Block::End::fall: successors[k] = {b.next}; break;
        case Block::End::skip: successors[k] = {b.next, b.target}; break;
        case Block::End::branch:
            successors[k] = {b.target};
            if (conditional) successors[k].insert(successors[k].begin(), b.next);
            break;
        case Block::End::leave:
            if (conditional) successors[k] = {b.next};
            break;
        }
    }
    std::vector<bool> reached(blocks_.size(), false);
    std::vector<u32> work{0};
    reached[0] = true;
    while (!work.empty()) {
        const u32 b = work.back();
        work.pop_back();
        for (const u32 s : successors[b])
            if (!reached[s]) {
                reached[s] = true;
                work.push_back(s);
            }
    }
    for (const u32 b : loop_contiguous_order(successors))
        if (reached[b]) order_.push_back(b);
    for (const u32 b : order_)
        if (auto status = emit_block(blocks_[b]); !status) return status.error();
    find_undefined();
    place_slots();
    // targets are block numbers until here
    for (Inst& i : program_->code) {
        const auto resolve = [&](const Inst*& field) {
            if (field) field = program_->code.data() + blocks_[reinterpret_cast<std::uintptr_t>(field) - 1].start;
        };
        resolve(i.target);
        resolve(i.fall);
    }
    return std::move(program_);
}

Status Decoder::emit_block(Block& block) {
    block.start = static_cast<u32>(program_->code.size());
    const bool has_end = block.end == Block::End::branch || block.end == Block::End::leave;
    const u32 plain_end = has_end && block.last > block.first ? block.last - 1 : block.last;
    for (u32 k = block.first; k < plain_end; ++k)
        if (auto status = decode_instruction(k); !status) return status;
    index_ =
        block.last > block.first
            ? block.last - 1
            : std::min<u32>(block.first, static_cast<u32>(function_.body.size()) - (function_.body.empty() ? 0 : 1));
    emit_end(block);
    block.stop = static_cast<u32>(program_->code.size());
    if (!error_.empty()) return Error{error_};
    return {};
}

void Decoder::emit_end(const Block& block) {
    const auto block_ref = [](u32 b) { return reinterpret_cast<const Inst*>(static_cast<std::uintptr_t>(b) + 1); };
    const bool at_instruction = block.end == Block::End::skip || block.last > block.first;
    instruction_ = at_instruction ? &function_.body[index_] : nullptr;
    if (instruction_) mnemonic_ = name_of(*instruction_);
    const Operand* guard =
        instruction_ && block.end != Block::End::fall && instruction_->guard ? &*instruction_->guard : nullptr;
    const bool trap = instruction_ && block.end == Block::End::leave && head_of(mnemonic_) == "trap";
    Inst& i = append(block.end == Block::End::leave ? (trap ? run_trap : run_exit)
                     : guard                        ? run_branch_if
                                                    : run_branch);
    i.count = block.last - block.first;
    if (guard) {
        i.guard = slot_of({guard->id});
        i.flip = guard->negated ? all_lanes : 0;
    }
    switch (block.end) {
    case Block::End::fall: i.target = block_ref(block.next); break;
    case Block::End::branch:
        i.target = block_ref(block.target);
        i.fall = guard ? block_ref(block.next) : nullptr;
        break;
    case Block::End::skip: // lanes whose guard does not hold go around
        i.flip = ~i.flip;
        i.target = block_ref(block.target);
        i.fall = block_ref(block.next);
        break;
    case Block::End::leave: i.fall = guard ? block_ref(block.next) : nullptr; break;
    }
}

Status Decoder::decode_instruction(u32 index) {
    index_ = index;
    instruction_ = &function_.body[index];
    mnemonic_ = name_of(*instruction_);
    if (instruction_->form == raw_form) return unsupported("an instruction outside of the table");
    words_ = split_words(mnemonic_);
    head_ = words_.front();
    widenings_.clear();
    const std::size_t first = program_->code.size();
    using Family = bool (*)(Decoder&);
    static constexpr Family families[] = {
        Opcodes::arithmetic,    Opcodes::bits,    Opcodes::comparison,      Opcodes::conversion, Opcodes::move,
        Opcodes::memory,        Opcodes::atomic,  Opcodes::addresses,       Opcodes::async_copy, Opcodes::mbarrier,
        Opcodes::bulk_copy,     Opcodes::cluster, Opcodes::synchronisation, Opcodes::lanes,      Opcodes::matrix,
        Opcodes::launch_control};
    bool known = false;
    for (const Family family : families)
        if (error_.empty() && family(*this)) {
            known = true;
            break;
        }
    if (!known) fail();
    for (const Widening& w : widenings_)
        emit_map({.sem = Sem::extend, .type = bits_type(w.bits), .type2 = w.type}, {w.from}, w.to);
    if (!error_.empty()) return Error{error_};

    const bool guarded = instruction_->guard && !converges(*instruction_);
    for (std::size_t k = first; k < program_->code.size(); ++k) {
        Inst& i = program_->code[k];
        Trace& t = program_->traces[k];
        if (t.reads.empty() && t.uses.empty() && t.writes.empty()) { // the usual meaning of the fields
            for (const u32 s : {i.a, i.b, i.c, i.e})
                if (s != no_slot) t.reads.push_back(s);
            if (i.d != no_slot) t.writes.push_back(i.d);
        }
        if (!guarded) continue;
        i.inner[0] = i.run[0];
        i.inner[1] = i.run[1];
        i.run[0] = i.run[1] = run_guarded;
        i.guard = slot_of({instruction_->guard->id});
        i.flip = instruction_->guard->negated ? all_lanes : 0;
    }
    return {};
}

/// Registers that some path reads before it has written them: forward data flow over the blocks. Writes under a guard
/// do not count.
void Decoder::find_undefined() {
    const std::size_t slots = slots_.size();
    std::vector<std::vector<bool>> at_entry(blocks_.size());
    std::vector<bool> initial(slots, false);
    for (std::size_t s = 0; s < slots; ++s)
        initial[s] = slots_[s].kind == SlotKind::constant || slots_[s].kind == SlotKind::special;
    std::vector<bool> reported(slots, false);
    const auto successors = [&](const Block& b) {
        std::vector<u32> out;
        if (b.target != no_slot) out.push_back(b.target);
        if (b.next != no_slot) out.push_back(b.next);
        return out;
    };
    const auto flow = [&](u32 number, bool report) {
        const Block& block = blocks_[number];
        std::vector<bool> defined = at_entry[number];
        for (u32 k = block.start; k < block.stop; ++k) {
            const Inst& i = program_->code[k];
            const Trace& t = program_->traces[k];
            const auto read = [&](u32 s) {
                if (s != no_slot && !defined[s] && report) reported[s] = true;
            };
            for (const u32 s : t.reads) read(s);
            for (const u32 s : t.uses) read(s);
            if (i.guard != no_slot) read(i.guard);
            const bool guarded = i.run[0] == run_guarded;
            for (const u32 s : t.writes)
                if (!guarded || slots_[s].kind == SlotKind::temporary) defined[s] = true;
        }
        return defined;
    };
    at_entry[0] = initial;
    std::vector<u32> work{0};
    while (!work.empty()) {
        const u32 b = work.back();
        work.pop_back();
        const std::vector<bool> out = flow(b, false);
        for (const u32 s : successors(blocks_[b])) {
            if (at_entry[s].empty()) {
                at_entry[s] = out;
                work.push_back(s);
                continue;
            }
            bool changed = false;
            for (std::size_t k = 0; k < slots; ++k)
                if (at_entry[s][k] && !out[k]) {
                    at_entry[s][k] = false;
                    changed = true;
                }
            if (changed) work.push_back(s);
        }
    }
    for (const u32 b : order_) {
        if (!at_entry[b].empty()) (void)flow(b, true);
    }
    undefined_slots_.clear();
    for (std::size_t s = 0; s < slots; ++s)
        if (reported[s]) undefined_slots_.push_back(static_cast<u32>(s));
}

} // namespace ptxgen::runtime::emulator
