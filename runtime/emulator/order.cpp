#include "runtime/emulator/program.hpp"

#include <algorithm>

namespace ptxgen::runtime::emulator {
namespace {

constexpr u32 none = ~u32{0};

/// Orders a set of blocks: strongly connected components in topological order, and within one its first block, then
/// the rest by the same rule without the edges back to it.
class Orderer {
public:
    explicit Orderer(const std::vector<std::vector<u32>>& successors)
        : successors_(successors), part_(successors.size(), 0), number_(successors.size(), none),
          low_(successors.size(), 0), on_stack_(successors.size(), false) {}

    std::vector<u32> run() {
        std::vector<u32> all(successors_.size());
        for (u32 b = 0; b < all.size(); ++b) all[b] = b;
        order_part(all, 0);
        return std::move(result_);
    }

private:
    struct Frame {
        u32 block;
        std::size_t next;
    };

    /// `blocks`: in the order in which searches start; all have part_ == part.
    void order_part(const std::vector<u32>& blocks, u32 part) {
        std::vector<std::vector<u32>> components; // the last in topological order comes first
        for (const u32 b : blocks) number_[b] = none;
        u32 counter = 0;
        std::vector<u32> stack;
        std::vector<Frame> frames;
        for (const u32 start : blocks) {
            if (number_[start] != none) continue;
            const auto enter = [&](u32 b) {
                number_[b] = low_[b] = counter++;
                stack.push_back(b);
                on_stack_[b] = true;
                frames.push_back({b, successors_[b].size()});
            };
            enter(start);
            while (!frames.empty()) {
                Frame& f = frames.back();
                if (f.next > 0) {
                    const u32 to = successors_[f.block][--f.next];
                    if (part_[to] != part) continue;
                    if (number_[to] == none)
                        enter(to);
                    else if (on_stack_[to])
                        low_[f.block] = std::min(low_[f.block], number_[to]);
                    continue;
                }
                const u32 b = f.block;
                frames.pop_back();
                if (!frames.empty()) low_[frames.back().block] = std::min(low_[frames.back().block], low_[b]);
                if (low_[b] != number_[b]) continue;
                std::vector<u32> component;
                u32 member;
                do {
                    member = stack.back();
                    stack.pop_back();
                    on_stack_[member] = false;
                    component.push_back(member);
                } while (member != b);
                std::reverse(component.begin(), component.end()); // its first block leads
                components.push_back(std::move(component));
            }
        }
        for (auto c = components.rbegin(); c != components.rend(); ++c) {
            result_.push_back(c->front());
            part_[c->front()] = none;
            if (c->size() == 1) continue;
            const std::vector<u32> rest(c->begin() + 1, c->end());
            const u32 inner = ++parts_;
            for (const u32 b : rest) part_[b] = inner;
            order_part(rest, inner);
        }
    }

    const std::vector<std::vector<u32>>& successors_;
    std::vector<u32> part_, number_, low_;
    std::vector<bool> on_stack_;
    u32 parts_ = 0;
    std::vector<u32> result_;
};

} // namespace

std::vector<u32> loop_contiguous_order(const std::vector<std::vector<u32>>& successors) {
    if (successors.empty()) return {};
    return Orderer(successors).run();
}

} // namespace ptxgen::runtime::emulator
