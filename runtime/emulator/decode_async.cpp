#include "runtime/emulator/decoder.hpp"

namespace ptxgen::runtime::emulator {

bool Opcodes::mbarrier(Decoder& d) {
    const bool copies = d.is_opcode("cp") && d.has("mbarrier");
    if (!d.is_opcode("mbarrier") && !copies) return false;
    if (d.has("pending_count")) {
        const u32 a = d.source("s", Type::b64), result = d.dest("d");
        Inst& i = d.append(run_pending_count);
        i.a = a;
        i.d = result;
        return true;
    }
    const bool expects = d.has("expect_tx"), parity = d.has("parity");
    const MbarrierOp op = copies ? (d.has("noinc") ? MbarrierOp::copies_arrive_noinc : MbarrierOp::copies_arrive)
                          : d.has("init")        ? MbarrierOp::init
                          : d.has("inval")       ? MbarrierOp::inval
                          : d.has("arrive_drop") ? (expects ? MbarrierOp::drop_expect_tx : MbarrierOp::arrive_drop)
                          : d.has("arrive")      ? (expects               ? MbarrierOp::arrive_expect_tx
                                                    : d.has("noComplete") ? MbarrierOp::arrive_no_complete
                                                                          : MbarrierOp::arrive)
                          : expects              ? MbarrierOp::expect_tx
                          : d.has("complete_tx") ? MbarrierOp::complete_tx
                          : d.has("try_wait")    ? (parity ? MbarrierOp::try_parity : MbarrierOp::try_wait)
                                                 : (parity ? MbarrierOp::test_parity : MbarrierOp::test_wait);
    const bool is_wait = d.has("try_wait") || d.has("test_wait");
    const Decoder::Address where = d.address(d.operand("a"), true);
    const u32 n = d.present("n") ? d.source("n", Type::u32) : no_slot;
    const u32 phase = is_wait ? d.source("s", parity ? Type::u32 : Type::b64) : no_slot;
    const u32 result = is_wait ? d.predicate_dest("d") : d.present("d") ? d.dest("d", Type::b64) : no_slot;
    Inst& i = d.append(run_mbarrier);
    i.a = where.slot;
    i.imm = where.offset;
    i.b = n;
    i.c = phase;
    i.d = result;
    i.n = static_cast<u8>(op);
    i.bytes = 8;
    // without a space the address is generic; other CTAs' mbarriers can be told something but not be waited for
    const bool in_cluster = d.has("shared::cluster"), shared = d.has("shared") || d.has("shared::cta") || in_cluster;
    const bool tells = d.has("arrive") || d.has("arrive_drop") || expects || d.has("complete_tx");
    i.mode = static_cast<u8>((shared ? mode_shared : mode_generic) |
                             (in_cluster || (!shared && tells && !copies) ? mode_cluster : 0) | mode_wide_address |
                             mode_store);
    d.trace().uses = {where.slot};
    for (const u32 s : {n, phase})
        if (s != no_slot) d.trace().uses.push_back(s);
    if (result != no_slot) d.trace().writes = {result};
    return true;
}

bool Opcodes::bulk_copy(Decoder& d) {
    if (!d.is_opcode("cp") || !d.has("bulk") || d.has("reduce") || d.has("tensor") || d.has("cp_mask")) return false;
    if (d.has("commit_group") || d.has("wait_group") || d.has("prefetch")) {
        d.append(run_nop); // copies to global memory are done when they are issued
        return true;
    }
    // cp.async.bulk.TARGET.SOURCE…
    const bool to_global = d.words_.size() > 3 && d.words_[3] == "global",
               from_global = d.words_.size() > 4 && d.words_[4] == "global";
    const Decoder::Address target = d.address(d.operand("d"), true), source = d.address(d.operand("s"), true);
    const u32 bytes = d.source("n", Type::u32);
    const u32 mask = d.present("mask") ? d.source("mask", Type::b16) : no_slot;
    u32 mbarrier = no_slot;
    s64 mbarrier_offset = 0;
    if (d.present("mb")) {
        const Decoder::Address mb = d.address(d.operand("mb"), true);
        mbarrier = mb.slot;
        mbarrier_offset = mb.offset;
    }
    Inst& i = d.append(run_bulk_copy);
    i.d = target.slot;
    i.a = source.slot;
    i.b = bytes;
    i.c = mask;
    i.e = mbarrier;
    i.mode = static_cast<u8>((to_global ? 1 : 0) | (from_global ? 2 : 0));
    d.program_->offsets.push_back(std::make_unique<u32[]>(3));
    u32* offsets = d.program_->offsets.back().get();
    offsets[0] = static_cast<u32>(target.offset);
    offsets[1] = static_cast<u32>(source.offset);
    offsets[2] = static_cast<u32>(mbarrier_offset);
    i.list = offsets;
    d.trace().uses = {target.slot, source.slot, bytes};
    for (const u32 s : {mask, mbarrier})
        if (s != no_slot) d.trace().uses.push_back(s);
    return true;
}

bool Opcodes::cluster(Decoder& d) {
    if (d.is_opcode("barrier") && d.has("cluster")) {
        d.append(d.has("arrive") ? run_cluster_arrive : run_cluster_wait).mode = d.has("aligned") ? 1 : 0;
        return true;
    }
    const bool map = d.is_opcode("mapa");
    if (map || d.is_opcode("getctarank")) {
        const Type t = d.type_of("a");
        const u32 a = d.source("a"), rank = map ? d.source("b") : no_slot, result = d.dest("d");
        Inst& i = d.append(map ? run_mapa : run_getctarank);
        i.a = a;
        i.b = rank;
        i.d = result;
        i.bytes = static_cast<u16>(byte_size(t));
        i.mode = d.has("shared::cluster") ? mode_shared : mode_generic;
        d.trace().uses = {a};
        if (map) d.trace().uses.push_back(rank);
        d.trace().writes = {result};
        return true;
    }
    return false;
}

} // namespace ptxgen::runtime::emulator
