#include "kernels/decoder/blocks.hpp"

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t all_lanes = 0xffffffff;

/// The lane's packet 0 of a block: its number in the edge.
Val<u32> first_packet(KernelBuilder& k, BlockPackets kind, const Val<u32>& block) {
    const auto group = block >> 5U;
    const auto within = block & 31U;
    return k.mad_lo(group, 32 * packets_of_block(kind), within);
}

} // namespace

void emit_publish_block(KernelBuilder& k, const BlockEdge& edge, const Val<u32>& block, const Val<f32>& value,
                        const Val<u32>& lane, const Val<u32>& epoch, bool uses_redux,
                        std::optional<std::uint32_t> withheld) {
    // As bits, so that a NaN is the largest.
    auto bits = k.var<u32>(value.as<u32>() & 0x7fffffffU);
    if (uses_redux) {
        bits = k.redux_sync_max(Val<u32>(bits), all_lanes);
    } else {
        for (const std::uint32_t distance : {1U, 2U, 4U, 8U, 16U}) {
            const auto other = k.shfl_sync_bfly(bits, distance, 31U, all_lanes);
            bits = k.max(bits, other);
        }
    }
    const BlockScale scale = emit_block_scale(k, Val<u32>(bits));
    const auto rounded = emit_rounded(k, value, scale);
    // Four lanes' bytes make a word, in all four of them.
    const auto byte = rounded & 0xffU;
    const auto position = (lane & 3U) << 3U;
    auto word = k.var<u32>(byte << position);
    for (const std::uint32_t distance : {1U, 2U}) {
        const auto other = k.shfl_sync_bfly(word, distance, 31U, all_lanes);
        word = word | other;
    }
    // Lane p sends packet p: it needs words w · p, … of the nine.
    const auto width = static_cast<std::uint32_t>(edge.kind);
    const std::uint32_t packets = packets_of_block(edge.kind);
    std::vector<Val<u32>> words;
    for (std::uint32_t i = 0; i < width; i++) {
        // The record's word 2i is columns 4i … 4i + 3, its word 2i + 1 columns 16 + 4i …: lanes of those numbers have
        // it.
        const auto number = k.mad_lo(lane, width, k.imm<u32>(i));
        const auto half = (number >> 1U) << 2U;
        const auto odd = (number & 1U) << 4U;
        const auto from = half + odd;
        const auto got = k.shfl_sync_idx(word, from, 31U, all_lanes);
        if (i + 1 < width) {
            words.push_back(got);
            continue;
        }
        words.push_back(k.selp(scale.scale.as<u32>(), got, lane == packets - 1));
    }
    const auto packet = k.mad_lo(lane, 32U, first_packet(k, edge.kind, block));
    auto sends = k.var<u32>(packets);
    if (withheld) k.predicated(lane == *withheld, [&] { sends = 0U; });
    if (edge.kind == BlockPackets::words) {
        const auto to = edge.packets + packet;
        const auto both = k.mov(std::array{words[0], epoch}).as<u64>();
        k.predicated(lane < sends, [&] { k.st(to, both, relaxed, gpu); });
        return;
    }
    const auto to = k.mad_wide(packet, 16U, edge.packets.as<u64>()).as<global_ptr<b128>>();
    const auto low = k.mov(std::array{words[0], words[1]}).as<u64>();
    const auto high = k.mov(std::array{words[2], epoch}).as<u64>();
    const auto all = k.mov(std::array{low, high});
    k.predicated(lane < sends, [&] { k.st(to, all, relaxed, gpu); });
}

Block emit_poll_block(KernelBuilder& k, const BlockEdge& edge, const Val<u32>& block, const Pred& wanted,
                      const Val<u32>& epoch, const WaitGuard& guard, WaitSite site, const Val<u32>& layer) {
    const std::uint32_t packets = packets_of_block(edge.kind);
    const auto first = first_packet(k, edge.kind, block);
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t p = 0; p < packets; p++) numbers.push_back(32 * p);
    const WaitFor wait{site, layer, first};
    const auto nothing = k.mov(std::array{k.imm<u32>(0), epoch}).as<u64>();
    std::vector<Var<u64>> marked, others;
    for (std::uint32_t p = 0; p < packets; p++) marked.push_back(k.var<u64>(nothing));
    std::vector<Val<u32>> words;
    if (edge.kind == BlockPackets::words) {
        const auto from = edge.packets + first;
        const auto ask = [&] {
            for (std::uint32_t p = 0; p < packets; p++) marked[p] = k.ld(from + numbers[p], relaxed, gpu);
        };
        emit_wait(k, ask, marked, numbers, wanted, epoch, guard, wait);
        for (const auto& packet : marked) words.push_back(k.cvt<u32>(packet));
    } else {
        const auto from = k.mad_wide(first, 16U, edge.packets.as<u64>()).as<global_ptr<b128>>();
        std::vector<Var<b128>> found;
        for (std::uint32_t p = 0; p < packets; p++) {
            others.push_back(k.var<u64>(std::uint64_t{0}));
            found.push_back(k.var<b128>(k.mov(std::array<Val<u64>, 2>{k.imm<u64>(std::uint64_t{0}), nothing})));
        }
        const auto ask = [&] {
            for (std::uint32_t p = 0; p < packets; p++) found[p] = k.ld(from + numbers[p], relaxed, gpu);
        };
        const auto unpack = [&] {
            for (std::uint32_t p = 0; p < packets; p++)
                k.raw("mov.b128 {{0}, {1}}, {2};", others[p], marked[p], found[p]);
        };
        emit_wait(k, ask, marked, numbers, wanted, epoch, guard, wait, unpack);
        for (std::uint32_t p = 0; p < packets; p++) {
            words.push_back(k.cvt<u32>(others[p]));
            words.push_back(k.cvt<u32>(others[p] >> 32));
            words.push_back(k.cvt<u32>(marked[p]));
        }
    }
    Block result{{words.begin(), words.begin() + 8}, words[8].as<f32>()};
    return result;
}

} // namespace ptxgen::kernels
