#include "kernels/ring/gather_ring.hpp"

#include "kernels/common/index.hpp"
#include "kernels/dequant/unit_decoder.hpp"

#include <array>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

using UnitPtr = Val<global_ptr<const u8>>;

/// What a thread decodes: of one row of a unit, four columns of each of the outputs that come from the same words.
struct Part {
    UnitPtr unit;
    Val<u32> group;  ///< g: row g or g + 8
    Val<u32> upper;  ///< 1: row g + 8
    Val<u32> quad;   ///< q: columns 4q … of each half
    Val<u32> half;   ///< 0 or 1: columns 0 or 16 … of the 32
    Val<u32> period; ///< outputs period · period_codes …
};

/// Groups of outputs that share words.
std::uint32_t periods(const RingFormat& format) { return 8U / format.codes->period_codes; }

UnitPtr at(KernelBuilder& k, const UnitPtr& from, const Val<u32>& index, std::uint32_t bytes) {
    return k.mad_wide(index, bytes, from.as<u64>()).as<global_ptr<const u8>>();
}

/// Output words: the bytes are code · 2^shift.
std::vector<Val<u32>> outputs(KernelBuilder& k, const RingFormat& format, const Part& part) {
    const RingCodeLayout& layout = *format.codes;
    const auto lane = k.mad_lo(part.group, 4U, part.quad);
    const auto component = k.mad_lo(part.half, 2U, part.upper);
    const auto word = k.mad_lo(lane, 4U, component);
    const auto period_at = at(k, part.unit, part.period, 512 * layout.period_words);
    const auto from = at(k, period_at, word, 4).as<global_ptr<const u32>>();
    std::vector<Val<u32>> words, joined;
    for (std::uint32_t w = 0; w < layout.period_words; w++) words.push_back(k.ld(from + 128 * w));
    for (std::uint32_t j = 0; j < layout.period_codes; j++) {
        const RingCode& code = layout.code[j];
        std::vector<Val<u32>> pieces;
        for (std::uint32_t p = 0; p < code.pieces; p++) {
            const RingPiece& piece = code.piece[p];
            const std::uint32_t mask = (((1U << piece.bits) - 1) << piece.to_bit) * 0x01010101U;
            const auto moved = words[piece.word] << std::uint32_t(piece.to_bit - piece.from_bit);
            const auto kept = moved & mask;
            pieces.push_back(pieces.empty() ? kept : pieces.back() | kept);
        }
        joined.push_back(pieces.back());
    }
    return joined;
}

/// w = scale · code (+ minimum) for output j of the part.
struct Weighting {
    Val<f32> scale;
    std::optional<Val<f32>> minimum;
};

Val<f32> load_half(KernelBuilder& k, const UnitPtr& from) { return k.cvt<f32>(k.ld(from.as<global_ptr<const f16>>())); }

/// The header's places are those that pack.cpp writes.
std::vector<Weighting> weightings(KernelBuilder& k, const RingFormat& format, const Part& part) {
    const auto header = part.unit + format.header_offset();
    std::vector<Weighting> all;
    switch (format.type) {
    case TensorType::q4_k: {
        // Output 2p + i is sub-block 2p + i, whose fields the lane 4g + p holds.
        const auto lane = k.mad_lo(part.group, 4U, part.period);
        const auto word = k.ld(at(k, header, lane, 4).as<global_ptr<const u32>>());
        const auto rest = k.ld_wide<u32>((at(k, header, lane, 2) + 128).as<global_ptr<const u16>>());
        const auto upper_fields = k.prmt(word, rest, 0x5543U);
        const auto fields = k.selp(upper_fields, word, part.upper != 0U);
        const auto pair = k.mad_lo(part.group, 2U, part.upper);
        const auto halves = at(k, header, pair, 4) + 192;
        const auto d = load_half(k, halves);
        const auto dmin = load_half(k, halves + 2);
        for (std::uint32_t i = 0; i < 2; i++) {
            const auto scale = k.cvt<f32>(k.bfe(fields, 6 * i, 6U), rn);
            const auto minimum = k.cvt<f32>(k.bfe(fields, 12 + 6 * i, 6U), rn);
            const auto product = dmin * minimum;
            all.push_back({d * scale, -product});
        }
        break;
    }
    case TensorType::q6_k: {
        const auto row_at = at(k, header, part.group, 32);
        const auto upper_at = at(k, row_at, part.upper, 4);
        const auto period_at = at(k, upper_at, part.period, 2);
        const auto from = at(k, period_at, part.half, 1).as<global_ptr<const s8>>();
        const auto pair = k.mad_lo(part.group, 2U, part.upper);
        const auto d = load_half(k, at(k, header, pair, 2) + 256);
        for (std::uint32_t i = 0; i < 4; i++) {
            const auto scale = k.cvt<f32>(k.ld_wide<s32>(from + 8 * i), rn);
            all.push_back({d * scale, std::nullopt});
        }
        break;
    }
    default: {
        const std::uint32_t bytes = format.type == TensorType::q4_1 ? 4 : 2;
        const auto row_at = k.mad_lo(part.group, 16U, part.upper << 1U);
        for (std::uint32_t i = 0; i < format.codes->period_codes; i++) {
            const auto block = k.mad_lo(part.period, std::uint32_t{format.codes->period_codes}, k.imm<u32>(i));
            const auto odd = block & 1U;
            const auto in_row = row_at + odd;
            const auto pair = block >> 1U;
            const auto field = k.mad_lo(pair, 4U, in_row);
            const auto from = at(k, header, field, bytes);
            const auto scale = load_half(k, from);
            std::optional<Val<f32>> minimum;
            if (format.type == TensorType::q4_1) minimum.emplace(load_half(k, from + 2));
            all.push_back({scale, minimum});
        }
    }
    }
    return all;
}

template <class Pointer>
void gather_part(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale,
                 const Val<global_ptr<const u8>>& table, const Val<u32>& row, const Val<u32>& part,
                 const Val<Pointer>& out) {
    const RingFormat format = *ring_format(type);
    const RingCodeLayout& layout = *format.codes;
    const std::uint32_t unit_parts = 8 * periods(format), super_blocks = ring_shape(1, cols).super_blocks;
    const auto super_block = quotient(part, unit_parts);
    const auto tile = row >> 4U;
    const auto wide_tile = k.cvt<u64>(tile);
    const auto wide_super_block = k.cvt<u64>(super_block);
    const auto index = k.mad_lo(wide_tile, std::uint64_t{super_blocks}, wide_super_block);
    const auto unit = k.mad_lo(index, std::uint64_t{format.unit_bytes}, table.as<u64>()).as<global_ptr<const u8>>();
    const auto group = row & 7U;
    const auto upper = (row >> 3U) & 1U;
    const auto quad = part & 3U;
    const auto half = (part >> 2U) & 1U;
    const auto period = (part >> 3U) & (periods(format) - 1);
    const Part of_row{unit, group, upper, quad, half, period};

    const auto words = outputs(k, format, of_row);
    const auto weights = weightings(k, format, of_row);
    const auto first_output = k.mad_lo(super_block, 8U, period * layout.period_codes);
    const auto half_column = half << 4U;
    const auto column = k.mad_lo(quad, 4U, half_column);
    for (std::uint32_t j = 0; j < layout.period_codes; j++) {
        // Each weight is rounded once, and so is its product with the scale.
        const auto factor = weights[j].scale * (1.0F / static_cast<float>(1U << layout.code[j].shift));
        std::vector<Val<f32>> values;
        for (std::uint32_t i = 0; i < 4; i++) {
            const std::uint32_t top = layout.is_signed ? i | 8U : 4U; // the sign, or a byte of zeros
            const auto selector = k.imm<u32>(i | top << 4 | top << 8 | top << 12);
            const auto code = k.prmt(words[j], k.imm<u32>(0), selector).as<s32>();
            const auto value = k.cvt<f32>(code, rn);
            std::vector<Val<f32>> weight;
            if (weights[j].minimum)
                weight.push_back(k.fma(value, factor, *weights[j].minimum));
            else
                weight.push_back(value * factor);
            values.push_back(scale == 1 ? weight[0] : weight[0] * scale);
        }
        const auto output = first_output + j;
        const auto to = out + k.mad_lo(output, 32U, column);
        const auto store = [&] { k.st(to, std::array{values[0], values[1], values[2], values[3]}, v4); };
        if (cols % ring_super_block == 0)
            store();
        else
            k.predicated(output < cols / 32, store);
    }
}

Status check(const GatherRingConfig& config) {
    if (!ring_format(config.type))
        return Error{fmt::format("there is no ring format for weights of type {}", name(config.type))};
    if (auto status = check_range("rows", config.rows, 1, max_rows); !status) return status;
    if (auto status = check_range("cols", config.cols, 1, max_cols); !status) return status;
    if (auto status = check_range("warps", config.warps_per_cta, 1, 32); !status) return status;
    const TensorTypeInfo& info = tensor_type_info(config.type);
    if (config.cols % info.block_elements != 0)
        return Error{
            fmt::format("cols must be a multiple of {} for {}, not {}", info.block_elements, info.name, config.cols)};
    return {};
}

} // namespace

std::uint32_t gather_ring_parts(TensorType type, std::uint32_t cols) {
    return ring_shape(1, cols).super_blocks * 8 * periods(*ring_format(type));
}

void emit_gather_ring_part(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale,
                           const Val<global_ptr<const u8>>& table, const Val<u32>& row, const Val<u32>& part,
                           const Val<global_ptr<f32>>& out) {
    gather_part(k, type, cols, scale, table, row, part, out);
}
void emit_gather_ring_part(KernelBuilder& k, TensorType type, std::uint32_t cols, float scale,
                           const Val<global_ptr<const u8>>& table, const Val<u32>& row, const Val<u32>& part,
                           const Val<shared_ptr<f32>>& out) {
    gather_part(k, type, cols, scale, table, row, part, out);
}

std::string gather_ring_name(TensorType type) { return "gather_ring_" + lower_name(type); }

Result<Generated> gather_ring(const GatherRingConfig& config, std::optional<Target> target,
                              std::optional<PtxVersion> version) {
    if (auto status = check(config); !status) return status.error();
    const std::uint32_t parts = gather_ring_parts(config.type, config.cols), threads = 32 * config.warps_per_cta;
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel(gather_ring_name(config.type));
    k.max_threads(threads);
    const auto table = k.param<global_ptr<const u8>>(
        "table", fmt::format("{} [{}][{}] in the ring format", name(config.type), config.rows, config.cols), align(16));
    const auto ids = k.param<global_ptr<const u32>>("ids", "u32 [tokens], rows of the table");
    const auto out = k.param<global_ptr<f32>>("out", fmt::format("f32 [tokens][{}]", config.cols), align(16));
    const auto part = k.mad_lo(k.ctaid.x, threads, k.tid.x);
    k.exit_if(part >= parts);
    const Val<u32> token = k.ctaid.y;
    const auto id = k.min(k.ld(ids + token), config.rows - 1);
    const auto to = k.mad_wide(token, config.cols * 4, out.as<u64>()).as<global_ptr<f32>>();
    emit_gather_ring_part(k, config.type, config.cols, config.scale, table, id, part, to);
    LaunchShape launch;
    launch.grid_x = fmt::format("{}", ceil_div(parts, threads));
    launch.grid_y = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), std::move(launch));
}

Grid gather_ring_grid(const GatherRingConfig& config, std::uint32_t tokens) {
    return {ceil_div(gather_ring_parts(config.type, config.cols), 32 * config.warps_per_cta), tokens, 1};
}

} // namespace ptxgen::kernels
