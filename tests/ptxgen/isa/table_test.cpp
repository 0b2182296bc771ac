// Every form of the instruction table against ptxas: accepted at the lowest version and target that its row states,
// rejected one version and one target below, rejected where a clause forbids it; the reason given must fit, too.
#include "cases.hpp"
#include "ptxas.hpp"

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <map>
#include <string_view>

namespace {

using namespace isa_test;
using namespace ptxgen;

struct Batch {
    std::vector<Case> cases;
    std::vector<std::string> lines;
};
using Batches = std::map<Setting, Batch>;

bool is_selected(const Form& form) {
    // For work on a few rows: PTXGEN_ISA_OP=cvt
    static const char* only = std::getenv("PTXGEN_ISA_OP");
    if (form.custom) return false; // needs declarations around it
    return !only || form.opcode.substr(0, form.opcode.find('.')) == only || form.opcode == only;
}

void add(Batches& batches, const Setting& setting, const Case& c) {
    auto& batch = batches[setting];
    batch.cases.push_back(c);
    batch.lines.push_back(c.text());
}

std::string describe(const Setting& setting) {
    return fmt::format("PTX {}, {}", to_string(setting.version), to_string(setting.target));
}

template <class Report>
void check_all(const std::string& ptxas, const Batches& batches, const Report& report) {
    for (const auto& [setting, batch] : batches) {
        const auto verdicts = assemble(ptxas, setting, batch.lines);
        for (std::size_t i = 0; i < verdicts.size(); i++) report(setting, batch.cases[i], batch.lines[i], verdicts[i]);
    }
}

bool mentions(const Verdict& verdict, std::initializer_list<std::string_view> texts) {
    for (const auto& message : verdict.messages)
        for (const auto text : texts)
            if (message.find(text) != std::string::npos) return true;
    return false;
}

std::string joined(const Verdict& verdict) {
    std::string text;
    for (const auto& message : verdict.messages) text += (text.empty() ? "" : " / ") + message;
    return text;
}

} // namespace

TEST_CASE("forms assemble at their stated minimum") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] forms assemble at their stated minimum: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    Batches batches;
    for (const auto& form : forms()) {
        if (!is_selected(form)) continue;
        const auto cases = accepted_cases(form);
        CHECK_MESSAGE(!cases.empty(), form.opcode);
        for (const auto& c : cases) {
            const auto settings = lowest_settings(c);
            CHECK_MESSAGE(!settings.empty(), c.text());
            for (const auto& setting : settings) add(batches, setting, c);
        }
    }
    std::size_t count = 0;
    check_all(*ptxas, batches, [&](const auto& setting, const auto&, const auto& line, const auto& verdict) {
        count++;
        if (!verdict.accepted) FAIL_CHECK(fmt::format("{}: {}: {}", describe(setting), line, joined(verdict)));
    });
    fmt::print("{} instructions accepted in {} kernels\n", count, batches.size());
}

TEST_CASE("forms are rejected below their minimum") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] forms are rejected below their minimum: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    Batches batches;
    for (const auto& form : forms()) {
        if (!is_selected(form)) continue;
        for (const auto& c : accepted_cases(form))
            for (const auto& setting : lowest_settings(c)) {
                // The version before, for the same target.
                const auto& all = versions();
                const auto at = std::find(all.begin(), all.end(), setting.version);
                if (at != all.begin()) {
                    const Setting below{at[-1], setting.target};
                    if (below.version >= introduced_in(setting.target).value_or(PtxVersion{99, 0}) &&
                        below.version >= PtxVersion{2, 3} && !is_provided(c, below))
                        add(batches, below, c);
                }
                // The targets before, at that version or where they begin.
                const auto known = known_targets();
                for (std::size_t i = 0; i < known.size(); i++) {
                    const Setting below{std::max(setting.version, known[i].version), known[i].target};
                    const bool next = i + 1 < known.size() && known[i + 1].target == setting.target;
                    const bool sibling = known[i].target.sm == setting.target.sm && known[i].target < setting.target;
                    if ((next || sibling) && !is_provided(c, below)) add(batches, below, c);
                }
            }
    }
    std::size_t count = 0;
    check_all(*ptxas, batches, [&](const auto& setting, const auto& c, const auto& line, const auto& verdict) {
        count++;
        if (verdict.accepted)
            FAIL_CHECK(fmt::format("{}: {}: accepted, but the table asks for more", describe(setting), line));
        else if (!mentions(verdict, {"requires .target", "requires PTX ISA .version", "not supported on .target",
                                     "requires target"}))
            FAIL_CHECK(
                fmt::format("{}: {}: rejected for another reason: {}", describe(setting), line, joined(verdict)));
        (void)c;
    });
    fmt::print("{} instructions rejected in {} kernels\n", count, batches.size());
}

TEST_CASE("clauses forbid what ptxas rejects") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] clauses forbid what ptxas rejects: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    Batches batches;
    for (const auto& form : forms()) {
        if (!is_selected(form)) continue;
        const auto cases = rejected_cases(form);
        for (const auto& clause : form.clauses)
            if (clause.minimum.empty())
                CHECK_MESSAGE(
                    std::any_of(cases.begin(), cases.end(), [&](const auto& c) { return c.breaks == &clause; }),
                    form.opcode << ": nothing breaks only " << clause.text);
        for (const auto& c : cases)
            for (auto setting : lowest_settings(c)) {
                setting.version = versions().back();
                if (is_provided(c, setting) && !is_in_another_row(c)) add(batches, setting, c);
            }
    }
    std::size_t count = 0;
    check_all(*ptxas, batches, [&](const auto& setting, const auto& c, const auto& line, const auto& verdict) {
        count++;
        if (verdict.accepted)
            FAIL_CHECK(fmt::format("{}: {}: accepted, against {}", describe(setting), line, c.breaks->text));
        else if (mentions(verdict, {"requires .target", "requires PTX ISA .version", "not supported on .target"}))
            FAIL_CHECK(
                fmt::format("{}: {}: rejected for another reason: {}", describe(setting), line, joined(verdict)));
    });
    fmt::print("{} illegal instructions rejected in {} kernels\n", count, batches.size());
}
