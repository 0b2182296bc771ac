#pragma once

#include "policies/registry.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {

/// STEAL at every n-th ask, DELAY in between: a throttle.
class EveryNth {
public:
    /// `n` from 1 on.
    explicit EveryNth(std::uint32_t n) : n_(n) {}

    void init(PolicyContext& context) { asks_ = context.state<u32>(0); }
    Answer should_try_steal(PolicyContext& context) const {
        const Val<u32> before = asks_.get();
        const Val<u32> ask = before + 1;
        const Pred due = ask >= n_;
        const Val<u32> none = context.k.imm<u32>(0);
        asks_.set(context.k.selp(none, ask, due));
        return {due, Decision::steal, Decision::delay};
    }
    std::string text() const { return fmt::format("every_nth({})", n_); }

    static PolicySpec spec() {
        return {"every_nth",
                "steals at every n-th ask and naps in between",
                {{"n", "asks", 1, 0xffffffff, "every 0th ask would divide by zero"}},
                {"every_nth(1)", "every_nth(2)", "every_nth(3)"},
                [](auto arguments) { return EveryNth(static_cast<std::uint32_t>(arguments[0])); }};
    }

private:
    std::uint32_t n_;
    State<u32> asks_;
};

} // namespace ptxgen::policies
