#include "ptxgen/build/module_builder.hpp"

#include "ptxgen/verify/verify.hpp"

namespace ptxgen {

ModuleBuilder::ModuleBuilder(std::optional<Target> target, std::optional<PtxVersion> version)
    : module_(std::make_unique<Module>()), diagnostics_(std::make_unique<std::vector<Diagnostic>>()) {
    module_->target = target;
    module_->version = version;
}

KernelBuilder ModuleBuilder::kernel(std::string_view name) {
    Function function;
    function.name = name;
    module_->functions.push_back(std::move(function));
    functions_.push_back(std::make_unique<FunctionState>(*module_, *diagnostics_, module_->functions.size() - 1));
    return KernelBuilder(*functions_.back());
}

void ModuleBuilder::comment(std::string text) { module_->comment = std::move(text); }

void ModuleBuilder::declare(std::string_view name, Space space, Type type, std::uint64_t count,
                            std::span<const std::uint64_t> bits) {
    Variable variable;
    variable.name = name;
    variable.space = space;
    variable.type = bits_type(bit_width(type));
    variable.count = count;
    variable.alignment = std::max(4u, byte_size(type));
    variable.initial.assign(bits.begin(), bits.end());
    module_->variables.push_back(std::move(variable));
}

ModuleBuilder::Built ModuleBuilder::take() && {
    for (auto& function : functions_) {
        function->finish();
        auto& body = function->function().body;
        // A kernel ends with ret; a caller who ended it himself needs no second one.
        const bool open = body.empty() || body.back().guard || !body.back().is(Op::ret);
        bool label_at_end = false;
        for (const auto& label : function->function().labels)
            label_at_end = label_at_end || (label.placed && label.position == body.size());
        if (open || label_at_end) {
            Instruction ret;
            std::tie(ret.form, ret.choices) = find_form("ret", 0);
            body.push_back(std::move(ret));
        }
    }
    Built built{std::move(*module_), std::move(*diagnostics_)};
    auto found = verify(built.module);
    built.diagnostics.insert(built.diagnostics.end(), found.begin(), found.end());
    return built;
}

Result<std::string> ModuleBuilder::ptx() && {
    Built built = std::move(*this).take();
    if (has_errors(built.diagnostics)) {
        std::string message;
        for (const auto& diagnostic : built.diagnostics) {
            if (diagnostic.severity != Severity::error) continue;
            if (!message.empty()) message += '\n';
            message += to_string(diagnostic);
        }
        return Error{std::move(message)};
    }
    return print(built.module);
}

} // namespace ptxgen
