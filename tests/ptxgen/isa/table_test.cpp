// Every form of the instruction table against ptxas: accepted at the lowest version and target that its row states,
// rejected one version and one target below, rejected where a clause forbids it; the reason given must fit, too.
#include "cases.hpp"
#include "ptxas.hpp"
#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"

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

bool mentions(const Verdict& verdict, const std::vector<std::string>& texts) {
    for (const auto& message : verdict.messages)
        for (const auto& text : texts)
            if (message.find(text) != std::string::npos) return true;
    return false;
}

/// Whether the reasons name what the case lacks in this setting: the version or the target that it needs.
bool is_expected(const Verdict& verdict, const Case& c, const Setting& setting) {
    for (const auto& alternatives : requirements(*c.form, c.choices)) {
        for (const auto& m : alternatives) {
            if (setting.version < m.version &&
                mentions(verdict, {fmt::format("requires PTX ISA .version {} or later", to_string(m.version))}))
                return true;
            if (setting.target.provides(m.target)) continue;
            if (mentions(verdict, {fmt::format("requires .target {} or higher", to_string(m.target)),
                                   fmt::format("not supported on .target '{}'", to_string(setting.target))}))
                return true;
        }
    }
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
        else if (!is_expected(verdict, c, setting))
            FAIL_CHECK(
                fmt::format("{}: {}: rejected for another reason: {}", describe(setting), line, joined(verdict)));
    });
    fmt::print("{} instructions rejected in {} kernels\n", count, batches.size());
}

TEST_CASE("forms that are gone are rejected") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] forms that are gone are rejected: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    Batches batches, last;
    for (const auto& form : forms()) {
        if (!is_selected(form) || !form.removed) continue;
        const auto& all = versions();
        const auto at = std::find(all.begin(), all.end(), form.removed->version);
        REQUIRE(at != all.begin());
        for (const auto& c : accepted_cases(form)) {
            add(batches, {*at, form.removed->target}, c);
            add(last, {at[-1], form.removed->target}, c);
            add(last, {all.back(), {50, TargetVariant::plain}}, c);
        }
    }
    CHECK((std::getenv("PTXGEN_ISA_OP") || !batches.empty()));
    check_all(*ptxas, batches, [&](const auto& setting, const auto&, const auto& line, const auto& verdict) {
        if (!mentions(verdict, {"is not supported on"}))
            FAIL_CHECK(fmt::format("{}: {}: {}", describe(setting), line, joined(verdict)));
    });
    check_all(*ptxas, last, [&](const auto& setting, const auto&, const auto& line, const auto& verdict) {
        if (!verdict.accepted) FAIL_CHECK(fmt::format("{}: {}: {}", describe(setting), line, joined(verdict)));
    });
}

TEST_CASE("constants outside their range are rejected") {
    const auto ptxas = find_ptxas();
    if (!ptxas) {
        fmt::print("[SKIP] constants outside their range are rejected: no ptxas (set PTXGEN_PTXAS)\n");
        return;
    }
    std::map<Setting, std::vector<std::string>> lines;
    for (const auto& form : forms()) {
        if (!is_selected(form)) continue;
        const auto cases = accepted_cases(form);
        for (std::size_t i = 0; i < form.operands.size(); i++) {
            const auto& spec = form.operands[i];
            if (spec.kind != OperandKind::immediate && spec.kind != OperandKind::value) continue;
            std::vector<std::int64_t> outside;
            if (spec.min > 0) outside.push_back(spec.min - 1);
            if (spec.max < 0xffffffff) outside.push_back(spec.max + 1);
            if (spec.alignment > 1) outside.push_back((spec.min > 0 ? spec.min : 0) + spec.alignment + 1);
            for (const auto& c : cases) {
                if (c.fillings[i] == Filling::left_out || outside.empty()) continue;
                if (spec.name == "lut") break; // the manual says 0 to 255, ptxas takes the low bits of more
                for (const auto value : outside) {
                    auto instruction = c.instruction();
                    instruction.operands[i] = Operand::integer(value);
                    lines[lowest_settings(c)[0]].push_back(print(scaffold().functions[0], instruction, scaffold()));
                }
                break;
            }
        }
    }
    std::size_t count = 0;
    for (const auto& [setting, batch] : lines) {
        const auto verdicts = assemble(*ptxas, setting, batch);
        for (std::size_t i = 0; i < batch.size(); i++, count++)
            if (verdicts[i].accepted || mentions(verdicts[i], {"requires", "Arguments mismatch"}))
                FAIL_CHECK(fmt::format("{}: {}: {}", describe(setting), batch[i],
                                       verdicts[i].accepted ? "accepted" : joined(verdicts[i])));
    }
    fmt::print("{} constants rejected\n", count);
}

TEST_CASE("forms are parsed as what they were printed from, and verify") {
    std::vector<Case> cases;
    std::vector<std::string> lines;
    for (const auto& form : forms()) {
        if (!is_selected(form)) continue;
        for (auto& c : accepted_cases(form)) {
            lines.push_back(c.text());
            cases.push_back(std::move(c));
        }
    }
    unsigned first_line = 0;
    const auto text = module_text({versions().back(), {100, TargetVariant::arch}}, lines, first_line);
    const auto parsed = parse(text);
    for (const auto& diagnostic : parsed.diagnostics)
        if (diagnostic.severity == Severity::error) {
            const auto line = diagnostic.location.line - first_line;
            FAIL_CHECK(fmt::format("{} in: {}", to_string(diagnostic), line < lines.size() ? lines[line] : "?"));
        }
    REQUIRE(parsed.ok());
    for (const auto& diagnostic : verify(parsed.module, {.parsed = true}))
        if (diagnostic.severity == Severity::error && diagnostic.rule != "unavailable")
            FAIL_CHECK(to_string(diagnostic));
    const auto& k = parsed.module.functions.at(0);
    REQUIRE(k.body.size() == cases.size() + 1);
    for (std::size_t i = 0; i < cases.size(); i++) {
        const auto& found = k.body[i];
        const auto printed = print(k, found, parsed.module);
        if (printed != lines[i]) FAIL_CHECK(fmt::format("{} was read as {}", lines[i], printed));
        if (&found.row() != cases[i].form)
            FAIL_CHECK(fmt::format("{}: made from row {}, read as row {} of the opcode", lines[i],
                                   cases[i].form - forms().data(), found.form));
    }
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

TEST_CASE("all combinations of words are judged as ptxas judges them") {
    // A minute or more: PTXGEN_ISA_FULL=1
    const auto ptxas = find_ptxas();
    if (!ptxas || !std::getenv("PTXGEN_ISA_FULL")) {
        fmt::print("[SKIP] all combinations of words are judged as ptxas judges them: {}\n",
                   ptxas ? "set PTXGEN_ISA_FULL=1" : "no ptxas (set PTXGEN_PTXAS)");
        return;
    }
    constexpr std::size_t most = 5000;
    Batches batches;
    for (const auto& form : forms()) {
        if (!is_selected(form) || form.removed) continue;
        for (const auto& c : all_cases(form, most)) {
            const bool legal = violated_clause(form, c.choices) == nullptr;
            if (!legal && is_in_another_row(c)) continue;
            auto settings = lowest_settings(c);
            if (settings.empty()) continue; // words that no target has together
            settings[0].version = versions().back();
            add(batches, settings[0], c);
        }
    }
    std::size_t count = 0;
    check_all(*ptxas, batches, [&](const auto& setting, const auto& c, const auto& line, const auto& verdict) {
        count++;
        const auto* clause = violated_clause(*c.form, c.choices);
        if (verdict.accepted != (clause == nullptr))
            FAIL_CHECK(fmt::format("{}: {}: {}", describe(setting), line,
                                   clause ? fmt::format("accepted, against {}", clause->text) : joined(verdict)));
    });
    fmt::print("{} combinations judged in {} kernels\n", count, batches.size());
}
