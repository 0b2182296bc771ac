#include "ptxgen/verify/control_flow.hpp"

#include <algorithm>

namespace ptxgen {
namespace {

const Operand* target_of(const Instruction& instruction) {
    for (const auto& operand : instruction.operands)
        if (operand.kind == Operand::Kind::label) return &operand;
    return nullptr;
}

bool ends_block(const Instruction& instruction) {
    if (instruction.form == raw_form) return target_of(instruction) != nullptr;
    if (instruction.row().opcode == "call") return false; // comes back
    return instruction.row().has_effect(EffectKind::branch) || instruction.row().has_effect(EffectKind::exit);
}

} // namespace

ControlFlow::ControlFlow(const Function& function) {
    const auto size = static_cast<std::uint32_t>(function.body.size());
    if (size == 0) return;
    std::vector<bool> starts(size + 1);
    starts[0] = true;
    for (const auto& label : function.labels)
        if (label.placed) starts[label.position] = true;
    for (std::uint32_t i = 0; i < size; i++)
        if (ends_block(function.body[i])) starts[i + 1] = true;
    std::vector<std::uint32_t> block_of(size + 1);
    for (std::uint32_t i = 0; i < size; i++) {
        if (starts[i]) blocks.push_back({i, i, {}, false});
        blocks.back().end = i + 1;
        block_of[i] = static_cast<std::uint32_t>(blocks.size() - 1);
    }
    const auto connect = [&](Block& block, std::uint32_t instruction, std::optional<std::uint32_t> predicate,
                             bool value) {
        if (instruction >= size)
            block.runs_off = true;
        else
            block.successors.push_back({block_of[instruction], predicate, value});
    };
    for (auto& block : blocks) {
        const auto& last = function.body[block.end - 1];
        if (!ends_block(last)) {
            connect(block, block.end, {}, false);
            continue;
        }
        std::optional<std::uint32_t> predicate;
        if (last.guard) predicate = last.guard->id;
        const bool taken = last.guard && !last.guard->negated;
        if (const auto* target = target_of(last); target && function.labels[target->id].placed)
            connect(block, function.labels[target->id].position, predicate, taken);
        if (last.guard || last.form == raw_form) connect(block, block.end, predicate, !taken);
    }
    // Depth-first without recursion: text may have any number of blocks.
    std::vector<std::uint8_t> visited(blocks.size());
    std::vector<std::pair<std::uint32_t, std::size_t>> path{{0, 0}};
    visited[0] = 1;
    while (!path.empty()) {
        auto& [block, next] = path.back();
        if (next < blocks[block].successors.size()) {
            const auto to = blocks[block].successors[next++].to;
            if (!visited[to]) {
                visited[to] = 1;
                path.emplace_back(to, 0);
            }
        } else {
            order.push_back(block);
            path.pop_back();
        }
    }
    std::reverse(order.begin(), order.end());
}

Dominators::Dominators(const ControlFlow& flow) : first_(flow.blocks.size()), last_(flow.blocks.size()) {
    const auto count = static_cast<std::uint32_t>(flow.order.size());
    constexpr std::uint32_t none = UINT32_MAX;
    std::vector<std::uint32_t> rank(flow.blocks.size(), none);
    for (std::uint32_t i = 0; i < count; i++) rank[flow.order[i]] = i;
    std::vector<std::vector<std::uint32_t>> predecessors(count);
    for (std::uint32_t i = 0; i < count; i++)
        for (const auto& edge : flow.blocks[flow.order[i]].successors) predecessors[rank[edge.to]].push_back(i);
    std::vector<std::uint32_t> parent(count, none);
    if (count != 0) parent[0] = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (std::uint32_t i = 1; i < count; i++) {
            std::uint32_t common = none;
            for (auto from : predecessors[i]) {
                if (parent[from] == none) continue;
                while (common != none && from != common)
                    (from > common ? from : common) = parent[from > common ? from : common];
                common = from;
            }
            changed = changed || parent[i] != common;
            parent[i] = common;
        }
    }
    // A parent has a lower rank than its children, so that subtree sizes add up from the back.
    std::vector<std::uint32_t> size(count, 1), next(count, 0);
    for (std::uint32_t i = count; i-- > 1;) size[parent[i]] += size[i];
    for (std::uint32_t i = 0; i < count; i++) {
        std::uint32_t& at = first_[flow.order[i]];
        if (i != 0) {
            at = next[parent[i]];
            next[parent[i]] += size[i];
        }
        next[i] = at + 1;
        last_[flow.order[i]] = at + size[i] - 1;
    }
}

} // namespace ptxgen
