#pragma once

#include "policies/registry.hpp"

namespace ptxgen::policies {

/// EXIT, always: one tile for each launched CTA.
struct NeverSteal {
    Answer should_try_steal(PolicyContext&) const { return Decision::exit; }
    std::string text() const { return "never_steal"; }

    static PolicySpec spec() {
        return {
            "never_steal", "one tile for each launched CTA", {}, {"never_steal"}, [](auto) { return NeverSteal{}; }};
    }
};

} // namespace ptxgen::policies
