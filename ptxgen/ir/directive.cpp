#include "ptxgen/ir/directive.hpp"

namespace ptxgen {
namespace {

constexpr TargetVariant plain = TargetVariant::plain;

constexpr FunctionDirective directives[] = {
    {"maxntid", 1, 3, true, {{1, 3}, {10, plain}}},           {"reqntid", 1, 3, true, {{2, 1}, {10, plain}}},
    {"minnctapersm", 1, 1, true, {{2, 0}, {10, plain}}},      {"maxnctapersm", 1, 1, true, {{2, 0}, {10, plain}}},
    {"maxnreg", 1, 1, true, {{1, 3}, {10, plain}}},           {"explicitcluster", 0, 0, true, {{7, 8}, {90, plain}}},
    {"reqnctapercluster", 1, 3, true, {{7, 8}, {90, plain}}}, {"maxclusterrank", 1, 1, true, {{7, 8}, {90, plain}}},
    {"blocksareclusters", 0, 0, true, {{9, 0}, {90, plain}}}, {"noreturn", 0, 0, false, {{6, 4}, {30, plain}}},
};

} // namespace

std::span<const FunctionDirective> function_directives() { return directives; }

const FunctionDirective* find_function_directive(std::string_view name) {
    for (const auto& directive : directives)
        if (directive.name == name) return &directive;
    return nullptr;
}

} // namespace ptxgen
