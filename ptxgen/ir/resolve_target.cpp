#include "ptxgen/ir/needs.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ptxgen {
namespace {

/// A target that may still be chosen, with the range of versions that the needs seen so far leave.
struct Candidate {
    Target target;
    PtxVersion lowest;
    PtxVersion below{255, 255}; ///< exclusive

    bool narrow(const Need& need, std::optional<PtxVersion> stated) {
        const auto version = need.lowest_version(target);
        if (!version) return false;
        lowest = std::max(lowest, *version);
        if (need.removed && target.provides(need.removed->target)) below = std::min(below, need.removed->version);
        const PtxVersion chosen = stated.value_or(lowest);
        return lowest <= chosen && chosen < below;
    }
};

std::vector<Candidate> candidates(const Module& module) {
    std::vector<Candidate> found;
    const auto consider = [&](const KnownTarget& known) {
        const PtxVersion lowest = std::max(known.version, module_floor.version);
        if (!module.version || lowest <= *module.version || module.target) found.push_back({known.target, lowest});
    };
    if (module.target) {
        for (const auto& known : known_targets())
            if (known.target == *module.target) consider(known);
        return found;
    }
    for (const bool plain : {true, false})
        for (const auto& known : known_targets())
            if ((known.target.variant == TargetVariant::plain) == plain && known.target.sm >= module_floor.target.sm)
                consider(known);
    return found;
}

std::string place(const Module& module, const Need& need) {
    std::string text = fmt::format("'{}'", need.what);
    const auto& first = need.places.front();
    if (first.function < 0) return text;
    const auto& function = module.functions[static_cast<std::size_t>(first.function)];
    text += fmt::format(" in {} '{}'", function.is_kernel ? "kernel" : "function", function.name);
    if (first.location.line != 0)
        text += fmt::format(" (line {})", first.location.line);
    else if (first.instruction >= 0)
        text += fmt::format(" (instruction {})", first.instruction);
    return text;
}

} // namespace

Result<Minimum> resolve_target(const Module& module) {
    auto left = candidates(module);
    if (left.empty()) {
        if (module.target) return Error{fmt::format("unknown target {}", to_string(*module.target))};
        return Error{fmt::format("no target is known to PTX {}; the lowest version that can be printed is {}",
                                 to_string(*module.version), to_string(module_floor.version))};
    }
    if (module.target && module.version) {
        const auto introduced = *introduced_in(*module.target);
        if (*module.version < introduced)
            return Error{fmt::format("target {} needs PTX {}, but the module is for PTX {}", to_string(*module.target),
                                     to_string(introduced), to_string(*module.version))};
        left.front().lowest = *module.version;
    }
    for (const auto& need : collect_needs(module, Places::first)) {
        const auto before = left.front();
        std::erase_if(left, [&](Candidate& candidate) { return !candidate.narrow(need, module.version); });
        if (!left.empty()) continue;
        std::string have;
        if (module.target && module.version)
            have =
                fmt::format("the module is for PTX {} with {}", to_string(*module.version), to_string(*module.target));
        else if (module.target)
            have = fmt::format("the module is for {}", to_string(*module.target));
        else if (module.version)
            have = fmt::format("the module is for PTX {}", to_string(*module.version));
        else
            have = fmt::format("what stands before it leaves {} with PTX {} as the lowest", to_string(before.target),
                               to_string(before.lowest));
        const auto target = module.target    ? module.target
                            : module.version ? std::nullopt
                                             : std::optional(before.target);
        return Error{fmt::format("{} {}, but {}", place(module, need), need.describe(module.version, target), have)};
    }
    return Minimum{module.version.value_or(left.front().lowest), left.front().target};
}

} // namespace ptxgen
