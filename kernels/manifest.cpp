#include "kernels/manifest.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {

std::uint64_t static_shared_bytes(const Module& module) {
    std::uint64_t bytes = 0;
    const auto add = [&bytes](const Variable& variable) {
        if (variable.space != Space::shared || variable.linkage == Linkage::external) return;
        const std::uint64_t alignment = std::max(variable.alignment, byte_size(variable.type));
        bytes = (bytes + alignment - 1) / alignment * alignment + variable.byte_size();
    };
    for (const auto& variable : module.variables) add(variable);
    for (const auto& function : module.functions)
        for (const auto& variable : function.variables) add(variable);
    return bytes;
}

std::string launch_comment(const Generated& generated) {
    const auto& launch = generated.launch;
    const auto& function = generated.module.functions[0];
    std::string text = fmt::format("{}\n", generated.name());
    text += fmt::format("grid   {}, {}, {}\n", launch.grid_x, launch.grid_y, launch.grid_z);
    text += fmt::format("block  {}, {}, {}\n", launch.block_x, launch.block_y, launch.block_z);
    text += fmt::format("shared {} bytes static, {} bytes dynamic\n", static_shared_bytes(generated.module),
                        launch.dynamic_shared_bytes);
    if (launch.cluster_x * launch.cluster_y * launch.cluster_z > 1)
        text += fmt::format("cluster {}, {}, {}\n", launch.cluster_x, launch.cluster_y, launch.cluster_z);
    if (!generated.policy.empty()) {
        text += fmt::format("policy {}\n", generated.policy);
        text += fmt::format("scheduler {}\n", generated.scheduler);
    }
    if (launch.cooperative) text += "cooperative launch\n";
    text += "parameters\n";
    for (const auto& p : function.parameters) {
        const std::string type =
            p.pointer ? fmt::format("{} pointer, {} bytes aligned", to_string(p.pointer_space), p.pointer_alignment)
                      : std::string(to_string(p.type));
        text += fmt::format("  {}: {}{}{}\n", p.name, type, p.comment.empty() ? "" : "; ", p.comment);
    }
    text.pop_back();
    return text;
}

} // namespace ptxgen::kernels
