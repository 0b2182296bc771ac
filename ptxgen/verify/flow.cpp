#include "ptxgen/text/names.hpp"
#include "ptxgen/verify/control_flow.hpp"
#include "ptxgen/verify/report.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

namespace ptxgen::verifier {
namespace {

/// "Register `reg` is assigned, or `predicate` is not `value`": what an assignment under a guard leaves behind, and all
/// that a read under the same guard needs.
struct Fact {
    std::uint32_t reg;
    std::uint32_t predicate;
    bool value;
    auto operator<=>(const Fact&) const = default;
};

// Beyond these, guarded assignments count for nothing: keeps hostile text linear.
constexpr std::size_t most_facts = 1u << 16;
constexpr std::size_t most_fact_events = 1u << 22;

constexpr std::uint32_t none = UINT32_MAX;

/// Which registers are assigned on every path: those whose reads the first assignment does not dominate, as a forward
/// data-flow problem over 64 registers or facts at a time.
class Initialisation {
public:
    Initialisation(Report& report, const Function& function, const ControlFlow& flow)
        : report_(report), function_(function), flow_(flow) {
        find_candidates();
        collect_facts();
        collect_events();
    }

    void run() {
        const std::size_t chunks = events_.size();
        for (std::size_t chunk = 0; chunk < chunks; chunk++) solve(chunk);
        report_reads();
    }

private:
    enum class EventKind : std::uint8_t { generate, kill, read };
    struct Event {
        std::uint32_t instruction;
        std::uint8_t bit;
        EventKind kind;
    };

    template <class Visit>
    void visit_operands(const Instruction& instruction, Visit visit) const {
        const bool raw = instruction.form == raw_form;
        const auto specs = raw ? std::span<const OperandSpec>{} : instruction.row().operands;
        for (std::size_t i = 0; i < instruction.operands.size(); i++)
            visit_operand(instruction.operands[i], raw || specs[i].written, raw, visit);
    }

    template <class Visit>
    void visit_operand(const Operand& operand, bool written, bool raw, Visit& visit) const {
        if (operand.kind == Operand::Kind::reg) visit(operand.id, written);
        // What a raw instruction reads and writes is not known: nothing is held against it.
        if (operand.kind == Operand::Kind::address && operand.base == Operand::Kind::reg && !raw)
            visit(operand.id, false);
        for (const auto& element : operand.elements) visit_operand(element, written, raw, visit);
    }

    /// Registers with a read that their first assignment does not dominate get a number.
    void find_candidates() {
        const Dominators dominators(flow_);
        std::vector<std::uint32_t> first(function_.registers.size(), none); // block of the first assignment so far
        number_.assign(function_.registers.size(), none);
        for (const auto block : flow_.order)
            for (auto i = flow_.blocks[block].begin; i < flow_.blocks[block].end; i++) {
                const auto& instruction = function_.body[i];
                const auto read = [&](std::uint32_t reg) {
                    const bool assigned = first[reg] != none && dominators.dominates(first[reg], block);
                    if (assigned || number_[reg] != none) return;
                    number_[reg] = static_cast<std::uint32_t>(registers_++);
                    candidates_.push_back(reg);
                };
                if (instruction.guard) read(instruction.guard->id);
                visit_operands(instruction, [&](std::uint32_t reg, bool written) {
                    if (!written) read(reg);
                });
                visit_operands(instruction, [&](std::uint32_t reg, bool written) {
                    if (written && !instruction.guard && first[reg] == none) first[reg] = block;
                });
            }
    }

    void collect_facts() {
        for (const auto& instruction : function_.body) {
            if (!instruction.guard) continue;
            visit_operands(instruction, [&](std::uint32_t reg, bool) {
                if (facts_.size() < most_facts && number_[reg] != none)
                    facts_.try_emplace(Fact{reg, instruction.guard->id, !instruction.guard->negated}, 0);
            });
        }
        std::uint32_t index = static_cast<std::uint32_t>(registers_);
        facts_of_register_.resize(function_.registers.size());
        facts_of_predicate_.resize(function_.registers.size());
        for (auto& [fact, id] : facts_) {
            id = index++;
            fact_list_.push_back(fact);
            facts_of_register_[fact.reg].push_back(id);
            facts_of_predicate_[fact.predicate].push_back(id);
        }
    }

    void add(std::uint32_t id, std::uint32_t instruction, EventKind kind) {
        events_[id / 64].push_back({instruction, static_cast<std::uint8_t>(id % 64), kind});
    }

    void add_fact_event(std::uint32_t id, std::uint32_t instruction, EventKind kind) {
        if (++fact_events_ < most_fact_events) add(id, instruction, kind);
    }

    void collect_events() {
        events_.resize((registers_ + facts_.size() + 63) / 64);
        watched_.resize(function_.registers.size());
        for (std::size_t reg = 0; reg < watched_.size(); reg++)
            watched_[reg] = number_[reg] != none || !facts_of_predicate_[reg].empty();
        for (const auto block : flow_.order)
            for (auto i = flow_.blocks[block].begin; i < flow_.blocks[block].end; i++) add_events(i);
    }

    void add_events(std::uint32_t i) {
        const auto& instruction = function_.body[i];
        const auto& guard = instruction.guard;
        bool any_watched = guard && watched_[guard->id];
        visit_operands(instruction, [&](std::uint32_t reg, bool) { any_watched = any_watched || watched_[reg]; });
        if (!any_watched) return;
        if (guard && number_[guard->id] != none) add(number_[guard->id], i, EventKind::read);
        visit_operands(instruction, [&](std::uint32_t reg, bool written) {
            if (written || number_[reg] == none) return;
            add(number_[reg], i, EventKind::read);
            if (guard)
                if (const auto fact = facts_.find({reg, guard->id, !guard->negated}); fact != facts_.end())
                    add(fact->second, i, EventKind::read);
        });
        // A predicate that is written says nothing about earlier assignments under it.
        visit_operands(instruction, [&](std::uint32_t reg, bool written) {
            if (written)
                for (const auto fact : facts_of_predicate_[reg]) add_fact_event(fact, i, EventKind::kill);
        });
        visit_operands(instruction, [&](std::uint32_t reg, bool written) {
            if (!written || number_[reg] == none) return;
            if (!guard || completes(i, reg)) {
                add(number_[reg], i, EventKind::generate);
                for (const auto fact : facts_of_register_[reg]) add_fact_event(fact, i, EventKind::generate);
            } else if (const auto fact = facts_.find({reg, guard->id, !guard->negated});
                       fact != facts_.end() && guard->id != reg) {
                add(fact->second, i, EventKind::generate);
            }
        });
    }

    /// Whether an assignment under a guard follows one under the opposite guard in the same block, so that the two
    /// together always assign.
    bool completes(std::uint32_t i, std::uint32_t reg) {
        constexpr std::uint32_t window = 16;
        const auto& guard = *function_.body[i].guard;
        for (std::uint32_t back = 1; back <= window && back <= i; back++) {
            const auto& earlier = function_.body[i - back];
            bool assigns = false, changes = false;
            if (earlier.form == raw_form || earlier.row().has_effect(EffectKind::branch)) return false;
            visit_operands(earlier, [&](std::uint32_t r, bool written) {
                assigns = assigns || (written && r == reg);
                changes = changes || (written && r == guard.id);
            });
            if (changes) return false;
            if (assigns && earlier.guard && earlier.guard->id == guard.id && earlier.guard->negated != guard.negated)
                return true;
        }
        return false;
    }

    /// Facts that hold on an edge because its predicate is known there, as bits of this chunk.
    std::uint64_t known_on(const Edge& edge, std::size_t chunk) const {
        if (!edge.predicate) return 0;
        std::uint64_t bits = 0;
        const auto& all = facts_of_predicate_[*edge.predicate];
        for (auto at = std::lower_bound(all.begin(), all.end(), chunk * 64); at != all.end() && *at < (chunk + 1) * 64;
             ++at)
            if (fact_list_[*at - registers_].value != edge.value) bits |= std::uint64_t{1} << (*at % 64);
        return bits;
    }

    void solve(std::size_t chunk) {
        const auto& events = events_[chunk];
        const bool any_read =
            std::any_of(events.begin(), events.end(), [](const Event& e) { return e.kind == EventKind::read; });
        if (!any_read) return;
        const std::size_t count = flow_.blocks.size();
        std::vector<std::uint64_t> in(count, ~std::uint64_t{0}), generate(count, 0), keep(count, ~std::uint64_t{0});
        in[0] = 0;
        std::size_t at = 0;
        for (const auto block : flow_.order)
            for (; at < events.size() && inside(events[at], block); at++) {
                const auto bit = std::uint64_t{1} << events[at].bit;
                if (events[at].kind == EventKind::generate) generate[block] |= bit;
                if (events[at].kind == EventKind::kill) {
                    generate[block] &= ~bit;
                    keep[block] &= ~bit;
                }
            }
        for (bool changed = true; changed;) {
            changed = false;
            for (const auto block : flow_.order) {
                const auto out = (in[block] & keep[block]) | generate[block];
                for (const auto& edge : flow_.blocks[block].successors) {
                    const auto arriving = in[edge.to] & (out | known_on(edge, chunk));
                    changed = changed || arriving != in[edge.to];
                    in[edge.to] = arriving;
                }
            }
        }
        at = 0;
        for (const auto block : flow_.order) {
            auto state = in[block];
            for (; at < events.size() && inside(events[at], block); at++) {
                const auto bit = std::uint64_t{1} << events[at].bit;
                if (events[at].kind == EventKind::generate) state |= bit;
                if (events[at].kind == EventKind::kill) state &= ~bit;
                if (events[at].kind == EventKind::read)
                    note(chunk * 64 + events[at].bit, events[at].instruction, (state & bit) != 0);
            }
        }
    }

    bool inside(const Event& event, std::uint32_t block) const {
        return event.instruction >= flow_.blocks[block].begin && event.instruction < flow_.blocks[block].end;
    }

    /// A read that the register itself does not satisfy may be satisfied by a fact about it.
    void note(std::size_t id, std::uint32_t instruction, bool good) {
        if (id < registers_) {
            if (!good) bad_reads_[instruction].push_back(candidates_[id]);
        } else if (good && fact_events_ < most_fact_events) {
            excused_[instruction].push_back(fact_list_[id - registers_].reg);
        }
    }

    void report_reads() {
        if (bad_reads_.empty()) return;
        std::optional<FunctionNames> names; // made for the first report
        std::vector<bool> assigned(function_.registers.size()), reported(function_.registers.size());
        const auto begin = [&] {
            names.emplace(function_);
            for (const auto& instruction : function_.body)
                visit_operands(instruction, [&](std::uint32_t reg, bool written) {
                    if (written) assigned[reg] = true;
                });
        };
        for (const auto& [instruction, registers] : bad_reads_) {
            const auto excuses = excused_.find(instruction);
            for (const auto reg : registers) {
                const bool is_guard = function_.body[instruction].guard && function_.body[instruction].guard->id == reg;
                const bool excused = !is_guard && excuses != excused_.end() &&
                                     std::count(excuses->second.begin(), excuses->second.end(), reg) != 0;
                if (excused || reported[reg]) continue;
                reported[reg] = true;
                if (!names) begin();
                const auto& name = names->registers[reg];
                report_.at(report_.doubtful(), "uninitialised", function_, instruction, position_of(instruction, reg),
                           assigned[reg] ? fmt::format("'{}' is read here, but not assigned on every path", name)
                                         : fmt::format("'{}' is read here, but never assigned", name));
            }
        }
    }

    int position_of(std::uint32_t instruction, std::uint32_t reg) const {
        const auto& operands = function_.body[instruction].operands;
        for (std::size_t i = 0; i < operands.size(); i++) {
            bool found = false;
            auto visit = [&](std::uint32_t r, bool written) { found = found || (r == reg && !written); };
            const bool raw = function_.body[instruction].form == raw_form;
            visit_operand(operands[i], raw || function_.body[instruction].row().operands[i].written, raw, visit);
            if (found) return static_cast<int>(i);
        }
        return -1;
    }

    Report& report_;
    const Function& function_;
    const ControlFlow& flow_;
    std::size_t registers_ = 0;         ///< candidates; facts are numbered behind them
    std::vector<std::uint32_t> number_; ///< of a register among the candidates, `none` for the others
    std::vector<std::uint32_t> candidates_;
    std::vector<std::uint8_t> watched_; ///< whether a register is a candidate, or facts depend on it
    std::map<Fact, std::uint32_t> facts_;
    std::vector<Fact> fact_list_;
    std::vector<std::vector<std::uint32_t>> facts_of_register_, facts_of_predicate_;
    std::vector<std::vector<Event>> events_; ///< by chunk, in the order of flow_.order
    std::size_t fact_events_ = 0;
    std::map<std::uint32_t, std::vector<std::uint32_t>> bad_reads_, excused_;
};

} // namespace

void check_flow(Report& report, const Function& function) {
    if (function.is_declaration) return;
    const ControlFlow flow(function);
    const auto runs_off = [&](std::uint32_t block) { return flow.blocks[block].runs_off; };
    const auto off = std::find_if(flow.order.begin(), flow.order.end(), runs_off);
    const std::string message = fmt::format("control runs off the end of '{}'; end it with ret or exit", function.name);
    if (function.body.empty())
        report.add(report.doubtful(), "missing-exit", message, &function, function.location);
    else if (off != flow.order.end())
        report.at(report.doubtful(), "missing-exit", function, flow.blocks[*off].end - 1, -1, message);
    Initialisation(report, function, flow).run();
}

} // namespace ptxgen::verifier
