#pragma once

#include "policies/registry.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {

/// EXIT once the launched CTA has got `most` tiles beyond its own.
class MaxSteals {
public:
    explicit MaxSteals(std::uint32_t most) : most_(most) {}

    void init(PolicyContext& context) { stolen_ = context.state<u32>(0); }
    Answer should_try_steal(PolicyContext&) const {
        const Val<u32> stolen = stolen_.get();
        return {stolen < most_, Decision::steal, Decision::exit};
    }
    KeepGoing keep_going_after_success(PolicyContext&) const {
        const Val<u32> before = stolen_.get();
        stolen_.set(before + 1);
        return true; // the next ask sees the limit
    }
    std::string text() const { return fmt::format("max_steals({})", most_); }

    static PolicySpec spec() {
        return {"max_steals",
                "at most n tiles beyond its own for each launched CTA",
                {{"n", "tiles", 0, 0xffffffff, ""}},
                {"max_steals(0)", "max_steals(1)", "max_steals(8)"},
                [](auto arguments) { return MaxSteals(static_cast<std::uint32_t>(arguments[0])); }};
    }

private:
    std::uint32_t most_;
    State<u32> stolen_;
};

} // namespace ptxgen::policies
