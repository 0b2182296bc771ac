#include "kernels/generated.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {

Result<Generated> finish(ModuleBuilder&& builder, LaunchShape launch) {
    auto built = std::move(builder).take();
    if (has_errors(built.diagnostics)) {
        std::string message;
        for (const auto& diagnostic : built.diagnostics) {
            if (diagnostic.severity != Severity::error) continue;
            if (!message.empty()) message += '\n';
            message += to_string(diagnostic);
        }
        return Error{std::move(message)};
    }
    return Generated{std::move(built.module), std::move(launch), {}, {}};
}

Status check_range(std::string_view name, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
    if (value >= min && value <= max) return {};
    return Error{fmt::format("{} must be from {} to {}, not {}", name, min, max, value)};
}

} // namespace ptxgen::kernels
