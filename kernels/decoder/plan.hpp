#pragma once

#include "kernels/attention/decode_attention.hpp"
#include "kernels/decoder/blocks.hpp"
#include "kernels/decoder/decoder.hpp"
#include "kernels/ring/pipeline.hpp"

#include <cstdint>
#include <optional>
#include <vector>

/// What of a decoder is decided when it is generated.
namespace ptxgen::kernels {

/// Consecutive row tiles that one loop multiplies: a matrix, or several that lie behind each other in one type.
struct DecoderSegment {
    std::vector<LayerTensor> tensors; ///< empty: the output matrix
    TensorType type = TensorType::f32;
    bool packed = false;
    std::uint32_t rows = 0;
    std::uint32_t first_tile = 0; ///< within the op's tiles
    std::uint32_t tiles = 0;
};

/// The matrix products between two edges. `tiles` row tiles are split over the CTAs; with `paired`, the two segments
/// have the same rows, and a CTA has the same tiles of both.
struct DecoderOp {
    std::uint32_t cols = 0;
    std::uint32_t tiles = 0;
    bool paired = false;
    std::uint32_t granule = 1;    ///< tiles that stay in one CTA: a number of them from a multiple of it on
    std::uint32_t max_tiles = 0;  ///< of a CTA
    std::uint32_t pass_tiles = 0; ///< that a CTA does between two barriers
    std::uint32_t rotation = 0;   ///< CTA c has the share of number (c + rotation) mod ctas
    std::vector<std::vector<DecoderSegment>> variants;
    std::vector<std::uint32_t> variant_of_kind;

    std::uint32_t super_blocks() const { return ceil_div(cols, ring_super_block); }
    std::uint32_t granules() const { return tiles / granule; }
    /// The share of the CTA with rotated number c, as the kernel computes it: [first_tile(c), first_tile(c + 1)).
    std::uint32_t first_tile(std::uint32_t rotated, std::uint32_t ctas) const {
        return granule * static_cast<std::uint32_t>(std::uint64_t{granules()} * rotated / ctas);
    }
    bool any_general() const;
};
enum class OpName : std::uint8_t { qkv, attention_output, gate_up, down, output };
inline constexpr std::size_t op_count = 5;

/// Layers that are the same but for their number.
struct LayerKind {
    LayerTypes types;
    bool sliding = false;
    std::array<std::uint64_t, layer_tensor_count> offsets; ///< from the layer's first tensor
    std::uint64_t stride;                                  ///< to the next layer's
};

/// Packets of the edges, as numbers of packets of 8 bytes: each layer has its own. `gated`, and `attention` where it
/// can, hold blocks, see blocks.hpp; all others an f32 a packet.
struct EdgePlan {
    BlockPackets blocks = BlockPackets::triples;
    std::uint32_t q = 0, k = 0, v = 0, attention = 0, attention_block = 0, gated = 0, ffn_block = 0, part = 0;
    std::uint32_t layer = 0; ///< packets of a layer
    std::uint64_t best = 0;  ///< [2][ctas][4]: value, index, stop
    std::uint64_t total = 0;
};

/// Byte offsets in dynamic shared memory.
struct SharedPlan {
    std::uint32_t x = 0;           ///< f32 [hidden]
    std::uint32_t records = 0;     ///< activations of a product
    std::uint32_t dequantised = 0; ///< the same as f32, for types without a ring format
    std::uint32_t partials = 0;    ///< partial sums of rows
    std::uint32_t attention = 0;   ///< the parts of the attention's warps; over records, dequantised and partials
    std::uint32_t heads = 0;       ///< f32 [max_heads + 2][head_dim]: queries, key, value; then their norms' weights
    std::uint32_t columns = 0;     ///< queries as operands of tensor cores
    std::uint32_t fresh = 0;       ///< with them: the key and the value as the cache has them, [2][head_dim]
    std::uint32_t item = 0;        ///< numbers of the item of attention, 8 words
    std::uint32_t scratch = 0;     ///< 64 words, see the emitter
    std::uint32_t ring = 0;
    std::uint32_t bytes = 0;
};

struct DecoderPlan {
    bool attention_blocks = false; ///< the attention's output travels as blocks: heads are whole ones
    std::array<DecoderOp, op_count> ops;
    std::vector<LayerKind> kinds;
    std::vector<std::uint32_t> kind_of; ///< by layer
    EdgePlan edges;
    SharedPlan shared;
    std::optional<RingPlan> ring;
    DecodeAttentionPlan attention;

    const DecoderOp& op(OpName name) const { return ops[static_cast<std::size_t>(name)]; }
};
Result<DecoderPlan> plan_decoder(const DecoderConfig& config);

} // namespace ptxgen::kernels
