#pragma once

#include "policies/answer.hpp"
#include "policies/context.hpp"

#include <concepts>
#include <memory>
#include <string>
#include <utility>

namespace ptxgen::policies {

/// What a policy is made of. Each callback emits code that the leader runs:
///
/// - `void init(PolicyContext&)`, optional: at the start of a launched CTA; makes the policy's state.
/// - `Answer should_try_steal(PolicyContext&)`: one ask, before a request is submitted. Emitted once or twice.
/// - `KeepGoing keep_going_after_success(PolicyContext&)`, optional: when a request has brought a tile, before that
///   tile runs. It runs in any case; false means that nothing more is requested.
/// - `std::string text() const`: how it is written.
/// - `static constexpr bool always_steals = true`, optional: it answers STEAL to every ask.
template <class P>
concept PolicyRules = requires(P rules, const P& same, PolicyContext& context) {
    { same.text() } -> std::convertible_to<std::string>;
    { rules.should_try_steal(context) } -> std::convertible_to<Answer>;
}
&&std::copy_constructible<P>;

/// Any policy, by value.
class Policy {
public:
    template <class P>
    requires(!std::same_as<P, Policy> && PolicyRules<P>) Policy(P rules) // NOLINT: rules are a policy
        : rules_(std::make_unique<Model<P>>(std::move(rules))) {}
    Policy(const Policy& other) : rules_(other.rules_->clone()) {}
    Policy(Policy&&) noexcept = default;
    Policy& operator=(Policy other) noexcept {
        std::swap(rules_, other.rules_);
        return *this;
    }

    void init(PolicyContext& context) { rules_->init(context); }
    Answer should_try_steal(PolicyContext& context) { return rules_->should_try_steal(context); }
    KeepGoing keep_going_after_success(PolicyContext& context) { return rules_->keep_going_after_success(context); }
    std::string text() const { return rules_->text(); }
    /// Whether it is Greedy by another name.
    bool always_steals() const { return rules_->always_steals(); }

private:
    struct Rules {
        virtual ~Rules() = default;
        virtual std::unique_ptr<Rules> clone() const = 0;
        virtual void init(PolicyContext& context) = 0;
        virtual Answer should_try_steal(PolicyContext& context) = 0;
        virtual KeepGoing keep_going_after_success(PolicyContext& context) = 0;
        virtual std::string text() const = 0;
        virtual bool always_steals() const = 0;
    };
    template <class P>
    struct Model final : Rules {
        explicit Model(P given) : rules(std::move(given)) {}
        std::unique_ptr<Rules> clone() const override { return std::make_unique<Model>(rules); }
        void init(PolicyContext& context) override {
            if constexpr (requires { rules.init(context); }) rules.init(context);
        }
        Answer should_try_steal(PolicyContext& context) override { return rules.should_try_steal(context); }
        KeepGoing keep_going_after_success(PolicyContext& context) override {
            if constexpr (requires { rules.keep_going_after_success(context); })
                return rules.keep_going_after_success(context);
            else
                return true;
        }
        std::string text() const override { return rules.text(); }
        bool always_steals() const override {
            if constexpr (requires { P::always_steals; })
                return P::always_steals;
            else
                return false;
        }
        P rules;
    };

    std::unique_ptr<Rules> rules_;
};

/// The stricter answer of the two, and going on when both do. Both are asked every time, so that the state of each
/// advances the same whatever the other one says.
Policy all_of(Policy a, Policy b);
/// The laxer answer of the two, and going on when one does; both are asked every time.
Policy any_of(Policy a, Policy b);

template <PolicyRules A, PolicyRules B>
Policy operator&&(A a, B b) {
    return all_of(std::move(a), std::move(b));
}
template <PolicyRules A, PolicyRules B>
Policy operator||(A a, B b) {
    return any_of(std::move(a), std::move(b));
}

} // namespace ptxgen::policies
