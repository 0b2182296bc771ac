#pragma once

#include "policies/registry.hpp"

#include <functional>

namespace ptxgen::policies {

/// STEAL in the launched CTAs for which a predicate holds, EXIT in the others. Decided once, at a CTA's start.
class SelectiveBlocks {
public:
    /// `chosen` emits whether the leader's launched CTA may steal; `text` is how the policy is written.
    SelectiveBlocks(std::string text, std::function<Pred(PolicyContext&)> chosen)
        : text_(std::move(text)), chosen_(std::move(chosen)) {}

    void init(PolicyContext& context) {
        const Answer answer(chosen_(context), Decision::steal, Decision::exit);
        answer_ = context.state<u32>(answer.value(context.k));
    }
    Answer should_try_steal(PolicyContext&) const {
        const Val<u32> answer = answer_.get();
        return {answer == 0U, Decision::steal, Decision::exit};
    }
    std::string text() const { return text_; }

private:
    std::string text_;
    std::function<Pred(PolicyContext&)> chosen_;
    State<u32> answer_;
};

/// STEAL in launched CTAs whose linear number is below half of the grid's.
inline SelectiveBlocks first_half() {
    return {"first_half", [](PolicyContext& context) {
                const Val<u32> half = context.grid_ctas() >> 1U;
                return context.launched_cta() < half;
            }};
}

inline PolicySpec first_half_spec() {
    return {"first_half", "only CTAs launched for the first half of the grid steal", {}, {"first_half"}, [](auto) {
                return first_half();
            }};
}

} // namespace ptxgen::policies
