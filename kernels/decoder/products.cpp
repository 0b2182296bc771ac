#include "kernels/decoder/emitter.hpp"

#include "kernels/common/index.hpp"
#include "kernels/elementwise/gated.hpp"
#include "kernels/gemv/gemv.hpp"

#include <algorithm>

namespace ptxgen::kernels {

/// What the op's products hold in registers, which other parts of the kernel need for themselves.
void DecoderEmitter::make_products(const std::vector<DecoderSegment>& segments) {
    products_.clear();
    ring_lane_.reset();
    for (const DecoderSegment& segment : segments) {
        if (!segment.packed || products_.contains(segment.type)) continue;
        if (!ring_lane_) ring_lane_ = std::make_unique<RingLane>(k_, config_.mma ? RingDots::mma : RingDots::dp4a);
        products_.emplace(segment.type, ring_product(k_, segment.type, *ring_lane_));
    }
}

void DecoderEmitter::emit_op(const DecoderOp& op, const RowBody& row) {
    const TileRange range = emit_tile_range(k_, op, cta_, config_.ctas);
    const auto of_variant = [&](const std::vector<DecoderSegment>& segments) {
        make_products(segments);
        if (op.pass_tiles >= op.max_tiles) {
            emit_pass(op, segments, range.begin, range.end, row);
            return;
        }
        k_.for_<u32>(range.begin, range.end, op.pass_tiles, [&](Var<u32>& begin) {
            const auto wanted = begin + op.pass_tiles;
            const auto end = k_.min(wanted, range.end);
            emit_pass(op, segments, Val<u32>(k_.state(), begin.operand()), end, row);
            barrier(); // the partial sums have been read
        });
    };
    if (op.variant_of_kind.empty())
        of_variant(op.variants[0]);
    else
        walk_.each_variant(op, of_variant);
}

void DecoderEmitter::emit_pass(const DecoderOp& op, const std::vector<DecoderSegment>& segments, const Val<u32>& begin,
                               const Val<u32>& end, const RowBody& row) {
    const std::uint32_t tile_bytes = ring_segment(op, segments[0]).tile_bytes();
    std::vector<SegmentPart> parts;
    std::vector<Val<shared_ptr<u8>>> partials;
    for (std::size_t s = 0; s < segments.size(); s++) {
        parts.push_back(emit_segment_part(k_, op, segments[s], begin, end));
        const auto first = at<u8>(plan_.shared.partials) +
                           (op.paired ? static_cast<std::uint32_t>(s) * op.pass_tiles * tile_bytes : 0u);
        if (op.paired || segments.size() == 1)
            partials.push_back(first);
        else
            partials.push_back(first + parts[s].before * tile_bytes);
        multiply(op, segments[s], parts[s], partials[s]);
    }
    barrier();
    if (op.paired) {
        // A thread has a row of both.
        const auto rows = parts[0].count * ring_tile_rows;
        k_.if_(thread_ < rows, [&] {
            const auto number = k_.mad_lo(begin, ring_tile_rows, thread_);
            k_.if_(number < segments[0].rows, [&] {
                const auto scale = inverse_rms();
                const auto gate = row_value(op, segments[0], partials[0], thread_) * scale;
                const auto up = row_value(op, segments[1], partials[1], thread_) * scale;
                const auto active = emit_activation(k_, config_.shape.activation, gate);
                row(number, active * up);
            });
        });
        return;
    }
    for (std::size_t s = 0; s < segments.size(); s++) {
        const DecoderSegment& segment = segments[s];
        const auto rows = parts[s].count * ring_tile_rows;
        k_.if_(thread_ < rows, [&] {
            const auto in_segment = k_.mad_lo(parts[s].first, ring_tile_rows, thread_);
            const auto publish = [&] {
                const auto value = row_value(op, segment, partials[s], thread_);
                std::vector<Val<f32>> steps{value};
                const bool normed = &op == &plan_.op(OpName::qkv) || &op == &plan_.op(OpName::output);
                if (normed) steps.push_back(value * inverse_rms());
                if (config_.shape.qkv_bias && &op == &plan_.op(OpName::qkv)) {
                    const LayerTensor bias = segment.tensors[0] == LayerTensor::attn_q   ? LayerTensor::attn_q_bias
                                             : segment.tensors[0] == LayerTensor::attn_k ? LayerTensor::attn_k_bias
                                                                                         : LayerTensor::attn_v_bias;
                    const auto from = walk_.tensor(bias).as<global_ptr<const f32>>() + in_segment;
                    steps.push_back(steps.back() + k_.ld(from));
                }
                if (segment.first_tile == 0)
                    row(in_segment, steps.back());
                else
                    row(in_segment + segment.first_tile * ring_tile_rows, steps.back());
            };
            if (segment.rows % ring_tile_rows == 0)
                publish();
            else
                k_.if_(in_segment < segment.rows, publish);
        });
    }
}

Val<global_ptr<const u8>> DecoderEmitter::matrix(const DecoderSegment& segment) {
    if (segment.tensors.empty()) return p_.weights + config_.weights.output;
    return walk_.tensor(segment.tensors[0]);
}

RingSegment DecoderEmitter::ring_segment(const DecoderOp& op, const DecoderSegment& segment) {
    RingSegment ring;
    ring.product = segment.packed ? products_.at(segment.type).get() : nullptr;
    ring.super_blocks = op.super_blocks();
    ring.max_tiles = op.pass_tiles;
    return ring;
}

void DecoderEmitter::multiply(const DecoderOp& op, const DecoderSegment& segment, const SegmentPart& part,
                              const Val<shared_ptr<u8>>& partials) {
    if (!segment.packed) return multiply_general(op, segment, part, partials);
    const RingSegment ring = ring_segment(op, segment);
    const auto sums = partials.as<shared_ptr<f32>>();
    const RingBuffers buffers{at<u8>(plan_.shared.records), sums, sums};
    if (consumer_) {
        emit_ring_segment(k_, ring, *consumer_, buffers, part.count);
        return;
    }
    const std::uint32_t tile = op.super_blocks() * ring.product->format().unit_bytes;
    const auto base = matrix(segment);
    const auto first =
        k_.mad_wide(part.first, tile, k_.add(base.as<u64>(), k_.imm<u64>(std::uint64_t{0}))).as<global_ptr<const u8>>();
    emit_direct_segment(k_, ring, first, warp_, buffers, part.count);
}

/// The rows' products lie one after the other from `partials` on.
void DecoderEmitter::multiply_general(const DecoderOp& op, const DecoderSegment& segment, const SegmentPart& part,
                                      const Val<shared_ptr<u8>>& partials) {
    GemvConfig wanted;
    wanted.type = segment.type;
    wanted.rows = segment.rows;
    wanted.cols = op.cols;
    const auto config = shared_out_by_tiles(wanted);
    if (!config) return k_.state().error("decoder", config.error().message);
    const std::uint32_t of_tile = ring_tile_rows / gemv_rows_per_warp(*config);
    const auto weights = matrix(segment);
    const auto x = at<f32>(plan_.shared.dequantised);
    const auto first_row = part.first * ring_tile_rows;
    const auto y = Val<shared_ptr<f32>>(k_.sub(partials.as<u32>(), first_row * 4u).as<shared_ptr<f32>>());
    const auto token = Val<u32>(k_.var<u32>(0u));
    const auto begin = k_.mad_lo(part.first, of_tile, warp_);
    const auto last = part.first + part.count;
    const auto end = last * of_tile;
    k_.for_<u32>(begin, end, ring_warps, [&](Var<u32>& row_tile) {
        const GemvOperands<shared_ptr<f32>, shared_ptr<f32>> operands{weights,       x, y, std::nullopt, std::nullopt,
                                                                      k_.imm<u32>(1)};
        emit_gemv(k_, *config, operands, Val<u32>(k_.state(), row_tile.operand()), token);
    });
}

Val<f32> DecoderEmitter::row_value(const DecoderOp& op, const DecoderSegment& segment,
                                   const Val<shared_ptr<u8>>& partials, const Val<u32>& row) {
    const auto sums = partials.as<shared_ptr<f32>>();
    if (!segment.packed) return k_.ld(sums + row);
    return emit_ring_row(k_, ring_segment(op, segment), sums, row);
}

} // namespace ptxgen::kernels
