#pragma once

#include "ptxgen/base/result.hpp"
#include "ptxgen/ir/ir.hpp"
#include "runtime/device.hpp"
#include "runtime/emulator/machine.hpp"
#include "runtime/emulator/semantics.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ptxgen::runtime::emulator {

/// A module as loaded: its text, and where its variables lie in device memory.
struct LoadedText {
    ptxgen::Module module;
    std::vector<std::string> lines;      ///< of the text, for findings
    std::vector<u64> variable_addresses; ///< by index in Module::variables; 0: not in device memory
};

/// What an instruction reads and writes, for following undefined values.
struct Trace {
    std::vector<u32> reads; ///< operands whose undefinedness reaches the result
    std::vector<u32> uses;  ///< operands that must be defined: addresses, conditions, what is stored outside
    std::vector<u32> writes;
    bool stores = false;   ///< `reads` go to memory that may be the thread's own
    bool keeps = false;    ///< the handler itself sets its results' state (loads)
    bool shuffles = false; ///< lanes read each other
};

/// A kernel, decoded. Registers of a warp lie behind one another: constants first, then special registers, then the
/// kernel's own.
struct Program {
    std::string name;
    const Function* function = nullptr;
    std::shared_ptr<const LoadedText> text;
    std::vector<Inst> code;
    std::vector<Trace> traces;                   ///< parallel to `code`
    std::vector<std::unique_ptr<u32[]>> lists;   ///< vector operands
    std::vector<std::unique_ptr<u32[]>> offsets; ///< further address offsets
    std::vector<u8> constants;                   ///< the first bytes of every warp's registers
    struct Special {
        u32 offset;
        u16 index; ///< in special_registers()
        u8 bytes;  ///< of a lane
    };
    std::vector<Special> specials; ///< fixed for the life of a warp
    u32 register_bytes = 0;
    std::vector<std::pair<u32, u32>> undefined; ///< registers that may be read before they are written: offset, bytes
    u32 static_shared_bytes = 0;
    u32 dynamic_shared_offset = 0;
    u32 local_bytes = 0;
    u32 param_bytes = 0;
    std::vector<u32> param_offsets;
    u32 max_threads = 1024;        ///< of .maxntid
    Dim3 cluster{0, 0, 0};         ///< of .reqnctapercluster; 0: not said
    bool explicit_cluster = false; ///< .explicitcluster
    u32 max_cluster = 0;           ///< CTAs, of .maxclusterrank; 0: not said
    bool uses_clc = false;         ///< has clusterlaunchcontrol
};

/// Decodes a kernel for one build of the handlers. Fails at the first instruction that the emulator does not execute,
/// naming it with its line.
Result<std::unique_ptr<Program>> decode(std::shared_ptr<const LoadedText> text, const Function& kernel,
                                        Resolver resolver, bool checks);

/// Order of a function's basic blocks for the split scheduler: reverse post-order in which every loop is contiguous.
/// `successors[b]` lists the blocks that may follow b; block 0 is the entry. Unreachable blocks come last.
std::vector<u32> loop_contiguous_order(const std::vector<std::vector<u32>>& successors);

} // namespace ptxgen::runtime::emulator
