#pragma once

#include "ptxgen/ir/ir.hpp"

#include <vector>

namespace ptxgen {

/// A way from one block to another. If the block ends in a branch on a predicate, `predicate` is its register and
/// `value` what it is on this way.
struct Edge {
    std::uint32_t to = 0;
    std::optional<std::uint32_t> predicate;
    bool value = false;
};

/// Instructions [begin, end), entered only at the first and left only at the last.
struct Block {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::vector<Edge> successors;
    bool runs_off = false; ///< control leaves the function's text behind its last instruction
};

/// Control flow of a function. Block 0 is the entry; a function without instructions has none.
struct ControlFlow {
    std::vector<Block> blocks;
    std::vector<std::uint32_t> order; ///< reachable blocks in reverse post-order

    explicit ControlFlow(const Function& function);
};

/// Which blocks stand on every way from the entry to a block (Cooper, Harvey, Kennedy: "A Simple, Fast Dominance
/// Algorithm"). Of reachable blocks only.
class Dominators {
public:
    explicit Dominators(const ControlFlow& flow);
    /// Whether every way to `below` goes through `above`; a block dominates itself.
    bool dominates(std::uint32_t above, std::uint32_t below) const {
        return first_[above] <= first_[below] && last_[below] <= last_[above];
    }

private:
    std::vector<std::uint32_t> first_, last_; ///< interval of a block's subtree in the dominator tree
};

} // namespace ptxgen
