#pragma once

#include "policies/policy.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::policies {

/// An argument of a policy's text form: an integer in a range.
struct PolicyParameter {
    std::string name;    ///< "n"
    std::string meaning; ///< with the unit
    std::uint64_t min = 0, max = 0;
    std::string below; ///< what is wrong with a smaller number, if there is more to say than the range
};

/// A policy that has a name: its text form, and the examples that tests prove and print.
struct PolicySpec {
    std::string name;    ///< "max_steals"
    std::string meaning; ///< one line
    std::vector<PolicyParameter> parameters;
    std::vector<std::string> examples; ///< texts; every test over all policies runs them
    /// `arguments` are as many as there are parameters, each in its range.
    std::function<Policy(std::span<const std::uint64_t> arguments)> make;
};

/// All policies with a name.
std::span<const PolicySpec> policy_registry();

} // namespace ptxgen::policies
