#pragma once

#include "policies/registry.hpp"

namespace ptxgen::policies {

/// STEAL, always.
struct Greedy {
    static constexpr bool always_steals = true;

    Answer should_try_steal(PolicyContext&) const { return Decision::steal; }
    std::string text() const { return "greedy"; }

    static PolicySpec spec() {
        return {"greedy", "takes every tile that it can get", {}, {"greedy"}, [](auto) { return Greedy{}; }};
    }
};

} // namespace ptxgen::policies
