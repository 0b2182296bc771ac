#pragma once

#include "runtime/emulator/cta.hpp"
#include "runtime/emulator/program.hpp"

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace ptxgen::runtime::emulator {

inline constexpr u32 no_slot = ~u32{0};

/// Turns a kernel into a Program. While it works, operands of instructions are slot numbers; at the end every slot that
/// is used gets its place among the warp's registers.
class Decoder {
public:
    Decoder(std::shared_ptr<const LoadedText> text, const Function& kernel, Resolver resolver, bool checks);
    Result<std::unique_ptr<Program>> run();

private:
    friend struct Opcodes;

    enum class SlotKind : u8 { constant, special, register_, temporary };
    struct Slot {
        SlotKind kind;
        u16 bits;      ///< of a lane; 1 for a predicate
        u64 value = 0; ///< of a constant; index of a special register
        u32 offset = no_slot;
        bool used = false;
    };
    struct Block {
        u32 first = 0, last = 0; ///< instructions [first, last) of the body
        enum class End : u8 { fall, branch, leave, skip } end = End::fall;
        u32 target = no_slot, next = no_slot; ///< blocks
        u32 start = 0, stop = 0;              ///< in Program::code
    };

    // structure
    Status build_blocks();
    Status emit_block(Block& block);
    Status decode_instruction(u32 index);
    void emit_end(const Block& block);
    void place_variables();
    void place_slots();
    void find_undefined();
    Error unsupported(std::string_view why = {}) const;

    // slots
    u32 new_slot(SlotKind kind, unsigned bits, u64 value = 0);
    u32 constant(u64 value, unsigned bits);
    u32 predicate_constant(bool value) { return constant(value ? all_lanes : 0, 1); }
    u32 special(u16 index, unsigned bits);
    u32 temporary(unsigned bits) { return new_slot(SlotKind::temporary, bits); }
    u32 scratch(unsigned bits);
    u32 slot_of(Register r);

    // operands of the instruction in hand
    const Operand* find(std::string_view name) const;
    const Operand& operand(std::string_view name) const;
    bool present(std::string_view name) const { return find(name) != nullptr; }
    Type type_of(std::string_view name) const; ///< element type of an operand
    bool has(std::string_view word) const;
    bool is_opcode(std::string_view head) const { return head == head_; }
    u32 source(std::string_view name, Type type = Type::none);
    u32 source(const Operand& operand, Type type);
    u32 dest(std::string_view name, Type type = Type::none);
    u32 dest(const Operand& operand, Type type);
    u32 predicate(std::string_view name);      ///< read; a negation is emitted before
    u32 predicate_dest(std::string_view name); ///< a sink, or nothing, goes to scratch
    u32 predicate_dest(const Operand* operand);
    Result<u64> symbol_value(const Operand& operand) const;
    struct Address {
        u32 slot;
        s64 offset;
        bool wide; ///< 64-bit lanes
    };
    Address address(const Operand& operand, bool prefer_wide);

    // emission
    Inst& append(Handlers handlers);
    Inst& append(Handler handler) { return append(Handlers{handler, handler}); }
    Inst* emit(const Key& key); ///< nullptr after setting the error
    bool emit_map(const Key& key, std::initializer_list<u32> sources, u32 d);
    u32* new_list(std::size_t n);
    Trace& trace() { return program_->traces.back(); }
    void fail(std::string_view why = {}) {
        if (error_.empty()) error_ = unsupported(why).message;
    }

    std::shared_ptr<const LoadedText> text_;
    const Function& function_;
    Resolver resolver_;
    bool checks_;
    std::unique_ptr<Program> program_;
    std::vector<Block> blocks_;
    std::vector<u32> order_;
    std::vector<Slot> slots_;
    std::vector<u32> register_slots_;
    std::map<std::tuple<u64, unsigned>, u32> constants_;
    std::map<std::tuple<u16, unsigned>, u32> specials_;
    std::map<unsigned, u32> scratch_;
    std::vector<std::size_t> list_sizes_;
    std::vector<u32> undefined_slots_;         ///< may be read before they are written
    std::vector<u64> variable_offsets_;        ///< of Function::variables
    std::map<u32, u64> module_shared_offsets_; ///< of module-scope shared variables, by index
    u32 carry_ = no_slot;

    // the instruction in hand
    const Instruction* instruction_ = nullptr;
    u32 index_ = 0;
    std::string mnemonic_;
    std::string_view head_;
    std::vector<std::string_view> words_;
    struct Widening {
        u32 from, to;
        Type type;
        unsigned bits;
    };
    std::vector<Widening> widenings_; ///< results to extend into wider registers
    std::string error_;
};

/// Decodes one instruction through the decoder; false if there is none of that opcode. One function per family.
struct Opcodes {
    static bool arithmetic(Decoder& d);
    static bool integer(Decoder& d, Type t);
    static bool floating(Decoder& d, Type t);
    static bool carries(Decoder& d);
    static bool bits(Decoder& d);
    static bool comparison(Decoder& d);
    static bool conversion(Decoder& d);
    static bool move(Decoder& d);
    static bool pack(Decoder& d, const Operand& from, unsigned width);
    static bool unpack(Decoder& d, const Operand& to, unsigned width);
    static bool memory(Decoder& d);
    static bool atomic(Decoder& d);
    static bool addresses(Decoder& d);
    static bool async_copy(Decoder& d);
    static bool mbarrier(Decoder& d);
    static bool bulk_copy(Decoder& d);
    static bool cluster(Decoder& d);
    static bool launch_control(Decoder& d);
    static bool synchronisation(Decoder& d);
    static bool lanes(Decoder& d);
    static bool matrix(Decoder& d);
};

/// Whether the lanes of a warp meet in this instruction, so that a guard must become a branch.
bool converges(const Instruction& instruction);

} // namespace ptxgen::runtime::emulator
