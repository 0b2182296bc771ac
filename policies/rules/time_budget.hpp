#pragma once

#include "policies/registry.hpp"

#include <fmt/format.h>

namespace ptxgen::policies {

/// EXIT once the launched CTA has run for so many nanoseconds of %globaltimer, whose resolution the GPU decides (about
/// a microsecond on some).
class TimeBudget {
public:
    explicit TimeBudget(std::uint64_t nanoseconds) : nanoseconds_(nanoseconds) {}

    void init(PolicyContext& context) { start_ = context.state<u64>(context.nanoseconds()); }
    Answer should_try_steal(PolicyContext& context) const {
        const Val<u64> now = context.nanoseconds();
        const Val<u64> start = start_.get();
        const Val<u64> passed = now - start;
        return {passed < nanoseconds_, Decision::steal, Decision::exit};
    }
    std::string text() const { return fmt::format("time_budget({})", nanoseconds_); }

    static PolicySpec spec() {
        return {"time_budget",
                "requests no more tiles once the launched CTA has run for so long",
                {{"ns", "nanoseconds", 0, 0x7fffffffffffffff, ""}},
                {"time_budget(0)", "time_budget(2000)", "time_budget(1000000)"},
                [](auto arguments) { return TimeBudget(arguments[0]); }};
    }

private:
    std::uint64_t nanoseconds_;
    State<u64> start_;
};

} // namespace ptxgen::policies
