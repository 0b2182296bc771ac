#pragma once

#include "policies/policy.hpp"

#include <string_view>

namespace ptxgen::policies {

/// Reads a policy's text form: names of policy_registry() with their arguments, `&&` (binds tighter), `||`,
/// parentheses: "max_steals(8) && every_nth(2)". The error names the column, what was expected and what was found.
Result<Policy> parse_policy(std::string_view text);

} // namespace ptxgen::policies
