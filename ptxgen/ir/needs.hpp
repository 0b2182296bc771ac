#pragma once

#include "ptxgen/ir/ir.hpp"

#include <string>
#include <vector>

namespace ptxgen {

/// What one thing in a module (an instruction, a special register, a directive) asks of version and target.
struct Need {
    std::vector<std::vector<Minimum>> parts; ///< each satisfied by any one of its alternatives
    std::optional<Minimum> removed;          ///< gone from this version on for targets that provide this one
    std::string what; ///< as printed, for messages: "mma.sync.aligned.m16n8k16…", "%clusterid.x"
    struct Place {
        int function = -1;    ///< index in Module::functions
        int instruction = -1; ///< -1: the function's signature
        SourceLocation location;
    };
    std::vector<Place> places; ///< where it stands, in the order of the text; not empty

    /// The lowest version with which `target` has it, nothing if no version has.
    std::optional<PtxVersion> lowest_version(Target target) const;
    bool available(PtxVersion version, Target target) const;
    /// "needs PTX 8.6 with sm_100a or PTX 8.8 with sm_100f"; for what is removed "is gone from PTX 6.4 on …".
    std::string describe(std::optional<PtxVersion> version, std::optional<Target> target) const;
};

/// Whether Need::places is to hold everywhere that the thing stands, or only the first place.
enum class Places : std::uint8_t { all, first };

/// Needs of a module, each distinct one once, in the order of their first places.
std::vector<Need> collect_needs(const Module& module, Places places = Places::all);

} // namespace ptxgen
