// Every special register against ptxas: readable at its stated minimum and at its type, not below.
#include "ptxas.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

using namespace isa_test;
using namespace ptxgen;

namespace {

std::string read_line(const SpecialRegister& special) {
    switch (bit_width(special.type)) {
    case 1: return fmt::format("mov.pred %p1, {};", special.name);
    case 64: return fmt::format("mov.u64 %rd1, {};", special.name);
    default: return fmt::format("mov.u32 %r1, {};", special.name);
    }
}

/// Line that reads it at half its width, which ptxas must refuse for a 64-bit one.
std::string narrow_line(const SpecialRegister& special) { return fmt::format("mov.u32 %r1, {};", special.name); }

Setting lowest_setting(const Minimum& minimum) {
    for (const auto& known : known_targets())
        if (known.target.provides(minimum.target))
            return {std::max({known.version, minimum.version, module_floor.version}), known.target};
    return {};
}

} // namespace

TEST_CASE("special registers are readable from their stated minimum on") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] special registers are readable from their stated minimum on: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    struct Expected {
        std::string line;
        bool accepted;
        std::string reason;
    };
    std::map<Setting, std::vector<Expected>> batches;
    for (const auto& special : special_registers()) {
        const auto setting = lowest_setting(special.minimum);
        batches[setting].push_back({read_line(special), true, ""});
        if (bit_width(special.type) == 64 && special.name != "%gridid" && special.name != "%clock64")
            batches[setting].push_back({narrow_line(special), false, "Arguments mismatch"});
        const auto& all = versions();
        const auto at = std::find(all.begin(), all.end(), setting.version);
        REQUIRE(at != all.begin());
        if (at[-1] < special.minimum.version && at[-1] >= introduced_in(setting.target).value_or(PtxVersion{99, 0}))
            batches[{at[-1], setting.target}].push_back(
                {read_line(special), false,
                 fmt::format("requires PTX ISA .version {} or later", to_string(special.minimum.version))});
        const auto known = known_targets();
        for (std::size_t i = 1; i < known.size(); i++)
            if (known[i].target == setting.target && !known[i - 1].target.provides(special.minimum.target))
                batches[{setting.version, known[i - 1].target}].push_back(
                    {read_line(special), false,
                     fmt::format("requires .target {} or higher", to_string(special.minimum.target))});
    }
    for (const auto& [setting, expected] : batches) {
        std::vector<std::string> lines;
        for (const auto& e : expected) lines.push_back(e.line);
        const auto verdicts = assemble(*ptxas, setting, lines);
        for (std::size_t i = 0; i < lines.size(); i++) {
            bool fits = false;
            for (const auto& message : verdicts[i].messages)
                fits = fits || message.find(expected[i].reason) != std::string::npos;
            if (verdicts[i].accepted != expected[i].accepted || (!expected[i].accepted && !fits))
                FAIL_CHECK(fmt::format("PTX {}, {}: {}: expected {}, found {}", to_string(setting.version),
                                       to_string(setting.target), lines[i],
                                       expected[i].accepted ? "to be accepted" : expected[i].reason,
                                       verdicts[i].accepted ? "it accepted" : verdicts[i].messages[0]));
        }
    }
}
