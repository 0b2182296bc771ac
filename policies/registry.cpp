#include "policies/registry.hpp"

#include "policies/policies.hpp"

namespace ptxgen::policies {

// A new policy adds its line here and its header to policies.hpp; the parser, `ptxgen list` and the tests over all
// policies go by this list.
std::span<const PolicySpec> policy_registry() {
    static const std::vector<PolicySpec> specs{
        Greedy::spec(), NeverSteal::spec(), MaxSteals::spec(), EveryNth::spec(), first_half_spec(), TimeBudget::spec(),
    };
    return specs;
}

} // namespace ptxgen::policies
