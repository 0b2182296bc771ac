#include "ptxgen/isa/form.hpp"
#include "ptxgen/isa/table.hpp"

#include <doctest/doctest.h>
#include <set>
#include <string>
#include <vector>

using namespace ptxgen;

namespace {

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const auto dot = text.find('.');
        parts.push_back(text.substr(0, dot));
        text = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
    }
    return parts;
}

/// The first row that takes these modifiers, as its mnemonic in print order; "" if none does.
std::string matched(std::string_view head, std::string_view modifiers) {
    const auto parts = split(modifiers);
    for (const auto& form : forms_of(head))
        if (const auto match = match_modifiers(form, parts); match.ok) return mnemonic(form, match.choices);
    return "";
}

const Form& row(std::string_view opcode) {
    for (const auto& form : forms())
        if (form.opcode == opcode) return form;
    FAIL("no row " << opcode);
    return forms()[0];
}

ModifierMatch match(std::string_view opcode, std::string_view modifiers) {
    return match_modifiers(row(opcode), split(modifiers));
}

constexpr Target plain(std::uint16_t sm) { return {sm, TargetVariant::plain}; }

} // namespace

TEST_CASE("modifiers are matched in any order") {
    CHECK(matched("ld", "global.relaxed.f32.gpu") == "ld.relaxed.gpu.global.f32");
    CHECK(matched("shfl", "bfly.b32.sync") == "shfl.sync.bfly.b32");
    CHECK(matched("setp", "f32.and.lt") == "setp.lt.and.f32");
    CHECK(matched("mbarrier", "b64.try_wait.parity.shared::cta.cta.acquire") ==
          "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64");
    CHECK(matched("mma", "sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") ==
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
}

TEST_CASE("types in slots of the same words keep their order") {
    CHECK(matched("cvt", "rn.f16.f32") == "cvt.rn.f16.f32");
    CHECK(matched("cvt", "f32.f16") == "cvt.f32.f16");
    CHECK(matched("cvt", "f16.f32") == ""); // needs a rounding mode, which the other direction does not
    CHECK(matched("set", "eq.f32.u32") == "set.eq.f32.u32");
    CHECK(matched("set", "eq.u32.f32") == "set.eq.u32.f32");
}

TEST_CASE("state spaces keep their order") {
    const std::string rest = ".mbarrier::complete_tx::bytes";
    CHECK(matched("cp", "async.bulk.shared::cta.global" + rest) == "cp.async.bulk.shared::cta.global" + rest);
    CHECK(matched("cp", "async.bulk.global.shared::cta" + rest) == "");
    CHECK(matched("cp", "async.bulk.global.shared::cta.bulk_group") == "cp.async.bulk.global.shared::cta.bulk_group");
}

TEST_CASE("a failed match says why") {
    auto m = match("ld", "global.f32.gpu.relaxed.foo");
    CHECK(!m.ok);
    CHECK(m.failed_at == 4);
    m = match("ld", "global.acquire.f32");
    CHECK(!m.ok);
    REQUIRE(m.clause != nullptr);
    CHECK(m.clause->text == "SEM=relaxed|acquire => SCOPE");
    m = match("ld", "global");
    CHECK(!m.ok);
    CHECK(m.missing == "T");
    CHECK(m.failed_at == 1);
    m = match("shfl.sync", "bfly.b32");
    CHECK(m.missing == "sync");
    m = match("ld", "global.global.f32");
    CHECK(m.failed_at == 1);
}

TEST_CASE("hostile modifiers end quickly") {
    std::vector<std::string_view> many(200, "f32");
    for (const auto& form : forms()) CHECK(!match_modifiers(form, many).ok);
    CHECK(!match_modifiers(row("ld"), std::vector<std::string_view>{"", "", ""}).ok);
}

TEST_CASE("every row matches what it prints") {
    for (const auto& form : forms()) {
        Choices choices{};
        for (std::size_t i = 0; i < form.slots.size(); i++) {
            choices[i] = form.slots[i].optional ? 0 : 1;
            REQUIRE(!form.slots[i].words.empty());
        }
        const auto text = mnemonic(form, choices);
        auto parts = split(text);
        parts.erase(parts.begin());
        CHECK_MESSAGE((match_modifiers(form, parts).choices == choices || violated_clause(form, choices)),
                      mnemonic(form, choices));
    }
}

TEST_CASE("rows are found by opcode and by Op") {
    CHECK(forms_of("nonsense").empty());
    CHECK(forms_of("").empty());
    for (const auto& form : forms()) {
        CHECK(to_string(form.op) == form.opcode);
        const auto all = forms_of(form.opcode.substr(0, form.opcode.find('.')));
        CHECK((&form >= all.data() && &form < all.data() + all.size()));
        const auto own = rows_of(form.op);
        CHECK((&form >= own.data() && &form < own.data() + own.size()));
    }
    static_assert(rows_of(Op::shfl_sync)[0].opcode == "shfl.sync");
}

TEST_CASE("requirements are the maximum of their parts") {
    const auto& ld = row("ld");
    const auto choices = [&](std::string_view modifiers) { return match_modifiers(ld, split(modifiers)).choices; };
    CHECK(!unmet(ld, choices("global.f32"), {4, 0}, plain(50)));
    CHECK(unmet(ld, choices("relaxed.gpu.f32"), {5, 0}, plain(70)));
    CHECK(unmet(ld, choices("relaxed.gpu.f32"), {6, 0}, plain(62)));
    CHECK(!unmet(ld, choices("relaxed.gpu.f32"), {6, 0}, plain(70)));
    CHECK(unmet(ld, choices("relaxed.cluster.f32"), {7, 8}, plain(89)));
    // A clause: .b128 with .sys
    CHECK(!unmet(ld, choices("relaxed.gpu.b128"), {8, 3}, plain(70)));
    CHECK(unmet(ld, choices("relaxed.sys.b128"), {8, 3}, plain(70)));
    // Alternatives
    const auto& tc = row("clusterlaunchcontrol.try_cancel");
    const auto c = match_modifiers(tc, split("try_cancel.async.shared::cta.mbarrier::complete_tx::bytes."
                                             "multicast::cluster::all.b128"));
    REQUIRE(c.ok);
    CHECK(unmet(tc, c.choices, {9, 0}, plain(100)));
    CHECK(!unmet(tc, c.choices, {8, 6}, {100, TargetVariant::arch}));
    CHECK(unmet(tc, c.choices, {8, 6}, {120, TargetVariant::arch}));
    CHECK(!unmet(tc, c.choices, {8, 8}, {103, TargetVariant::family}));
    CHECK(!unmet(tc, c.choices, {9, 0}, {121, TargetVariant::arch}));
}

TEST_CASE("special registers are found by name") {
    std::set<std::string_view> names;
    for (const auto& special : special_registers()) {
        CHECK(names.insert(special.name).second);
        const auto index = find_special_register(special.name);
        REQUIRE(index);
        CHECK(special_registers()[*index].name == special.name);
    }
    CHECK(!find_special_register("%tid"));
    CHECK(!find_special_register("tid.x"));
    CHECK(!find_special_register(""));
}
