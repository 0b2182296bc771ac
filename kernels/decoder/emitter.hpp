#pragma once

#include "kernels/common/memory.hpp"
#include "kernels/common/reduce.hpp"
#include "kernels/decoder/blocks.hpp"
#include "kernels/decoder/edge.hpp"
#include "kernels/decoder/plan.hpp"
#include "kernels/ring/segment.hpp"
#include "kernels/ring/vector_records.hpp"
#include "kernels/sampling/best.hpp"

#include <functional>
#include <map>
#include <memory>

namespace ptxgen::kernels {

/// The kernel's parameters, in their order.
struct DecoderParameters {
    explicit DecoderParameters(KernelBuilder& k, const DecoderConfig& config);

    Val<global_ptr<const u8>> weights;
    Val<global_ptr<u8>> cache;
    Val<global_ptr<const f32>> rope, rope_sliding;
    Val<PacketPtr> edges;
    Val<global_ptr<u32>> status;
    Val<global_ptr<const u32>> given;
    Val<u32> given_count, steps, position, epoch;
    Val<global_ptr<f32>> logits;
    Val<u32> logits_wanted;
    Val<global_ptr<u64>> tokens;
    Val<global_ptr<const u32>> stop;
    Val<global_ptr<const u32>> stop_ids;
    Val<u32> stop_count;
    Val<u64> limit_ns;
    Val<global_ptr<u64>> profile;
};

/// Values that advance from layer to layer, and those that depend on the layer's kind. The producer and the consumers
/// each walk through the layers with one of their own.
class LayerWalk {
public:
    LayerWalk(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
              const Val<global_ptr<const u8>>& weights);

    /// Emits `body` once in a loop over all layers.
    void each(const std::function<void()>& body);

    /// The variable itself, no snapshot: it changes behind the layer's body.
    Val<u32> layer() const { return {k_.state(), layer_.operand()}; }
    Val<global_ptr<const u8>> tensor(LayerTensor tensor);
    /// The first tensor, a norm, of the next layer; behind the last layer: the output norm.
    Val<global_ptr<const u8>> next_norm();
    /// Whether the layer has a sliding window; only where some have and some have not.
    Pred is_sliding();
    /// Emits `body` for each variant of an op, to be executed in the layers that have it.
    void each_variant(const DecoderOp& op, const std::function<void(const std::vector<DecoderSegment>&)>& body);

private:
    /// A number that depends on the layer's kind.
    Val<u32> by_kind(const std::function<std::uint64_t(const LayerKind&)>& value);
    Val<global_ptr<const u8>> place(const Val<u32>& unit);
    Pred kind_in(const std::function<bool(std::uint32_t)>& member);
    void find_kind();

    KernelBuilder k_;
    const DecoderConfig& config_;
    const DecoderPlan& plan_;
    Val<global_ptr<const u8>> weights_;
    Var<u32> layer_;
    Var<u32> base_; ///< of the layer's tensors, in units of 256 bytes
    Var<u32> kind_;
};

/// A CTA's share of an op: row tiles [begin, end).
struct TileRange {
    Val<u32> begin, end;
};
TileRange emit_tile_range(KernelBuilder& k, const DecoderOp& op, const Val<u32>& cta, std::uint32_t ctas);

/// Tiles of `segment` within the pass [begin, end) of an op's tiles: `count` from tile `first` of the segment on, and
/// how many of the pass's tiles stand before it.
struct SegmentPart {
    Val<u32> first, count, before;
};
SegmentPart emit_segment_part(KernelBuilder& k, const DecoderOp& op, const DecoderSegment& segment,
                              const Val<u32>& begin, const Val<u32>& end);

/// Emits what the consumer warps do.
class DecoderEmitter {
public:
    DecoderEmitter(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
                   const DecoderParameters& parameters, const Val<shared_ptr<u8>>& memory, const Val<u32>& thread);

    /// All tokens.
    void emit();

private:
    /// A value of the op's vector: the row's number in the edge's packets (or in the output), its value.
    using RowBody = std::function<void(const Val<u32>& row, const Val<f32>& value)>;

    void barrier() { consumers_.emit(k_); }
    template <value_type T>
    Val<shared_ptr<T>> at(std::uint32_t offset) {
        return (memory_ + offset).template as<shared_ptr<T>>();
    }
    /// Words of the scratch area.
    enum Scratch : std::uint32_t {
        squares = 0,
        best_values = 16,
        best_indices = 32,
        failed = 48,
        next_token,
        go_on,
        waiting
    };
    Val<shared_ptr<u32>> word(std::uint32_t index) { return at<u32>(plan_.shared.scratch) + index; }
    Val<shared_ptr<f32>> float_word(std::uint32_t index) { return at<f32>(plan_.shared.scratch) + index; }
    /// The variable itself, no snapshot: it changes at the end of a token.
    Val<u32> epoch() const { return {k_.state(), epoch_.operand()}; }
    /// Computed where they are used: registers are short.
    Val<u32> step() { return epoch_ - p_.epoch; }
    Val<u32> position() { return step() + p_.position; }
    Val<PacketPtr> layer_edges() {
        return k_.mad_wide(walk_.layer(), 8 * plan_.edges.layer, p_.edges.as<u64>()).as<PacketPtr>();
    }
    Val<global_ptr<u8>> layer_cache() {
        const std::uint64_t part = (plan_.attention.config.cache.bytes() + 255) / 256 * 256;
        const auto layer = k_.cvt<u64>(walk_.layer());
        return k_.mad_lo(layer, 2 * part, p_.cache.as<u64>()).as<global_ptr<u8>>();
    }
    BlockEdge block_edge(std::uint32_t first) { return {packets(first), plan_.edges.blocks}; }
    Val<PacketPtr> packets(std::uint32_t first) { return layer_edges() + first; }

    VectorLane vector_lane() const { return {warp_, lane_, group_, quad_}; }

    /// Tells the producer that this CTA waits for others, or no longer does.
    void tell_waiting(bool waits);

    // inputs.cpp: vectors become records of activations in shared memory
    void embed(const Val<u32>& token);
    void quantise(const LaneVector& values, const Val<u32>& super_block, const Pred& has, bool general);
    /// x += the edge's vector (normed by `post_norm` if the model does that), then records of x · norm.
    void take_residual(std::uint32_t edge, WaitSite site, std::optional<LayerTensor> post_norm,
                       const Val<global_ptr<const u8>>& norm, bool general);
    /// Records of x · norm.
    void take_embedding(const Val<global_ptr<const u8>>& norm, bool general);
    void finish_residual(LaneVector& x, LaneVector& norm, Var<f32>& sum, const Val<u32>& super_block, const Pred& has,
                         bool general);
    /// Records of the edge's vector.
    void take_vector(std::uint32_t edge, std::uint32_t cols, WaitSite site, bool general);
    /// The same from an edge of blocks: a thread takes one.
    void take_blocks(std::uint32_t edge, std::uint32_t cols, WaitSite site, bool general);
    void store_block(const Block& block, const Val<u32>& number);
    void store_block_dequantised(const Block& block, const Val<u32>& number);
    Val<f32> inverse_rms();

    // products.cpp
    void make_products(const std::vector<DecoderSegment>& segments);
    void emit_op(const DecoderOp& op, const RowBody& row);
    void emit_pass(const DecoderOp& op, const std::vector<DecoderSegment>& segments, const Val<u32>& begin,
                   const Val<u32>& end, const RowBody& row);
    void multiply(const DecoderOp& op, const DecoderSegment& segment, const SegmentPart& part,
                  const Val<shared_ptr<u8>>& partials);
    void multiply_general(const DecoderOp& op, const DecoderSegment& segment, const SegmentPart& part,
                          const Val<shared_ptr<u8>>& partials);
    Val<f32> row_value(const DecoderOp& op, const DecoderSegment& segment, const Val<shared_ptr<u8>>& partials,
                       const Val<u32>& row);
    Val<global_ptr<const u8>> matrix(const DecoderSegment& segment);
    RingSegment ring_segment(const DecoderOp& op, const DecoderSegment& segment);

    // attention_op.cpp
    void emit_attention();
    void prefetch_rows();
    void take_heads(const DecodeItem& item, const Pred& appends);
    void attend(const DecodeItem& item, const Pred& appends);
    void keep_item(const DecodeItem& item);
    DecodeItem kept_item();
    void attend_item(const DecodeItem& item, const Val<u32>& end);
    void publish_attention_block(const Val<u32>& element, const Val<f32>& value);
    void publish_attention(const DecodeItem& item);
    void combine_shares(const DecodeItem& item);

    // decoder.cpp
    /// Notes a clock in word `first` + layer · `stride` of the profile.
    void note(std::string_view clock, std::uint32_t first, std::uint32_t stride = 0);
    void emit_token();
    void emit_layer();
    void emit_output();

    KernelBuilder k_;
    const DecoderConfig& config_;
    const DecoderPlan& plan_;
    const DecoderParameters& p_;
    Val<shared_ptr<u8>> memory_;
    Val<u32> thread_, warp_, lane_, group_, quad_, cta_;
    CtaBarrier consumers_{ring_consumer_barrier, 32 * ring_warps};
    Var<u32> epoch_, token_;
    LayerWalk walk_;
    WaitGuard guard_;
    std::unique_ptr<RingLane> ring_lane_;
    std::map<TensorType, std::unique_ptr<RingProduct>> products_;
    std::unique_ptr<RingConsumer> consumer_;
};

/// Emits what the producer warp does.
void emit_decoder_producer(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
                           const DecoderParameters& parameters, const Val<shared_ptr<u8>>& memory,
                           const Val<u32>& thread);

} // namespace ptxgen::kernels
