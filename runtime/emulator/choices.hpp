#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace ptxgen::runtime::emulator {

/// What a choice decides. Where several things are possible, the options are in the order that is named here; option 0
/// is what happens in order.
enum class ChoiceKind : std::uint8_t {
    dispatch,   ///< whether a cluster for which there is room starts now (0) or later (1)
    order,      ///< which pending cluster is launched or cancelled next, by increasing number
    completion, ///< which asynchronous operation completes now: none yet, then from the oldest on
    outcome,    ///< whether a cancellation that could succeed does (0) or fails all the same (1)
    cta,        ///< which CTA runs next: in turn, last the one that ran before
    warp,       ///< which of its warps
    quantum,    ///< for how long it runs: from the longest to the shortest
    preempt,    ///< whether a warp stops behind something that others see: only the last option does
};
inline constexpr unsigned choice_kinds = 8;

/// One decision: `chosen` < `n`.
struct Choice {
    std::uint32_t n;
    std::uint32_t chosen;
    ChoiceKind kind;
    bool operator==(const Choice&) const = default;
};

/// When a scripted schedule chooses what starts and what completes.
enum class Points : std::uint8_t {
    /// After every event: a cluster started, a CTA ended, an operation was issued or completed.
    every_event,
    /// When all CTAs wait. Far fewer schedules, and as good as all where CTAs touch nothing of one another's but the
    /// clusters that are pending: whatever a CTA does until it waits could as well have come before.
    all_wait,
};

/// The one source of all that is undetermined in launches: every decision of the scheduler and of asynchronous
/// operations is a pick() from here, so that a seed or a script reproduces a run. For use by one thread.
class Choices {
public:
    /// Option 0 always.
    static std::shared_ptr<Choices> in_order();
    /// Every option as likely as the others.
    static std::shared_ptr<Choices> random(std::uint64_t seed);
    /// Random in what extreme to go to, for a while and for each kind on its own: the first option, the last one, the
    /// same one again, any. So CTAs starve, clusters start in reverse, operations take the longest they can.
    static std::shared_ptr<Choices> adversarial(std::uint64_t seed);
    /// Choices of `kinds` follow `script` and take option 0 behind its end; other kinds take option 0 and are not
    /// recorded. advance() enumerates all schedules:
    ///     auto choices = Choices::scripted({}, {ChoiceKind::dispatch});
    ///     do run(choices); while (choices->advance());
    static std::shared_ptr<Choices> scripted(std::vector<std::uint32_t> script, std::vector<ChoiceKind> kinds,
                                             Points points = Points::every_event);

    /// A number below n; n > 0. Of one option there is no choice: 0, and nothing is recorded.
    std::uint32_t pick(std::uint32_t n, ChoiceKind kind);
    /// Whether pick() may answer anything but 0 for this kind.
    bool decides(ChoiceKind kind) const;
    /// Whether to ask at every step; else only after something has happened, so that scripts stay short.
    bool at_every_step() const { return mode_ == Mode::random || mode_ == Mode::adversarial; }

    /// Whether nothing is asked before all CTAs wait.
    bool when_all_wait() const { return mode_ == Mode::scripted && points_ == Points::all_wait; }

    /// What was picked since the start, or since advance(); scripted choices only.
    const std::vector<Choice>& taken() const { return taken_; }
    /// Scripted: goes to the next schedule, depth first. False when there is none: all have been taken.
    bool advance();
    /// Scripted: a replayed choice had fewer options than the script asks for. The run is not the one that was meant.
    bool diverged() const { return diverged_; }

private:
    enum class Mode : std::uint8_t { in_order, random, adversarial, scripted };
    enum class Mood : std::uint8_t { first, last, same, any };
    struct State {
        Mood mood = Mood::any;
        std::uint32_t left = 0; ///< picks until the mood changes
        std::uint32_t before = 0;
    };
    Choices(Mode mode, std::uint64_t seed) : mode_(mode), random_(seed) {}
    std::uint64_t next_random();

    Mode mode_;
    std::uint64_t random_;
    State states_[choice_kinds];
    std::vector<std::uint32_t> script_;
    std::uint32_t kinds_ = 0; ///< bit by ChoiceKind
    Points points_ = Points::every_event;
    std::vector<Choice> taken_;
    bool diverged_ = false;
};

} // namespace ptxgen::runtime::emulator
