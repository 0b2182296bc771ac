#pragma once

#include "ptxgen/build/operators.hpp"
#include "ptxgen/text/text.hpp"

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen {

#include "ptxgen/build/generated/modifiers.inc"

class KernelBuilder;

/// Byte alignment of a declaration: align(128).
struct Alignment {
    std::uint32_t bytes = 0;
};
constexpr Alignment align(std::uint32_t bytes) { return {bytes}; }

/// The loop that a body of KernelBuilder::loop is in.
class Loop {
public:
    /// Leaves the loop where `p` holds.
    void break_if(const Pred& p);
    void break_();
    /// Goes on with the next round where `p` holds.
    void continue_if(const Pred& p);

private:
    friend class KernelBuilder;
    explicit Loop(FunctionState& state);
    void close();

    FunctionState* state_;
    std::uint32_t head_, end_, next_;
    std::uint32_t body_ = 0; ///< label behind the guard at the head, if there is one
    std::size_t start_;
    std::vector<Instruction> guard_;   ///< what computes the condition of the first break, if it stands at the head
    std::optional<Operand> condition_; ///< false whenever the end of the body is reached
    bool next_used_ = false;
};

/// A CTA or thread coordinate: k.tid.x.
struct SpecialDim3 {
    Special<u32> x, y, z;
    SpecialDim3(FunctionState& state, std::string_view x_name, std::string_view y_name, std::string_view z_name)
        : x(state, x_name), y(state, y_name), z(state, z_name) {}
};

/// Writes one kernel. A handle: copies write to the same kernel, which the ModuleBuilder owns.
///
/// Every PTX instruction has a method named after its opcode, with `_` for `.`: operands in PTX order without the
/// destination, which is returned; modifiers are tags (`relaxed, gpu, v4`) behind them. Types come from the operands;
/// where they do not say it, from a template argument: k.cvt<f32>(x, rn).
class KernelBuilder {
public:
    explicit KernelBuilder(FunctionState& state)
        : tid(state, "%tid.x", "%tid.y", "%tid.z"), ntid(state, "%ntid.x", "%ntid.y", "%ntid.z"),
          ctaid(state, "%ctaid.x", "%ctaid.y", "%ctaid.z"), nctaid(state, "%nctaid.x", "%nctaid.y", "%nctaid.z"),
          laneid(state, "%laneid"), warpid(state, "%warpid"), state_(&state) {}

    SpecialDim3 tid, ntid, ctaid, nctaid;
    Special<u32> laneid, warpid;

    FunctionState& state() const { return *state_; }
    Function& function() const { return state_->function(); }

    // Declarations

    /// The next kernel parameter: a scalar, or a pointer (64-bit; global pointers are converted to the global space).
    /// `alignment` is that of what a pointer points to, by default its element's.
    template <value_type T>
    Val<T> param(std::string_view name, std::string_view meaning = {}, Alignment alignment = {}) {
        Parameter parameter;
        parameter.name = name;
        parameter.comment = meaning;
        if constexpr (pointer_type<T>) {
            static_assert(T::space == Space::global || T::space == Space::generic || T::space == Space::constant,
                          "ptxgen: a kernel takes pointers into global, constant or generic memory");
            parameter.type = Type::u64;
            parameter.pointer = true;
            parameter.pointer_space = T::space;
            parameter.pointer_alignment = std::max(alignment.bytes, byte_size(T::element::type));
        } else {
            parameter.type = T::type;
        }
        return {*state_, declare_parameter(std::move(parameter))};
    }

    /// A register that is assigned; without a value it must be assigned before it is read.
    template <value_type T>
    Var<T> var() {
        return Var<T>(*state_, state_->new_register(T::type));
    }
    template <value_type T, class A>
    Var<T> var(A&& initial) {
        Var<T> variable = var<T>();
        if constexpr (std::is_arithmetic_v<std::remove_cvref_t<A>>)
            variable = initial;
        else
            variable = Val<T>(std::forward<A>(initial)); // a result that nobody holds is computed into the variable
        return variable;
    }
    /// N registers that are assigned, all with one initial value.
    template <value_type T, std::size_t N, class A>
    std::array<Var<T>, N> vars(const A& initial) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<Var<T>, N>{((void)I, var<T>(initial))...};
        }
        (std::make_index_sequence<N>{});
    }
    /// A C++ number as a value of a type.
    template <value_type T, class N>
    Val<T> imm(N number) {
        return {*state_, state_->immediate(T::type, number)};
    }

    /// `count` elements of shared memory. The verifier checks the sum against the target's limit.
    template <value_type T>
    Val<shared_ptr<T>> shared(std::string_view name, std::uint64_t count, Alignment alignment = {}) {
        return {*state_, declare_variable(name, Space::shared, T::type, count, alignment)};
    }
    /// Shared memory whose size the launch gives; at most one declaration per kernel.
    template <value_type T>
    Val<shared_ptr<T>> dynamic_shared(std::string_view name, Alignment alignment = {16}) {
        return {*state_, declare_dynamic_shared(name, T::type, alignment)};
    }
    template <value_type T>
    Val<local_ptr<T>> local(std::string_view name, std::uint64_t count, Alignment alignment = {}) {
        return {*state_, declare_variable(name, Space::local, T::type, count, alignment)};
    }
    /// A variable of the module, by its name.
    template <pointer_type P>
    Val<P> global(std::string_view name) {
        return {*state_, find_module_variable(name)};
    }

    /// Performance directive: max_threads(256) is `.maxntid 256, 1, 1`.
    void max_threads(std::uint32_t x, std::uint32_t y = 1, std::uint32_t z = 1) { directive("maxntid", {x, y, z}); }
    void required_threads(std::uint32_t x, std::uint32_t y = 1, std::uint32_t z = 1) {
        directive("reqntid", {x, y, z});
    }
    void min_ctas_per_sm(std::uint32_t n) { directive("minnctapersm", {n}); }
    void max_registers(std::uint32_t n) { directive("maxnreg", {n}); }
    void directive(std::string_view name, std::vector<std::uint32_t> values);

    /// Stands above the next instruction in the text.
    void comment(std::string_view text) { state_->next_comment = text; }

    // Control flow

    LabelRef label(std::string_view name = {}) { return LabelRef(state_->new_label(name)); }
    void place(LabelRef label) { state_->place_label(label.index()); }
    void bra_if(const Pred& p, LabelRef target);
    void ret_if(const Pred& p);
    void exit_if(const Pred& p);

    /// Instructions of `body` execute where `p` holds: guards, no branch. For a few simple instructions.
    template <std::invocable F>
    void predicated(const Pred& p, F&& body) {
        const auto outer = std::exchange(state_->guard, guard_operand(p));
        if (outer) state_->error("nested-guard", "predicated() inside predicated(); combine the predicates with &");
        body();
        state_->guard = outer;
    }
    template <std::invocable F>
    void if_(const Pred& p, F&& then) {
        const LabelRef end = label("endif");
        bra_if(!p, end);
        then();
        place(end);
    }
    template <std::invocable F, std::invocable G>
    void if_(const Pred& p, F&& then, G&& otherwise) {
        const LabelRef other = label("else"), end = label("endif");
        bra_if(!p, other);
        then();
        ptxgen::emit<Op::bra>(*state_, end);
        place(other);
        otherwise();
        place(end);
    }
    /// Repeats `body(Loop&)` until one of its breaks.
    template <std::invocable<Loop&> F>
    void loop(F&& body) {
        Loop l(*state_);
        body(l);
        l.close();
    }
    /// for (i = begin; i < end; i += step) body(i), begin, end and step of one integer type or numbers.
    template <value_type T, class Begin, class End, class Step, class F>
    void for_(const Begin& begin, const End& end, const Step& step, F&& body) {
        auto i = var<T>(begin);
        const LabelRef head = label("for"), done = label("endfor");
        bra_if(i >= end, done);
        place(head);
        body(i);
        i += step;
        bra_if(i < end, head);
        place(done);
    }
    /// body(0), …, body(n - 1) in C++: the kernel holds n copies.
    template <class F>
    void unroll(unsigned n, F&& body) {
        for (unsigned i = 0; i < n; i++) body(i);
    }

    // Memory

    /// Loads a narrow integer, zero- or sign-extended by the load itself: k.ld_wide<u32>(bytes + i).
    template <value_type T, typed_value P, class... Modifiers>
    Val<T> ld_wide(const P& pointer, const Modifiers&... modifiers) {
        using E = typename value_t<P>::element;
        static_assert(is_integer(E::type) && is_integer(T::type) && bit_width(T::type) >= bit_width(E::type),
                      "ptxgen: ld_wide extends an integer to a wider one");
        auto narrow = emit<Op::ld>(pointer, modifiers...);
        const Register wide = state_->new_register(T::type);
        state_->retarget_last(narrow.operand(), wide);
        return {*state_, Operand::reg(wide), true};
    }

    /// Assigns the results of the last instruction to variables, element by element.
    template <value_type T, std::size_t N>
    void assign(std::array<Var<T>, N>& variables, std::array<Val<T>, N>&& values) {
        for (std::size_t i = 0; i < N; i++) variables[i] = std::move(values[i]);
    }

    /// A pointer as the generic address of the same memory, and as a pointer of another kind.
    template <typed_value P>
    auto to_generic(const P& pointer) {
        using T = value_t<P>;
        Val<u64> address = widen_address(pointer);
        return generic_from(address, T::space).template as<generic_ptr<typename T::element>>();
    }

    /// A line of PTX; `{N}` stands for operand N: k.raw("add.s32 {0}, {1}, 5;", sum, x). Checked like text. An opcode
    /// that the table does not have needs the version and target that introduced it.
    template <class... Operands>
    void raw(std::string_view line, const Operands&... operands) {
        raw_line(line, {raw_operand(operands)...}, std::nullopt);
    }
    template <class... Operands>
    void raw(Minimum unknown, std::string_view line, const Operands&... operands) {
        raw_line(line, {raw_operand(operands)...}, unknown);
    }

    // Instructions, one method for each (generated from the table)
#include "ptxgen/build/generated/methods.inc"

    template <Op O, FixedString Word = "", class... Args>
    auto emit(const Args&... args) {
        return ptxgen::emit<O, Word>(*state_, args...);
    }
    template <Op O, FixedString Word, value_type Result, class... Args>
    auto emit_as(const Args&... args) {
        return ptxgen::emit<O, Word, Result>(*state_, args...);
    }

private:
    Operand declare_parameter(Parameter parameter);
    Operand declare_variable(std::string_view name, Space space, Type type, std::uint64_t count, Alignment alignment);
    Operand declare_dynamic_shared(std::string_view name, Type type, Alignment alignment);
    Operand find_module_variable(std::string_view name);
    Operand guard_operand(const Pred& p);
    void raw_line(std::string_view line, std::vector<Operand> operands, std::optional<Minimum> unknown);
    template <class A>
    Operand raw_operand(const A& a) {
        if constexpr (typed_value<A>) {
            // A destination has to stay the register itself; only what is no register is computed first.
            Operand operand = a.operand();
            return operand.kind == Operand::Kind::symbol || operand.value != 0
                       ? state_->materialise(operand, value_t<A>::type)
                       : operand;
        } else {
            return detail::to_operand(*state_, a, OperandSpec{}, std::is_floating_point_v<A> ? Type::f32 : Type::s64);
        }
    }
    template <class P>
    Val<u64> widen_address(const P& pointer) {
        const Operand address = state_->materialise(pointer.operand(), value_t<P>::type);
        if constexpr (bit_width(value_t<P>::type) == 64)
            return Val<u64>(*state_, address);
        else
            return ptxgen::emit<Op::cvt, "", u64>(*state_, Val<u32>(*state_, address));
    }
    Val<u64> generic_from(const Val<u64>& address, Space space);

    FunctionState* state_;
};

} // namespace ptxgen
