// The text form of policies: what it means, and the one error that each mistake gets.
#include "policies/policies.hpp"

#include <doctest/doctest.h>

using namespace ptxgen;
using namespace ptxgen::policies;

namespace {

std::string text_of(std::string_view text) {
    const auto policy = parse_policy(text);
    return policy ? policy->text() : policy.error().message;
}

} // namespace

TEST_CASE("a policy's text is read back as it is written") {
    for (const auto& spec : policy_registry())
        for (const auto& example : spec.examples) CHECK(text_of(example) == example);
    for (const std::string text :
         {"max_steals(8) && every_nth(2)", "greedy || never_steal", "greedy && (never_steal || first_half)",
          "(greedy || never_steal) && first_half", "greedy || never_steal && first_half", "every_nth(4294967295)",
          "time_budget(9223372036854775807)"})
        CHECK(text_of(text) == text);
    CHECK(text_of(" max_steals( 8 )\t&&every_nth(2)\n") == "max_steals(8) && every_nth(2)");
    CHECK(text_of("((greedy))") == "greedy");
    CHECK(text_of("greedy()") == "greedy");
}

TEST_CASE("C++ and text make the same policies") {
    CHECK((Greedy{} && MaxSteals{8}).text() == "greedy && max_steals(8)");
    CHECK(((NeverSteal{} || EveryNth{2}) && TimeBudget{5}).text() == "(never_steal || every_nth(2)) && time_budget(5)");
    CHECK((first_half() || Policy(Greedy{})).text() == "first_half || greedy");
}

TEST_CASE("a mistake gets one error with its column, what was expected and what was found") {
    CHECK(text_of("greedy && evry_nth(2)") ==
          "policy 'greedy && evry_nth(2)', column 11: unknown policy 'evry_nth'; the nearest names are every_nth, "
          "greedy, never_steal");
    CHECK(text_of("max_steals") ==
          "policy 'max_steals', column 11: max_steals takes 1 argument, max_steals(n), found 0");
    CHECK(text_of("max_steals()") ==
          "policy 'max_steals()', column 11: max_steals takes 1 argument, max_steals(n), found 0");
    CHECK(text_of("max_steals(1, 2)") ==
          "policy 'max_steals(1, 2)', column 15: max_steals takes 1 argument, max_steals(n), found 2");
    CHECK(text_of("greedy(3)") == "policy 'greedy(3)', column 8: greedy takes no arguments, found 1");
    CHECK(text_of("every_nth(0)") == "policy 'every_nth(0)', column 11: n of every_nth must be from 1 to 4294967295, "
                                     "found 0: every 0th ask would divide by zero");
    CHECK(text_of("max_steals(4294967296)") == "policy 'max_steals(4294967296)', column 12: n of max_steals must be "
                                               "from 0 to 4294967295, found 4294967296");
    CHECK(text_of("time_budget(99999999999999999999999)") ==
          "policy 'time_budget(99999999999999999999999)', column 13: ns of time_budget must be from 0 to "
          "9223372036854775807, found 99999999999999999999999");
    CHECK(text_of("max_steals(-1)") == "policy 'max_steals(-1)', column 12: expected an integer from 0 on, found '-'");
    CHECK(text_of("max_steals(many)") ==
          "policy 'max_steals(many)', column 12: expected an integer from 0 on, found 'many'");
    CHECK(text_of("max_steals(1") == "policy 'max_steals(1', column 13: expected ',' or ')', found the end");
    CHECK(text_of("") == "policy '', column 1: expected the name of a policy or '(', found the end");
    CHECK(text_of("greedy &&") == "policy 'greedy &&', column 10: expected the name of a policy or '(', found the end");
    CHECK(text_of("greedy & greedy") ==
          "policy 'greedy & greedy', column 8: expected '&&', '||' or the end, found '&'");
    CHECK(text_of("greedy greedy") ==
          "policy 'greedy greedy', column 8: expected '&&', '||' or the end, found 'greedy'");
    CHECK(text_of("(greedy || never_steal") ==
          "policy '(greedy || never_steal', column 23: expected '&&', '||' or ')', found the end");
    CHECK(text_of("!greedy") == "policy '!greedy', column 1: expected the name of a policy or '(', found '!'");
    CHECK(text_of("2") == "policy '2', column 1: expected the name of a policy or '(', found '2'");
    const std::string deep = std::string(1000000, '(') + "greedy";
    CHECK(text_of(deep).size() < 300);
    CHECK(text_of(deep).find("column 101: too many parentheses inside each other") != std::string::npos);
}
