#pragma once

#include "kernels/decoder/edge.hpp"
#include "kernels/ring/activations.hpp"

#include <cstdint>
#include <optional>
#include <vector>

/// Edges whose readers multiply by what they read travel as what a product takes: blocks of 32 signed bytes with one
/// scale, 36 bytes instead of 32 packets of 8. Whoever computes the 32 values rounds them, by the arithmetic of
/// emit_quantize_record.
///
/// A block is nine words: its bytes in the order in which a record has them, then the f32 scale. They travel in packets
/// of 16 bytes {three words, epoch}, or of 8 bytes {one word, epoch} for assemblers before PTX 8.3. 32 blocks lie
/// together, packet p of block b at packet number (b / 32 · packets_of_block + p) · 32 + b % 32, so that the lanes of a
/// warp, one to a block, poll neighbours.
namespace ptxgen::kernels {

inline constexpr std::uint32_t block_values = 32, block_words = 9;

enum class BlockPackets : std::uint8_t {
    words = 1,   ///< one word and the epoch: 8 bytes
    triples = 3, ///< three words and the epoch, in one 16-byte access
};
constexpr std::uint32_t packets_of_block(BlockPackets packets) {
    return block_words / static_cast<std::uint32_t>(packets);
}
/// Room that so many blocks take, as a number of 8-byte packets.
constexpr std::uint32_t block_edge_size(std::uint32_t blocks, BlockPackets packets) {
    const std::uint32_t words = packets == BlockPackets::triples ? 2 : 1;
    return (blocks + 31) / 32 * 32 * packets_of_block(packets) * words;
}

struct BlockEdge {
    Val<PacketPtr> packets; ///< of the edge, aligned to 16
    BlockPackets kind = BlockPackets::triples;
};

/// A warp publishes block `block`: lane l gives value l. `uses_redux`: the target has redux.sync (sm_80).
/// `withheld`: leaves out the packet of this number, for tests.
void emit_publish_block(KernelBuilder& k, const BlockEdge& edge, const Val<u32>& block, const Val<f32>& value,
                        const Val<u32>& lane, const Val<u32>& epoch, bool uses_redux,
                        std::optional<std::uint32_t> withheld = {});

/// What a lane has of a block: the bytes as the record's words 0 … 7, and their scale.
struct Block {
    std::vector<Val<u32>> words;
    Val<f32> scale;
};
/// Waits for block `block` in lanes where `wanted` holds; the others get zeros. All lanes of the warp take part, with
/// neighbouring blocks from a multiple of 32 on. `site` and `layer` are for reports.
Block emit_poll_block(KernelBuilder& k, const BlockEdge& edge, const Val<u32>& block, const Pred& wanted,
                      const Val<u32>& epoch, const WaitGuard& guard, WaitSite site, const Val<u32>& layer);

} // namespace ptxgen::kernels
