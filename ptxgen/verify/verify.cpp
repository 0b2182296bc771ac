#include "ptxgen/verify/verify.hpp"

#include "ptxgen/ir/needs.hpp"
#include "ptxgen/verify/report.hpp"

#include <algorithm>

namespace ptxgen {
namespace verifier {

void check_availability(Report& report) {
    const auto& module = report.module();
    if (module.target && !introduced_in(*module.target))
        return report.add(Severity::error, "target", fmt::format("unknown target {}", to_string(*module.target)));
    if (!module.target || !module.version) {
        if (const auto resolved = resolve_target(module); !resolved)
            report.add(Severity::error, "target", resolved.error().message);
        return;
    }
    if (const auto introduced = *introduced_in(*module.target); *module.version < introduced)
        report.add(Severity::error, "target",
                   fmt::format("target {} needs PTX {}, but the module is for PTX {}", to_string(*module.target),
                               to_string(introduced), to_string(*module.version)));
    for (const auto& need : collect_needs(module)) {
        if (need.available(*module.version, *module.target)) continue;
        for (const auto& place : need.places) {
            const auto* function =
                place.function < 0 ? nullptr : &module.functions[static_cast<std::size_t>(place.function)];
            report.add(Severity::error, "unavailable",
                       fmt::format("'{}' {}, but the module is for PTX {} with {}", need.what,
                                   need.describe(module.version, module.target), to_string(*module.version),
                                   to_string(*module.target)),
                       function, place.location);
        }
    }
}

} // namespace verifier

std::vector<Diagnostic> verify(const Module& module, const VerifyOptions& options) {
    std::vector<Diagnostic> found;
    const auto resolved = module.target ? Result<Minimum>(Minimum{{}, *module.target}) : resolve_target(module);
    verifier::Report report(module, resolved ? resolved->target : module_floor.target, options, found);
    verifier::check_module_declarations(report);
    bool sound = true;
    for (const auto& function : module.functions) {
        if (!verifier::check_structure(report, function)) {
            sound = false;
            continue;
        }
        verifier::check_function_declarations(report, function);
        verifier::check_operands(report, function);
        verifier::check_addresses(report, function);
        const auto& skipped = options.incomplete;
        if (std::find(skipped.begin(), skipped.end(), function.name) == skipped.end())
            verifier::check_flow(report, function);
    }
    if (sound) verifier::check_availability(report);
    return found;
}

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
    return std::any_of(diagnostics.begin(), diagnostics.end(),
                       [](const Diagnostic& d) { return d.severity == Severity::error; });
}

} // namespace ptxgen
