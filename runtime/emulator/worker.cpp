#include "runtime/emulator/cta.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <thread>

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

/// What the CTAs have done to the outside: stores, barriers, ends.
u64 activity_of(const std::vector<Cta*>& ctas) {
    u64 sum = 0;
    for (const Cta* cta : ctas) {
        sum += cta->events;
        for (const WarpState& w : cta->warps) sum += w.writes;
    }
    return sum;
}

/// All that decides what the CTAs do next, as long as memory stays the same.
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

} // namespace

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

void run_worker(Worker& worker, Launch& launch) {
    static constexpr Allocation nothing{~u64{0}, 0, nullptr};
    worker.cache.fill(&nothing);
    std::vector<Cta*> resident;
    std::vector<std::unique_ptr<Cta>> owned;
    const auto claim = [&] {
        const u64 next = launch.next_cta.fetch_add(1);
        if (next >= launch.cta_count) return false;
        if (worker.pool.empty()) worker.pool.push_back(std::make_unique<Cta>());
        owned.push_back(std::move(worker.pool.back()));
        worker.pool.pop_back();
        start_cta(*owned.back(), launch, worker, next);
        resident.push_back(owned.back().get());
        launch.activity.fetch_add(1);
        return true;
    };
    const auto finish = [&](std::size_t k) {
        u64 executed = 0, clock = 0;
        for (const WarpState& w : resident[k]->warps) {
            executed += w.executed;
            clock = std::max(clock, w.clock + w.executed / warp_size);
        }
        launch.executed.fetch_add(executed, std::memory_order_relaxed);
        u64 time = launch.virtual_time.load();
        while (time < clock && !launch.virtual_time.compare_exchange_weak(time, clock)) {
        }
        worker.pool.push_back(std::move(owned[k]));
        owned.erase(owned.begin() + static_cast<std::ptrdiff_t>(k));
        resident.erase(resident.begin() + static_cast<std::ptrdiff_t>(k));
        launch.activity.fetch_add(1);
    };
    if (launch.config.cooperative)
        while (resident.size() < launch.residents_per_worker && claim()) {
        }

    u64 last_activity = 0, last_state = 0, idle_activity = ~u64{0};
    u32 quiet = 0;
    bool idle = false;
    auto last_change = std::chrono::steady_clock::now();
    const auto set_idle = [&](bool now_idle) {
        if (idle != now_idle) now_idle ? launch.idle_workers.fetch_add(1) : launch.idle_workers.fetch_sub(1);
        idle = now_idle;
    };
    while (!launch.stop.load(std::memory_order_relaxed)) {
        if (resident.empty() && !claim()) break;
        bool finished = false, stopped = false;
        for (std::size_t k = 0; k < resident.size();) {
            switch (run_cta(*resident[k])) {
            case CtaState::finished:
                finish(k);
                finished = true;
                continue;
            case CtaState::blocked: {
                report_deadlock(launch, {resident[k]}, "all threads of the CTA wait");
                stopped = true;
                break;
            }
            case CtaState::stopped: stopped = true; break;
            case CtaState::yielded: break;
            }
            if (stopped) break;
            ++k;
        }
        if (stopped) break;
        if (finished) {
            set_idle(false);
            quiet = 0;
            last_change = std::chrono::steady_clock::now();
            continue;
        }
        // nobody ended: they may wait for a CTA that has not started, or for nothing at all
        const u64 now = activity_of(resident);
        if (now != last_activity) {
            last_activity = now;
            launch.activity.fetch_add(1);
            quiet = 0;
            set_idle(false);
            last_change = std::chrono::steady_clock::now();
        }
        if (++quiet % 8 == 0 && resident.size() < launch.residents_per_worker && claim()) continue;
        if (quiet < 8) continue;
        const u64 hash = state_of(resident);
        const u64 activity = launch.activity.load();
        const bool same = hash == last_state && activity == idle_activity;
        last_state = hash;
        idle_activity = activity;
        set_idle(same);
        if (same && launch.idle_workers.load() == launch.active_workers.load() && launch.activity.load() == activity &&
            quiet > 64) {
            report_deadlock(launch, resident, "nothing that these threads wait for can happen any more");
            break;
        }
        if (same && launch.active_workers.load() > 1) std::this_thread::yield();
        const std::chrono::duration<double> still = std::chrono::steady_clock::now() - last_change;
        if (still.count() > launch.options->stall_seconds && launch.activity.load() == activity) {
            report_deadlock(launch, resident, fmt::format("no thread has changed memory for {:.0f} s", still.count()));
            break;
        }
    }
    set_idle(false);
    launch.active_workers.fetch_sub(1);
    u64 executed = 0;
    for (const auto& cta : owned)
        for (const WarpState& w : cta->warps) executed += w.executed;
    launch.executed.fetch_add(executed, std::memory_order_relaxed);
    for (auto& cta : owned) worker.pool.push_back(std::move(cta));
}

} // namespace ptxgen::runtime::emulator
