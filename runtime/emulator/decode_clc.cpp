#include "runtime/emulator/clc.hpp"
#include "runtime/emulator/decoder.hpp"

namespace ptxgen::runtime::emulator {

bool Opcodes::launch_control(Decoder& d) {
    if (!d.is_opcode("clusterlaunchcontrol")) return false;
    d.program_->uses_clc = true;
    if (d.has("try_cancel")) {
        const Decoder::Address slot = d.address(d.operand("a"), true), bar = d.address(d.operand("mb"), true);
        Inst& i = d.append(run_try_cancel);
        i.a = slot.slot;
        i.b = bar.slot;
        i.mode = d.has("multicast::cluster::all") ? 1 : 0;
        d.program_->offsets.push_back(std::make_unique<u32[]>(2));
        u32* offsets = d.program_->offsets.back().get();
        offsets[0] = static_cast<u32>(slot.offset);
        offsets[1] = static_cast<u32>(bar.offset);
        i.list = offsets;
        d.trace().uses = {slot.slot, bar.slot};
        return true;
    }
    const Operand& response = d.operand("a");
    if (response.kind != Operand::Kind::reg) return false;
    const u32 low = d.slot_of({response.id}), high = low + 1;
    if (d.has("is_canceled")) {
        const u32 result = d.predicate_dest("d");
        Inst& i = d.append(run_is_canceled);
        i.a = low;
        i.b = high;
        i.d = result;
        d.trace().uses = {low, high};
        d.trace().writes = {result};
        return true;
    }
    // the id's components, each to a register or nowhere
    const Operand& to = d.operand("d");
    u32* list = d.new_list(3);
    std::vector<u32> results;
    const auto place = [&](std::size_t component, const Operand& o) {
        list[component] = o.kind == Operand::Kind::reg ? d.dest(o, Type::b32) : no_slot;
        if (list[component] != no_slot) results.push_back(list[component]);
    };
    for (std::size_t k = 0; k < 3; ++k) list[k] = no_slot;
    if (to.kind == Operand::Kind::vector) {
        for (std::size_t k = 0; k < 3 && k < to.elements.size(); ++k) place(k, to.elements[k]);
    } else {
        place(d.has("get_first_ctaid::x") ? 0 : d.has("get_first_ctaid::y") ? 1 : 2, to);
    }
    Inst& i = d.append(run_first_ctaid);
    i.a = low;
    i.b = high;
    i.list = list;
    d.trace().uses = {low, high};
    d.trace().writes = results;
    return true;
}

} // namespace ptxgen::runtime::emulator
