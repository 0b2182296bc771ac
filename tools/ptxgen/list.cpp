#include "kernels/registry.hpp"
#include "policies/registry.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ptxgen::tools {
namespace {

using kernels::ParameterSpec;

std::string describe(const ParameterSpec& p) {
    if (!p.words.empty()) return fmt::format("one of {}, default {}", fmt::join(p.words, ", "), p.words.front());
    if (p.is_real) return fmt::format("{} to {}, default {}", p.real_min, p.real_max, p.real_fallback);
    const std::string step = p.multiple_of > 1 ? fmt::format(", a multiple of {}", p.multiple_of) : "";
    return fmt::format("{} to {}{}, default {}", p.min, p.max, step, p.fallback);
}

nlohmann::json to_json(const ParameterSpec& p) {
    nlohmann::json json{{"name", p.name}, {"meaning", p.meaning}};
    if (!p.words.empty()) {
        json["words"] = p.words;
        json["default"] = p.words.front();
    } else if (p.is_real) {
        json["min"] = p.real_min;
        json["max"] = p.real_max;
        json["default"] = p.real_fallback;
    } else {
        json["min"] = p.min;
        json["max"] = p.max;
        json["multiple_of"] = p.multiple_of;
        json["default"] = p.fallback;
    }
    return json;
}

std::vector<std::string> targets_from(Target minimum) {
    std::vector<std::string> names;
    for (const auto& known : known_targets())
        if (known.target.provides(minimum)) names.push_back(to_string(known.target));
    return names;
}

void print_policies() {
    fmt::print("policies, joined by && and ||, with parentheses\n");
    for (const auto& spec : policies::policy_registry()) {
        std::vector<std::string> names;
        for (const auto& parameter : spec.parameters) names.push_back(parameter.name);
        const std::string form = names.empty() ? spec.name : fmt::format("{}({})", spec.name, fmt::join(names, ", "));
        fmt::print("  {:<22} {}\n", form, spec.meaning);
        for (const auto& parameter : spec.parameters)
            fmt::print("      {:<20} {} ({} to {})\n", parameter.name, parameter.meaning, parameter.min, parameter.max);
    }
}

int list_policies(bool json) {
    if (!json) {
        print_policies();
        return exit_ok;
    }
    auto all = nlohmann::json::array();
    for (const auto& spec : policies::policy_registry()) {
        auto parameters = nlohmann::json::array();
        for (const auto& p : spec.parameters)
            parameters.push_back({{"name", p.name}, {"meaning", p.meaning}, {"min", p.min}, {"max", p.max}});
        all.push_back(
            {{"name", spec.name}, {"meaning", spec.meaning}, {"parameters", parameters}, {"examples", spec.examples}});
    }
    fmt::print("{}\n", all.dump(2));
    return exit_ok;
}

int list(bool json) {
    if (json) {
        auto all = nlohmann::json::array();
        for (const auto& spec : kernels::registry()) {
            auto parameters = nlohmann::json::array();
            for (const auto& p : spec.parameters) parameters.push_back(to_json(p));
            all.push_back({{"name", spec.name},
                           {"family", spec.family},
                           {"summary", spec.summary},
                           {"targets", targets_from(spec.minimum_target)},
                           {"needs_model", spec.needs_model},
                           {"schedulable", static_cast<bool>(spec.tiles)},
                           {"parameters", parameters}});
        }
        fmt::print("{}\n", all.dump(2));
        return exit_ok;
    }
    const auto registered = kernels::registry();
    std::vector<kernels::KernelSpec> all(registered.begin(), registered.end());
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.family < b.family; });
    std::string_view family;
    for (const auto& spec : all) {
        if (spec.family != family) {
            family = spec.family;
            fmt::print("{}/\n", family);
        }
        fmt::print("  {:<22} {} (sm_{} and later{}{})\n", spec.name, spec.summary, spec.minimum_target.sm,
                   spec.needs_model ? "; needs a model" : "", spec.tiles ? "; can have a --policy" : "");
        for (const auto& p : spec.parameters) fmt::print("      --{:<18} {} ({})\n", p.name, p.meaning, describe(p));
    }
    print_policies();
    return exit_ok;
}

} // namespace

void add_list(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("list", "Show every kernel with its parameters and targets, and every policy");
    auto json = std::make_shared<bool>(false), only_policies = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "An array of objects instead of text");
    command->add_flag("--policies", *only_policies, "Policies alone");
    command->footer("Examples:\n  ptxgen list\n  ptxgen list --json | jq '.[].name'");
    command->callback([=] { exit_with(*only_policies ? list_policies(*json) : list(*json)); });
}

} // namespace ptxgen::tools
