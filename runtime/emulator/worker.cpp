#include "runtime/emulator/clc.hpp"
#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <thread>
#include <utility>

namespace ptxgen::runtime {

std::string to_string(const Finding& f) {
    return fmt::format("{}: {} (kernel {}, line {}: '{}', CTA ({},{},{}), thread ({},{},{}), seed {})", f.rule,
                       f.message, f.kernel, f.line, f.instruction, f.cta.x, f.cta.y, f.cta.z, f.thread.x, f.thread.y,
                       f.thread.z, f.seed);
}

} // namespace ptxgen::runtime

namespace ptxgen::runtime::emulator {
namespace {

void add_finding(Launch& launch, Finding finding) {
    const std::scoped_lock lock(launch.mutex);
    launch.findings.push_back(std::move(finding));
    launch.stop.store(true);
}

u64 combine(u64 hash, u64 value) { return (hash ^ value) * 0x9e3779b97f4a7c15ull + (hash >> 29); }

} // namespace

u64 activity_of(const std::vector<Cta*>& ctas) {
    u64 sum = 0;
    for (const Cta* cta : ctas) {
        sum += cta->events;
        for (const WarpState& w : cta->warps) sum += w.writes;
    }
    return sum;
}

u64 state_of(const std::vector<Cta*>& ctas) {
    u64 hash = 1;
    for (const Cta* cta : ctas)
        for (const WarpState& w : cta->warps) {
            if (w.splits.empty()) continue;
            for (const Split& s : w.splits)
                hash = combine(combine(hash, reinterpret_cast<std::uintptr_t>(s.pc)), s.mask);
            const u64* words = reinterpret_cast<const u64*>(w.regs);
            for (u32 k = 0; k < cta->launch->program->register_bytes / 8; ++k) hash = combine(hash, words[k]);
        }
    return hash;
}

void report_deadlock(Launch& launch, const std::vector<Cta*>& ctas, std::string_view why) {
    if (explain_deadlock(ctas)) return;
    Finding f;
    f.rule = "deadlock";
    f.message = fmt::format("{}: {}", why, describe_waits(ctas));
    f.kernel = launch.program->name;
    f.seed = launch.options->seed;
    if (!ctas.empty()) {
        f.cta = ctas.front()->id;
        for (const WarpState& w : ctas.front()->warps)
            if (!w.splits.empty() && f.line == 0) f.line = line_of(*launch.program, w.splits.front().pc);
        if (f.line && f.line <= launch.program->text->lines.size())
            f.instruction = launch.program->text->lines[f.line - 1];
    }
    add_finding(launch, std::move(f));
}

u32 line_of(const Program& program, const Inst* i) {
    if (i < program.code.data() || i >= program.code.data() + program.code.size()) return 0;
    return i->source < program.function->body.size() ? program.function->body[i->source].location.line : 0;
}

void report(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address) {
    Launch& launch = launch_of(w);
    const Dim3& block = launch.config.block;
    if (lane < 0) lane = w.active ? std::countr_zero(w.active) : 0;
    const u32 linear = w.index * warp_size + static_cast<u32>(lane);
    Finding f;
    f.rule = std::move(rule);
    f.message = std::move(message);
    f.kernel = launch.program->name;
    f.line = line_of(*launch.program, i);
    if (f.line && f.line <= launch.program->text->lines.size()) f.instruction = launch.program->text->lines[f.line - 1];
    f.cta = w.cta->id;
    f.thread = {linear % block.x, linear / block.x % block.y, linear / block.x / block.y};
    f.address = address;
    f.seed = launch.options->seed;
    add_finding(launch, std::move(f));
}

const Inst* fault(Warp& w, const Inst* i, int lane, std::string rule, std::string message, u64 address) {
    report(w, i, lane, std::move(rule), std::move(message), address);
    return stop_at(w, i, Stop::fault);
}

namespace {

/// The clusters that one worker runs, in order.
class InOrder {
public:
    InOrder(Worker& worker, Launch& launch) : worker_(worker), launch_(launch) {}
    void run();

private:
    bool claim();
    enum class Pass : u8 { idle, ran, ended, stopped };
    Pass run_all();
    /// After a pass in which nobody ended and nothing was done, and before which there was this activity. False to end.
    bool wait(Pass pass, u64 activity);

    /// Whether this is so for all workers at `activity`.
    bool all_at(std::atomic<u64> Launch::Progress::*since, u64 activity) const;

    Worker& worker_;
    Launch& launch_;
    Launch::Progress& progress_ = launch_.progress[worker_.index];
    std::vector<std::unique_ptr<Cluster>> clusters_;
    std::vector<Cta*> resident_; ///< their CTAs that have not ended
    u64 last_activity_ = 0, last_state_ = 0, idle_activity_ = ~u64{0};
    u32 quiet_ = 0;             ///< passes in which nothing has happened
    u32 rounds_ = 0;            ///< looks at the CTAs' state that found it unchanged, though parked warps had run
    bool has_insisted_ = false; ///< since the last look
    std::chrono::steady_clock::time_point last_change_ = std::chrono::steady_clock::now();
};

bool InOrder::claim() {
    const u64 size = launch_.cluster.count();
    if (!resident_.empty() && resident_.size() + size > launch_.residents_per_worker) return false;
    const auto next = launch_.dispatcher.launch();
    if (!next) return false;
    clusters_.push_back(start_cluster(launch_, worker_, *next));
    for (const auto& cta : clusters_.back()->ctas) resident_.push_back(cta.get());
    return true;
}

InOrder::Pass InOrder::run_all() {
    Pass pass = Pass::idle;
    for (std::size_t k = 0; k < resident_.size();) {
        Cta& cta = *resident_[k];
        switch (run_cta(cta)) {
        case CtaState::finished: {
            if (!end_cta(cta)) return Pass::stopped;
            pass = Pass::ended;
            resident_.erase(resident_.begin() + static_cast<std::ptrdiff_t>(k));
            if (cta.cluster->live_ctas) continue;
            const auto at =
                std::find_if(clusters_.begin(), clusters_.end(), [&](const auto& c) { return c.get() == cta.cluster; });
            release_cluster(std::move(*at));
            clusters_.erase(at);
            continue;
        }
        case CtaState::stuck:
            if (cta.cluster->ctas.size() > 1) break; // another CTA of the cluster may end its wait
            report_deadlock(launch_, {&cta}, "all threads of the CTA wait");
            return Pass::stopped;
        case CtaState::stopped: return Pass::stopped;
        case CtaState::waits: break;
        case CtaState::yielded:
            if (pass == Pass::idle) pass = Pass::ran;
            break;
        }
        ++k;
    }
    return pass;
}

void InOrder::run() {
    if (launch_.config.cooperative)
        while (claim()) {
        }
    while (!launch_.stop.load(std::memory_order_relaxed)) {
        if (resident_.empty() && !claim()) break;
        const u64 activity = launch_.activity.load();
        const Pass pass = run_all();
        const bool insisted = std::exchange(worker_.insists, false);
        has_insisted_ = has_insisted_ || insisted;
        if (pass == Pass::stopped) break;
        const u64 now = activity_of(resident_);
        if (pass == Pass::ended || now != last_activity_) {
            if (now != last_activity_) launch_.activity.fetch_add(1);
            last_activity_ = now;
            quiet_ = rounds_ = 0;
            progress_.waits_at = progress_.idle_at = Launch::Progress::never;
            last_change_ = std::chrono::steady_clock::now();
            if (pass != Pass::idle) continue;
        }
        if (insisted) continue;
        // they may wait for a CTA that has not started, for another worker, or for nothing at all
        if ((++quiet_ % 8 == 0 || pass == Pass::idle) && claim()) continue;
        if (pass == Pass::ran && quiet_ < 8) continue;
        if (!wait(pass, activity)) break;
    }
    progress_.waits_at = progress_.idle_at = Launch::Progress::ended;
    for (auto& cluster : clusters_) release_cluster(std::move(cluster));
}

bool InOrder::all_at(std::atomic<u64> Launch::Progress::*since, u64 activity) const {
    for (unsigned k = 0; k < launch_.workers; ++k) {
        const u64 at = launch_.progress[k].*since;
        if (at != activity && at != Launch::Progress::ended) return false;
    }
    return true;
}

bool InOrder::wait(Pass pass, u64 activity) {
    if (pass == Pass::idle) progress_.waits_at = activity;
    const bool all_wait = all_at(&Launch::Progress::waits_at, activity);
    if (pass == Pass::ran || all_wait) {
        // once all are in the state that they were in before, and memory is, nothing will ever change
        const u64 hash = state_of(resident_);
        const bool same = hash == last_state_ && activity == idle_activity_;
        last_state_ = hash;
        idle_activity_ = activity;
        rounds_ = same ? rounds_ + std::exchange(has_insisted_, false) : 0;
        progress_.idle_at = rounds_ ? activity : Launch::Progress::never;
        if (pass == Pass::ran) progress_.waits_at = same ? activity : Launch::Progress::never;
    }
    if (rounds_ > 8 && all_at(&Launch::Progress::idle_at, activity) && launch_.activity.load() == activity) {
        report_deadlock(launch_, resident_, "nothing that these threads wait for can happen any more");
        return false;
    }
    // parked warps go on only when nobody else can
    worker_.insists = all_wait && progress_.waits_at == activity;
    if (pass == Pass::idle && !all_wait) std::this_thread::yield();
    const std::chrono::duration<double> still = std::chrono::steady_clock::now() - last_change_;
    if (still.count() > launch_.options->stall_seconds && launch_.activity.load() == activity) {
        report_deadlock(launch_, resident_, fmt::format("no thread has changed memory for {:.0f} s", still.count()));
        return false;
    }
    return true;
}

} // namespace

void run_worker(Worker& worker, Launch& launch) {
    static constexpr Allocation nothing{~u64{0}, 0, nullptr};
    worker.cache.fill(&nothing);
    worker.insists = false;
    if (launch.choices)
        run_scheduled(worker, launch);
    else
        InOrder(worker, launch).run();
}

} // namespace ptxgen::runtime::emulator
