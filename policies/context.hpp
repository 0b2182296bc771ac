#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <functional>
#include <string_view>

namespace ptxgen::policies {

/// Where a value of a policy lives between its callbacks. A register of the leader is one of every thread, and is in
/// the way of the tile's code; shared memory costs the leader a load and a store.
enum class Placement : std::uint8_t { shared_memory, leader_register };

/// A value that a policy keeps from one callback to the next, one for each launched CTA.
template <value_type T>
class State {
public:
    State() = default; ///< to be assigned from PolicyContext::state
    State(FunctionState& function, Operand at, Placement placement)
        : function_(&function), at_(std::move(at)), placement_(placement) {}

    Val<T> get() const {
        if (placement_ == Placement::leader_register) return {*function_, function_->copy(at_, T::type)};
        return KernelBuilder(*function_).ld(Val<shared_ptr<T>>(*function_, at_));
    }
    void set(const Val<T>& value) const {
        if (placement_ == Placement::leader_register)
            function_->move(Register{at_.id}, value.operand(), T::type);
        else
            KernelBuilder(*function_).st(Val<shared_ptr<T>>(*function_, at_), value);
    }

private:
    FunctionState* function_ = nullptr;
    Operand at_;
    Placement placement_ = Placement::shared_memory;
};

/// What the callbacks of a policy emit with. All of it runs in one thread of the CTA (of a cluster's first CTA), the
/// leader.
class PolicyContext {
public:
    /// `dimensions`: of the grid that are used, 1 to 3.
    PolicyContext(KernelBuilder& builder, unsigned dimensions) : k(builder), dimensions_(dimensions) {}

    KernelBuilder& k;

    /// Linear number of the launched CTA: what it was launched as, whichever tiles it takes later.
    Val<u32> launched_cta();
    /// CTAs of the grid, which are as many as there are tiles.
    Val<u32> grid_ctas();
    /// %globaltimer now.
    Val<u64> nanoseconds();

    /// A value that starts as `initial` in every launched CTA. In `init` only.
    template <value_type T>
    State<T> state(const Val<T>& initial, Placement placement = Placement::shared_memory) {
        const State<T> made(k.state(), place(T::type, placement), placement);
        made.set(initial);
        return made;
    }
    template <value_type T, class N>
    requires std::is_arithmetic_v<N> State<T> state(N initial, Placement placement = Placement::shared_memory) {
        return state<T>(k.imm<T>(initial), placement);
    }

private:
    Operand place(Type type, Placement placement);

    unsigned dimensions_;
};

} // namespace ptxgen::policies
