#include "kernels/registry.hpp"

#include "ptxgen/base/nearest.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ptxgen::kernels {

// Each family lists its kernels in kernels/<family>/register.cpp; a new family adds a line here and one below.
std::vector<KernelSpec> attention_kernels();
std::vector<KernelSpec> decoder_kernels();
std::vector<KernelSpec> elementwise_kernels();
std::vector<KernelSpec> gather_kernels();
std::vector<KernelSpec> gemv_kernels();
std::vector<KernelSpec> matmul_kernels();
std::vector<KernelSpec> norm_kernels();
std::vector<KernelSpec> quantize_kernels();
std::vector<KernelSpec> ring_kernels();
std::vector<KernelSpec> sampling_kernels();

namespace {

std::vector<KernelSpec> all_kernels() {
    std::vector<KernelSpec> kernels;
    const auto add = [&](std::vector<KernelSpec> family) {
        for (auto& kernel : family) kernels.push_back(std::move(kernel));
    };
    add(attention_kernels());
    add(decoder_kernels());
    add(elementwise_kernels());
    add(gather_kernels());
    add(gemv_kernels());
    add(matmul_kernels());
    add(norm_kernels());
    add(quantize_kernels());
    add(ring_kernels());
    add(sampling_kernels());
    std::sort(kernels.begin(), kernels.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return kernels;
}

Result<std::int64_t> read_integer(const ParameterSpec& spec, const std::string& text) {
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    const bool number = !text.empty() && read.ec == std::errc{} && read.ptr == end;
    if (number && value >= spec.min && value <= spec.max && value % spec.multiple_of == 0) return value;
    const std::string multiple = spec.multiple_of == 1 ? "" : fmt::format(" and a multiple of {}", spec.multiple_of);
    return Error{fmt::format("parameter '{}' must be an integer from {} to {}{}, not '{}'", spec.name, spec.min,
                             spec.max, multiple, text)};
}

Result<double> read_real(const ParameterSpec& spec, const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (!text.empty() && end == text.c_str() + text.size() && value >= spec.real_min && value <= spec.real_max)
        return value;
    return Error{fmt::format("parameter '{}' must be a number from {} to {}, not '{}'", spec.name, spec.real_min,
                             spec.real_max, text)};
}

} // namespace

ParameterSpec ParameterSpec::integer(std::string name, std::string meaning, std::int64_t fallback, std::int64_t min,
                                     std::int64_t max, std::int64_t multiple_of) {
    ParameterSpec spec;
    spec.name = std::move(name);
    spec.meaning = std::move(meaning);
    spec.fallback = fallback;
    spec.min = min;
    spec.max = max;
    spec.multiple_of = multiple_of;
    return spec;
}

ParameterSpec ParameterSpec::real(std::string name, std::string meaning, double fallback, double min, double max) {
    ParameterSpec spec;
    spec.name = std::move(name);
    spec.meaning = std::move(meaning);
    spec.is_real = true;
    spec.real_fallback = fallback;
    spec.real_min = min;
    spec.real_max = max;
    return spec;
}

ParameterSpec ParameterSpec::choice(std::string name, std::string meaning, std::vector<std::string> words) {
    ParameterSpec spec;
    spec.name = std::move(name);
    spec.meaning = std::move(meaning);
    spec.words = std::move(words);
    return spec;
}

std::span<const KernelSpec> registry() {
    static const std::vector<KernelSpec> kernels = all_kernels();
    return kernels;
}

Result<const KernelSpec*> find_kernel(std::string_view name) {
    std::vector<std::string> names;
    for (const auto& kernel : registry()) {
        if (kernel.name == name) return &kernel;
        names.push_back(kernel.name);
    }
    return Error{fmt::format("unknown kernel '{}'; the nearest names are {}", name,
                             fmt::join(nearest_names(name, names), ", "))};
}

Result<TileKernel> find_tiles(const KernelSpec& spec, const ParameterValues& values) {
    if (spec.tiles) return spec.tiles(values);
    std::vector<std::string> names;
    for (const auto& kernel : registry())
        if (kernel.tiles) names.push_back(kernel.name);
    return Error{fmt::format("kernel '{}' cannot be scheduled under a policy; these can: {}", spec.name,
                             fmt::join(names, ", "))};
}

Result<ParameterValues> read_parameters(const KernelSpec& spec, const std::map<std::string, std::string>& texts) {
    std::vector<std::string> names;
    for (const auto& parameter : spec.parameters) names.push_back(parameter.name);
    for (const auto& [name, text] : texts) {
        if (std::find(names.begin(), names.end(), name) != names.end()) continue;
        if (names.empty())
            return Error{fmt::format("kernel '{}' has no parameters, but '{}' was given", spec.name, name)};
        return Error{fmt::format("kernel '{}' has no parameter '{}'; the nearest names are {}", spec.name, name,
                                 fmt::join(nearest_names(name, names), ", "))};
    }
    ParameterValues values;
    for (const auto& parameter : spec.parameters) {
        const auto given = texts.find(parameter.name);
        if (!parameter.words.empty()) {
            const std::string& word = given == texts.end() ? parameter.words[0] : given->second;
            if (std::find(parameter.words.begin(), parameter.words.end(), word) == parameter.words.end())
                return Error{fmt::format("parameter '{}' must be one of {}, not '{}'", parameter.name,
                                         fmt::join(parameter.words, ", "), word)};
            values.set(parameter.name, word);
        } else if (parameter.is_real) {
            if (given == texts.end()) {
                values.set_real(parameter.name, parameter.real_fallback);
                continue;
            }
            const auto value = read_real(parameter, given->second);
            if (!value) return value.error();
            values.set_real(parameter.name, *value);
        } else {
            if (given == texts.end()) {
                values.set(parameter.name, parameter.fallback);
                continue;
            }
            const auto value = read_integer(parameter, given->second);
            if (!value) return value.error();
            values.set(parameter.name, *value);
        }
    }
    return values;
}

} // namespace ptxgen::kernels
