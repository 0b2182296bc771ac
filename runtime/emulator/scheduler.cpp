#include "runtime/emulator/choices.hpp"
#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

// Runs a launch on one thread under Choices. Three things can happen next: a warp runs for a while, a pending cluster
// starts, an operation in flight completes. Random and adversarial choices are asked at every step. In order and under
// a script, warps run until they wait, and only when something has happened (a cluster started, a CTA ended, an
// operation was issued or completed) is it asked what else does, so that scripts are short; what is put off happens at
// the latest when nothing can run.
namespace ptxgen::runtime::emulator {
namespace {

constexpr u32 steps_between_looks = 4096; ///< at whether anything has happened

class Scheduler {
public:
    Scheduler(Worker& worker, Launch& launch) : worker_(worker), launch_(launch), choices_(*launch.choices) {}
    void run();

private:
    struct Flight {
        Cluster* cluster;
        std::size_t index;
    };
    std::vector<Flight> in_flight() const;
    bool has_room() const;
    void start();
    void offer(); ///< starts and completions that choices may bring now
    bool force(); ///< one that has been put off; false if there is none
    bool runnable(Cta& cta) const;
    bool run_slice(Cta& cta); ///< runs one of its warps, or all in order; false after a finding
    bool sweep();             ///< takes away CTAs that have ended; false after a finding
    /// Nothing happens though all have run, or none can and nothing is put off: insists. False after a deadlock.
    bool wait(bool ready);

    Worker& worker_;
    Launch& launch_;
    Choices& choices_;
    std::vector<std::unique_ptr<Cluster>> clusters_;
    std::vector<Cta*> resident_; ///< their CTAs that have not ended
    Cta* last_ = nullptr;        ///< that has run
    u64 seen_ = ~u64{0};         ///< Worker::events at the last offer
    u64 last_activity_ = 0;      ///< some steps ago
    u32 steps_ = 0;              ///< since then
    std::chrono::steady_clock::time_point last_change_ = std::chrono::steady_clock::now();
};

std::vector<Scheduler::Flight> Scheduler::in_flight() const {
    std::vector<Flight> all;
    for (const auto& cluster : clusters_)
        for (std::size_t k = 0; k < cluster->operations.size(); ++k) all.push_back({cluster.get(), k});
    return all;
}

bool Scheduler::has_room() const {
    return launch_.dispatcher.pending() != 0 &&
           (resident_.empty() || resident_.size() + launch_.cluster.count() <= launch_.residents_per_worker);
}

void Scheduler::start() {
    const auto next = launch_.dispatcher.launch();
    if (!next) return;
    clusters_.push_back(start_cluster(launch_, worker_, *next));
    for (const auto& cta : clusters_.back()->ctas) resident_.push_back(cta.get());
}

void Scheduler::offer() {
    if (!choices_.at_every_step() && (seen_ == worker_.events || choices_.when_all_wait())) {
        seen_ = worker_.events;
        return;
    }
    while (has_room() && choices_.pick(2, ChoiceKind::dispatch) == 0) start();
    for (;;) {
        const auto flights = in_flight();
        if (flights.empty()) break;
        const u32 k = choices_.pick(static_cast<u32>(flights.size()) + 1, ChoiceKind::completion);
        if (k == 0) break;
        complete_async(*flights[k - 1].cluster, flights[k - 1].index);
    }
    seen_ = worker_.events;
}

bool Scheduler::force() {
    const auto flights = in_flight();
    const bool room = has_room();
    if (flights.empty() && !room) return false;
    const u32 k = choices_.pick(static_cast<u32>(flights.size() + room), ChoiceKind::completion);
    if (k < flights.size())
        complete_async(*flights[k].cluster, flights[k].index);
    else
        start();
    return true;
}

bool Scheduler::runnable(Cta& cta) const {
    return std::any_of(cta.warps.begin(), cta.warps.end(), [](WarpState& w) { return is_ready(w); });
}

bool Scheduler::run_slice(Cta& cta) {
    if (!choices_.at_every_step()) {
        for (WarpState& w : cta.warps) {
            if (!is_ready(w)) continue;
            if (run_warp(w, long_quantum) == WarpResult::stopped) return false;
            if (worker_.events != seen_) break;
        }
        return true;
    }
    std::vector<WarpState*> ready;
    for (WarpState& w : cta.warps)
        if (is_ready(w)) ready.push_back(&w);
    static constexpr s64 quanta[] = {long_quantum, 256, 32, 4, 1};
    WarpState& w = *ready[choices_.pick(static_cast<u32>(ready.size()), ChoiceKind::warp)];
    return run_warp(w, quanta[choices_.pick(static_cast<u32>(std::size(quanta)), ChoiceKind::quantum)]) !=
           WarpResult::stopped;
}

bool Scheduler::sweep() {
    for (std::size_t k = 0; k < resident_.size();) {
        Cta& cta = *resident_[k];
        if (std::any_of(cta.warps.begin(), cta.warps.end(), [](const WarpState& w) { return !w.splits.empty(); })) {
            ++k;
            continue;
        }
        resident_.erase(resident_.begin() + static_cast<std::ptrdiff_t>(k));
        if (last_ == &cta) last_ = nullptr; // its storage may become another CTA's
        if (!end_cta(cta)) return false;
        if (cta.cluster->live_ctas) continue;
        const auto at =
            std::find_if(clusters_.begin(), clusters_.end(), [&](const auto& c) { return c.get() == cta.cluster; });
        release_cluster(std::move(*at));
        clusters_.erase(at);
    }
    return true;
}

bool Scheduler::wait(bool ready) {
    const bool parked = std::any_of(resident_.begin(), resident_.end(), [](const Cta* cta) {
        return std::any_of(cta->warps.begin(), cta->warps.end(), [](const WarpState& w) { return w.parked; });
    });
    // once all come back to the state that they were in before, and memory is, nothing will ever change
    constexpr int rounds = 3;
    bool same = true;
    u64 before = 0;
    for (int round = 0; round < rounds && (ready || parked); ++round) {
        const u64 activity = activity_of(resident_) + worker_.events;
        worker_.insists = true;
        for (std::size_t k = 0; k < resident_.size(); ++k)
            for (WarpState& w : resident_[k]->warps)
                if (is_ready(w) && run_warp(w, long_quantum) == WarpResult::stopped) return false;
        worker_.insists = false;
        if (activity_of(resident_) + worker_.events != activity) {
            last_change_ = std::chrono::steady_clock::now();
            return true;
        }
        const u64 state = state_of(resident_);
        same = same && (round == 0 || state == before);
        before = state;
    }
    const std::chrono::duration<double> still = std::chrono::steady_clock::now() - last_change_;
    if (!same && still.count() <= launch_.options->stall_seconds) return true;
    report_deadlock(launch_, resident_,
                    same ? "nothing that these threads wait for can happen any more"
                         : fmt::format("no thread has changed memory for {:.0f} s", still.count()));
    return false;
}

void Scheduler::run() {
    while (!launch_.stop.load(std::memory_order_relaxed)) {
        offer();
        if (launch_.stop.load(std::memory_order_relaxed)) break;
        // in turn, behind the one that ran last
        std::vector<Cta*> ready;
        const auto after = std::find(resident_.begin(), resident_.end(), last_);
        const std::size_t first =
            after == resident_.end() ? 0 : static_cast<std::size_t>(after - resident_.begin()) + 1;
        for (std::size_t k = 0; k < resident_.size(); ++k) {
            Cta* cta = resident_[(first + k) % resident_.size()];
            if (runnable(*cta)) ready.push_back(cta);
        }
        if (!ready.empty()) {
            last_ = ready[choices_.pick(static_cast<u32>(ready.size()), ChoiceKind::cta)];
            if (!run_slice(*last_) || !sweep()) break;
            if (++steps_ < steps_between_looks) continue;
            // they may all be waiting in ways that do not show
            steps_ = 0;
            const u64 activity = activity_of(resident_) + worker_.events;
            if (std::exchange(last_activity_, activity) != activity) {
                last_change_ = std::chrono::steady_clock::now();
                continue;
            }
        }
        if (force()) continue;
        if (resident_.empty() || !wait(!ready.empty()) || !sweep()) break;
    }
    for (auto& cluster : clusters_) release_cluster(std::move(cluster));
}

} // namespace

void run_scheduled(Worker& worker, Launch& launch) { Scheduler(worker, launch).run(); }

} // namespace ptxgen::runtime::emulator
