#include "kernels/ring/activations.hpp"

#include "kernels/common/memory.hpp"

namespace ptxgen::kernels {
namespace {

// Blocks below this have no finite 127 / max|x|; they count as zero.
constexpr float smallest_largest = 0x1p-100F;
// 1.5 · 2^23: a float between whose neighbours lie integers, so that adding it rounds to one, in the low bits.
constexpr float rounder = 12582912.0F;

/// Bytes 0 of four words.
Val<u32> pack_bytes(KernelBuilder& k, const Val<u32>& a, const Val<u32>& b, const Val<u32>& c, const Val<u32>& d) {
    const auto low = k.prmt(a, b, 0x0040U);
    const auto high = k.prmt(c, d, 0x0040U);
    return k.prmt(low, high, 0x5410U);
}

template <class Pointer>
RingLaneValues record_values(KernelBuilder& k, const Val<Pointer>& x, std::uint32_t cols, const Val<u32>& super_block,
                             const Val<u32>& lane) {
    const auto group = lane >> 2U;
    const auto block = k.mad_lo(super_block, 8U, group);
    const auto part = lane & 3U;
    const auto column = k.mad_lo(block, 8U, part); // in units of four
    const auto from = x + (column << 2U);
    Accumulators first = accumulators(k, 4, 0), second = accumulators(k, 4, 0);
    const auto load = [&] {
        load_into(k, first, from);
        load_into(k, second, from + 16);
    };
    if (cols % ring_super_block == 0)
        load();
    else
        k.predicated(block < cols / 32, load);
    return {first[0], first[1], first[2], first[3], second[0], second[1], second[2], second[3]};
}

} // namespace

BlockScale emit_block_scale(KernelBuilder& k, const Val<u32>& largest_bits) {
    const auto largest = largest_bits.as<f32>();
    const auto scale = largest * (1.0F / 127.0F);
    const auto per_unit = k.rcp(largest, rn) * 127.0F;
    const auto inverse = k.selp(per_unit, k.imm<f32>(0), largest >= smallest_largest);
    return {scale, inverse};
}

Val<u32> emit_rounded(KernelBuilder& k, const Val<f32>& value, const BlockScale& scale) {
    return k.fma(value, scale.inverse, rounder).as<u32>();
}

RingQuantized emit_quantize(KernelBuilder& k, const RingLaneValues& values) {
    // As bits, so that a NaN is the largest.
    auto bits = k.var<u32>(values[0].as<u32>() & 0x7fffffffU);
    for (std::size_t i = 1; i < 8; i++) {
        const auto magnitude = values[i].as<u32>() & 0x7fffffffU;
        bits = k.max(bits, magnitude);
    }
    for (const std::uint32_t distance : {1U, 2U}) {
        const auto other = k.shfl_sync_bfly(bits, distance, 31U, 0xffffffffU);
        bits = k.max(bits, other);
    }
    const BlockScale block = emit_block_scale(k, Val<u32>(bits));
    std::vector<Val<u32>> rounded;
    for (const auto& value : values) rounded.push_back(emit_rounded(k, value, block));
    const auto low = pack_bytes(k, rounded[0], rounded[1], rounded[2], rounded[3]);
    const auto high = pack_bytes(k, rounded[4], rounded[5], rounded[6], rounded[7]);
    const auto low_sum = k.dp4a(low.as<s32>(), k.imm<s32>(0x01010101), k.imm<s32>(0));
    auto sum = k.var<s32>(k.dp4a(high.as<s32>(), k.imm<s32>(0x01010101), low_sum));
    for (const std::uint32_t distance : {1U, 2U}) {
        const auto other = k.shfl_sync_bfly(sum, distance, 31U, 0xffffffffU);
        sum = sum + other;
    }
    const auto float_sum = k.cvt<f32>(sum, rn);
    const auto scaled_sum = float_sum * block.scale;
    return {low, high, block.scale, scaled_sum};
}

void emit_quantize_record(KernelBuilder& k, const RingLaneValues& values, const Val<shared_ptr<u8>>& record,
                          const Val<u32>& lane) {
    const RingQuantized quantized = emit_quantize(k, values);
    k.st((record + (lane << 3U)).as<shared_ptr<u32>>(), std::array{quantized.low, quantized.high}, v2);
    const auto part = lane & 3U;
    const auto pair = lane >> 3U;
    const auto odd = (lane >> 2U) & 1U;
    const auto odd_offset = odd << 2U;
    const auto pair_offset = k.mad_lo(pair, 16U, odd_offset);
    const auto offset = k.mad_lo(part, 8U, pair_offset);
    const auto stored = k.selp(quantized.scale, quantized.scaled_sum, part == 0U);
    const auto to = (record + ring_super_block + offset).as<shared_ptr<f32>>();
    k.predicated(part < 2U, [&] { k.st(to, stored); });
}

RingLaneValues emit_record_values(KernelBuilder& k, const Val<global_ptr<const f32>>& x, std::uint32_t cols,
                                  const Val<u32>& super_block, const Val<u32>& lane) {
    return record_values(k, x, cols, super_block, lane);
}
RingLaneValues emit_record_values(KernelBuilder& k, const Val<shared_ptr<f32>>& x, std::uint32_t cols,
                                  const Val<u32>& super_block, const Val<u32>& lane) {
    return record_values(k, x, cols, super_block, lane);
}

} // namespace ptxgen::kernels
