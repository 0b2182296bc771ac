#include "runtime/inference/kernel_set.hpp"

#include <fmt/format.h>

namespace ptxgen {

Result<const BuiltKernel*> KernelSet::get(const std::string& key, const Generate& generate) {
    if (const auto found = entries_.find(key); found != entries_.end()) return &found->second.kernel;
    // Features up to the device's target may be used; what is printed stays the lowest that they need.
    auto generated = generate(device_->properties().target, std::nullopt);
    if (!generated) return std::move(generated).error();
    generated->module.target.reset();
    auto text = print(generated->module);
    if (!text) return std::move(text).error();
    Entry entry;
    auto module = device_->load(*text);
    if (!module) return std::move(module).error();
    entry.module = std::move(*module);
    auto kernel = entry.module->kernel(generated->name());
    if (!kernel) return std::move(kernel).error();
    entry.kernel.kernel = *kernel;
    entry.kernel.launch = generated->launch;
    entry.kernel.parameters = generated->module.functions[0].parameters;
    return &entries_.emplace(key, std::move(entry)).first->second.kernel;
}

Result<PlannedLaunch> PlannedLaunch::bind(const BuiltKernel& kernel, GridOf grid, std::span<const Argument> arguments) {
    PlannedLaunch planned;
    planned.kernel_ = kernel.kernel;
    planned.grid_ = std::move(grid);
    planned.config_.block = {kernel.launch.block_x, kernel.launch.block_y, kernel.launch.block_z};
    planned.config_.shared_bytes = kernel.launch.dynamic_shared_bytes;
    planned.config_.cooperative = kernel.launch.cooperative;
    planned.tokens_at_ = kernel.parameters.size();
    for (const auto& parameter : kernel.parameters) {
        if (parameter.name == "tokens") {
            planned.tokens_at_ = planned.args_.size();
            planned.args_.emplace_back(std::uint32_t{0});
            continue;
        }
        const auto given = std::find_if(arguments.begin(), arguments.end(),
                                        [&](const Argument& a) { return a.first == parameter.name; });
        if (given == arguments.end())
            return Error{fmt::format("kernel '{}' has a parameter '{}' that the engine does not bind",
                                     kernel.kernel->name(), parameter.name)};
        planned.args_.emplace_back(given->second);
    }
    return planned;
}

Status PlannedLaunch::launch(runtime::Stream& stream, std::uint32_t tokens) {
    const auto grid = grid_(tokens);
    config_.grid = {grid.x, grid.y, grid.z};
    if (tokens_at_ < args_.size()) args_[tokens_at_] = runtime::KernelArg(tokens);
    return stream.launch(*kernel_, config_, std::span<const runtime::KernelArg>(args_));
}

} // namespace ptxgen
