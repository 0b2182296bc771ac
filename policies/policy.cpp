#include "policies/policy.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {
namespace {

struct AllOf {
    Policy a, b;

    void init(PolicyContext& context) {
        a.init(context);
        b.init(context);
    }
    Answer should_try_steal(PolicyContext& context) {
        const Answer left = a.should_try_steal(context);
        const Answer right = b.should_try_steal(context);
        return stricter(context.k, left, right);
    }
    KeepGoing keep_going_after_success(PolicyContext& context) {
        const KeepGoing left = a.keep_going_after_success(context);
        const KeepGoing right = b.keep_going_after_success(context);
        return both(left, right);
    }
    /// `&&` binds tighter than `||`.
    static std::string part(const Policy& policy);
    std::string text() const { return fmt::format("{} && {}", part(a), part(b)); }
};

struct AnyOf {
    Policy a, b;

    void init(PolicyContext& context) {
        a.init(context);
        b.init(context);
    }
    Answer should_try_steal(PolicyContext& context) {
        const Answer left = a.should_try_steal(context);
        const Answer right = b.should_try_steal(context);
        return laxer(context.k, left, right);
    }
    KeepGoing keep_going_after_success(PolicyContext& context) {
        const KeepGoing left = a.keep_going_after_success(context);
        const KeepGoing right = b.keep_going_after_success(context);
        return either(left, right);
    }
    std::string text() const { return fmt::format("{} || {}", a.text(), b.text()); }
};

std::string AllOf::part(const Policy& policy) {
    const std::string text = policy.text();
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '(') depth++;
        if (text[i] == ')') depth--;
        if (depth == 0 && text[i] == '|') return fmt::format("({})", text);
    }
    return text;
}

} // namespace

Policy all_of(Policy a, Policy b) { return AllOf{std::move(a), std::move(b)}; }
Policy any_of(Policy a, Policy b) { return AnyOf{std::move(a), std::move(b)}; }

} // namespace ptxgen::policies
