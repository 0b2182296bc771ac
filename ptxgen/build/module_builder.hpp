#pragma once

#include "ptxgen/build/kernel_builder.hpp"

#include <memory>
#include <span>

namespace ptxgen {

/// Builds a module kernel by kernel.
///
///     ModuleBuilder module;                       // or module{Target{90}}: what may be used, and what is printed
///     KernelBuilder k = module.kernel("axpy");
///     …
///     Result<std::string> ptx = module.ptx();     // verified text
class ModuleBuilder {
public:
    /// Without a target the lowest that the instructions need is printed; likewise the version.
    explicit ModuleBuilder(std::optional<Target> target = std::nullopt,
                           std::optional<PtxVersion> version = std::nullopt);

    /// Begins a kernel. The handle stays valid as long as the module builder lives.
    KernelBuilder kernel(std::string_view name);

    /// A constant array at module scope, addressed through KernelBuilder::global<const_ptr<T>>(name).
    template <value_type T>
    void constants(std::string_view name, std::span<const std::uint64_t> bits) {
        declare(name, Space::constant, T::type, bits.size(), bits);
    }
    /// A variable in global memory, zero at load.
    template <value_type T>
    void global(std::string_view name, std::uint64_t count) {
        declare(name, Space::global, T::type, count, {});
    }
    /// Header comment of the text.
    void comment(std::string text);

    /// What will be printed for: the lowest target if none was asked for. Generators choose instructions by it.
    std::optional<Target> target() const { return module_->target; }

    /// Ends all kernels and gives the module with everything found wrong: mistakes of the builder calls and of the
    /// verifier. Handles must not be used any more.
    struct Built {
        Module module;
        std::vector<Diagnostic> diagnostics;
    };
    Built take() &&;
    /// Verified text; the error lists all diagnostics, one a line.
    Result<std::string> ptx() &&;

private:
    void declare(std::string_view name, Space space, Type type, std::uint64_t count,
                 std::span<const std::uint64_t> bits);

    std::unique_ptr<Module> module_;
    std::unique_ptr<std::vector<Diagnostic>> diagnostics_;
    std::vector<std::unique_ptr<FunctionState>> functions_;
};

} // namespace ptxgen
