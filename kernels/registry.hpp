#pragma once

#include "kernels/generated.hpp"
#include "kernels/model_shape.hpp"
#include "kernels/scheduled.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::kernels {

/// A named parameter of a generator: an integer in a range, a real number in a range, or one of several words.
struct ParameterSpec {
    std::string name;              ///< as on the command line: "rows", "token-tile"
    std::string meaning;           ///< one line, with the unit
    std::int64_t fallback = 0;     ///< default of an integer
    std::int64_t min = 0, max = 0; ///< range of an integer
    std::int64_t multiple_of = 1;
    bool is_real = false; ///< a real number: the next three instead of the integer ones
    double real_fallback = 0, real_min = 0, real_max = 0;
    std::vector<std::string> words; ///< not empty: a choice, the first is the default

    static ParameterSpec integer(std::string name, std::string meaning, std::int64_t fallback, std::int64_t min,
                                 std::int64_t max, std::int64_t multiple_of = 1);
    static ParameterSpec real(std::string name, std::string meaning, double fallback, double min, double max);
    static ParameterSpec choice(std::string name, std::string meaning, std::vector<std::string> words);
};

/// Values by parameter name, complete and checked.
class ParameterValues {
public:
    std::int64_t integer(std::string_view name) const { return integers_.find(name)->second; }
    std::uint32_t u32(std::string_view name) const { return static_cast<std::uint32_t>(integer(name)); }
    const std::string& word(std::string_view name) const { return words_.find(name)->second; }
    double real(std::string_view name) const { return reals_.find(name)->second; }

    void set(std::string_view name, std::int64_t value) { integers_.insert_or_assign(std::string(name), value); }
    void set(std::string_view name, std::string value) { words_.insert_or_assign(std::string(name), std::move(value)); }
    void set_real(std::string_view name, double value) { reals_.insert_or_assign(std::string(name), value); }

private:
    std::map<std::string, std::int64_t, std::less<>> integers_;
    std::map<std::string, double, std::less<>> reals_;
    std::map<std::string, std::string, std::less<>> words_;
};

/// A registered generator.
struct KernelSpec {
    std::string name;    ///< "gemv_q4_k"
    std::string family;  ///< folder below kernels/
    std::string summary; ///< one line
    std::vector<ParameterSpec> parameters;
    Target minimum_target{75, TargetVariant::plain};
    bool needs_model = false; ///< emits only for a model file
    /// Builds it for a target (nothing: the lowest that it needs) and version. `values` is complete and checked.
    std::function<Result<Generated>(const ParameterValues& values, std::optional<Target> target,
                                    std::optional<PtxVersion> version)>
        generate;
    /// The same for a model, where needs_model.
    std::function<Result<Generated>(const ModelShape& model, const ParameterValues& values,
                                    std::optional<Target> target, std::optional<PtxVersion> version)>
        generate_for_model;
    /// The same to be scheduled under a policy; empty: this kernel cannot be.
    std::function<Result<TileKernel>(const ParameterValues& values)> tiles;
};

/// All kernels, by name.
std::span<const KernelSpec> registry();
/// The kernel of that name; the error lists the nearest names.
Result<const KernelSpec*> find_kernel(std::string_view name);
/// The kernel to be scheduled under a policy; the error names those that can be.
Result<TileKernel> find_tiles(const KernelSpec& spec, const ParameterValues& values);
/// Texts by parameter name ("rows" -> "4096") completed with defaults; errors name the parameter, its range and what
/// was given, or the nearest names of parameters.
Result<ParameterValues> read_parameters(const KernelSpec& spec, const std::map<std::string, std::string>& texts);

} // namespace ptxgen::kernels
