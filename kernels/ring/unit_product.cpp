#include "kernels/ring/unit_product.hpp"

#include "kernels/ring/products.hpp"

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t all_lanes = 0xffffffff;

using Fragment = std::array<Val<s32>, 4>;

/// `words` 32-bit words into variables.
template <class Pointer>
void load_words_into(KernelBuilder& k, std::span<Var<u32>> to, const Val<Pointer>& at) {
    using Word = std::conditional_t<Pointer::space == Space::shared, shared_ptr<const u32>, global_ptr<const u32>>;
    const auto from = at.template as<Word>();
    const auto load = [&](const auto& pointer, const auto&... modifiers) {
        if constexpr (Pointer::space == Space::shared)
            return k.ld(pointer, modifiers...);
        else
            return k.ld(pointer, nc, l1_no_allocate, modifiers...);
    };
    const auto take = [&](auto&& words) {
        for (std::size_t i = 0; i < words.size(); i++) to[i] = std::move(words[i]);
    };
    if (to.size() == 4)
        take(load(from, v4));
    else if (to.size() == 2)
        take(load(from, v2));
    else
        to[0] = load(from);
}

} // namespace

Val<u32> emit_opaque(KernelBuilder& k, const Val<u32>& value) {
    const Val<u32> lane = k.laneid;
    return k.shfl_sync_idx(value, lane, 31U, all_lanes);
}

RingLane::RingLane(KernelBuilder& k, RingDots how)
    : dots(how), lane(emit_opaque(k, k.laneid)), group(lane >> 2U), quad(lane & 3U) {
    for (std::uint32_t j = 0; dots == RingDots::mma && j < 8; j++) {
        const auto mask = k.selp(k.imm<u32>(all_lanes), k.imm<u32>(0), group == j);
        column_masks.push_back(emit_opaque(k, mask));
    }
}

void RingProduct::raise_dots() {
    for (std::uint32_t parity = 0; parity < 2; parity++) {
        const std::uint32_t code = parity % format_.codes->period_codes;
        const std::uint32_t bits = 0x4B400000U - (std::uint32_t{format_.codes->code[code].shift} << 23);
        initial_.push_back(emit_opaque(k_, k_.imm<u32>(bits)).as<s32>());
    }
}

float RingProduct::raised_by(std::uint32_t parity) const {
    const std::uint32_t code = parity % format_.codes->period_codes;
    return 12582912.0F / static_cast<float>(1U << format_.codes->code[code].shift);
}

RingUnit RingProduct::unit() {
    RingUnit unit;
    for (std::uint32_t i = 0; i < 4 * format_.loads(); i++) unit.codes.push_back(k_.var<u32>());
    for (const auto& load : header_loads())
        for (std::uint32_t i = 0; i < load.words; i++) unit.header.push_back(k_.var<u32>());
    return unit;
}

template <class Pointer>
void RingProduct::load_codes_from(RingUnit& unit, std::uint32_t load, const Val<Pointer>& at) {
    load_words_into(k_, std::span(unit.codes).subspan(4 * std::size_t{load}, 4), at + 512 * load);
}
template <class Pointer>
void RingProduct::load_header_from(RingUnit& unit, const Val<Pointer>& at) {
    using Half = std::conditional_t<Pointer::space == Space::shared, shared_ptr<const u16>, global_ptr<const u16>>;
    std::size_t next = 0;
    for (const auto& load : header_loads()) {
        const auto place = load.lane_stride ? lane_.lane * load.lane_stride : lane_.group * load.group_stride;
        const auto from = at + place + load.offset;
        if (load.half)
            unit.header[next] = k_.ld_wide<u32>(from.template as<Half>());
        else
            load_words_into(k_, std::span(unit.header).subspan(next, load.words), from);
        next += load.words;
    }
}
void RingProduct::load(RingUnit& unit, const Val<shared_ptr<const u8>>& at) {
    const auto codes_at = at + (lane_.lane << 4U);
    for (std::uint32_t i = 0; i < format_.loads(); i++) load_codes_from(unit, i, codes_at);
    load_header_from(unit, at);
}
void RingProduct::load(RingUnit& unit, const Val<global_ptr<const u8>>& at) {
    const auto codes_at = at + (lane_.lane << 4U);
    for (std::uint32_t i = 0; i < format_.loads(); i++) load_codes_from(unit, i, codes_at);
    load_header_from(unit, at);
}
void RingProduct::load_codes(RingUnit& unit, std::uint32_t load, const Val<global_ptr<const u8>>& lane_at) {
    load_codes_from(unit, load, lane_at);
}
void RingProduct::load_header(RingUnit& unit, const Val<global_ptr<const u8>>& at) { load_header_from(unit, at); }

RingActivations RingProduct::activations(bool held) {
    RingActivations activations;
    const bool mma = lane_.dots == RingDots::mma;
    activations.held = held || !mma;
    for (std::uint32_t i = 0; i < (activations.held ? 16U : 2U); i++) activations.words.push_back(k_.var<u32>());
    for (std::size_t i = 0; i < scale_count(); i++) activations.scales.push_back(k_.var<f32>());
    return activations;
}

void RingProduct::load(RingActivations& activations, const Val<shared_ptr<u8>>& record) {
    if (lane_.dots == RingDots::dp4a) {
        const auto from = record + (lane_.quad << 3U);
        for (std::uint32_t j = 0; j < 8; j++)
            load_words_into(k_, std::span(activations.words).subspan(2 * j, 2), from + 32 * j);
    } else {
        // Column g of the products: the words 4q of sub-block g.
        std::vector<Var<u32>> own;
        own.push_back(k_.var<u32>());
        own.push_back(k_.var<u32>());
        auto& words = activations.held ? own : activations.words;
        if (sixteen_columns()) {
            const auto pair = lane_.group >> 1U;
            const auto half = lane_.group & 1U;
            const auto half_offset = half << 2U;
            const auto block = k_.mad_lo(pair, 32U, half_offset);
            const auto from = record + k_.mad_lo(lane_.quad, 8U, block);
            load_words_into(k_, std::span(words).first(1), from);
            load_words_into(k_, std::span(words).last(1), from + 128);
        } else {
            load_words_into(k_, std::span(words), record + (lane_.lane << 3U));
        }
        if (activations.held)
            for (std::uint32_t j = 0; j < 8; j++)
                for (std::uint32_t half = 0; half < 2; half++) {
                    const std::size_t word = sixteen_columns() ? j / 4 : half;
                    const std::size_t column = sixteen_columns() ? 2 * j % 8 + half : j;
                    activations.words[2 * j + half] = words[word] & lane_.column_masks[column];
                }
    }
    load_scales(activations, record);
}

void RingProduct::load_scales(RingActivations& activations, const Val<shared_ptr<u8>>& record) {
    const auto from = (record + (lane_.quad << 4U) + ring_super_block).as<shared_ptr<f32>>();
    if (scale_count() == 4) {
        auto scales = k_.ld(from, v4);
        for (std::size_t i = 0; i < 4; i++) activations.scales[i] = std::move(scales[i]);
    } else {
        auto scales = k_.ld(from, v2);
        for (std::size_t i = 0; i < 2; i++) activations.scales[i] = std::move(scales[i]);
    }
}

std::vector<Val<u32>> RingProduct::output(const RingUnit& unit, std::uint32_t j) {
    const RingCodeLayout& layout = *format_.codes;
    const RingCode& code = layout.code[j % layout.period_codes];
    const std::uint32_t first_load = j / layout.period_codes * layout.period_words;
    std::vector<Val<u32>> words;
    for (std::uint32_t r = 0; r < 4; r++) {
        std::vector<Val<u32>> joined;
        for (std::uint32_t p = 0; p < code.pieces; p++) {
            const RingPiece& piece = code.piece[p];
            const Val<u32> input(k_.state(), unit.codes[4 * (first_load + piece.word) + r].operand());
            if (piece.bits == 8) {
                joined.push_back(input);
                continue;
            }
            const std::uint32_t mask = (((1U << piece.bits) - 1) << piece.to_bit) * 0x01010101U;
            std::vector<Val<u32>> moved{input};
            if (piece.to_bit > piece.from_bit) moved.push_back(input << std::uint32_t(piece.to_bit - piece.from_bit));
            if (joined.empty())
                joined.push_back(moved.back() & mask);
            else
                joined.push_back(k_.lop3(moved.back(), mask, joined.back(), 0xEA)); // (a & b) | c
        }
        words.push_back(joined.back());
    }
    return words;
}

Val<u32> RingProduct::operand_b(const RingActivations& activations, std::uint32_t j, std::uint32_t half) {
    const auto word = [&](std::size_t i) { return Val<u32>(k_.state(), activations.words[i].operand()); };
    if (activations.held) return word(2 * j + half);
    return sixteen_columns() ? word(j / 4) & lane_.column_masks[2 * j % 8 + half] : word(half) & lane_.column_masks[j];
}

RingProduct::Dots RingProduct::dots_by_mma(const Outputs& a, const RingUnit& unit, const RingActivations& activations) {
    // Two chains of four products. 32 columns: sub-block j is column j, even ones in the first chain, odd ones in the
    // second. 16 columns: output j is columns 2j and 2j + 1, the first four outputs in the first chain.
    const auto start = [&](std::uint32_t parity) { return initial_.empty() ? k_.imm<s32>(0) : initial_[parity]; };
    std::vector<Val<s32>> from;
    for (std::uint32_t i = 0; i < 4; i++) from.push_back(k_.var<s32>(start(i % 2)));
    const Fragment first{from[0], from[1], from[2], from[3]};
    std::array<std::vector<Fragment>, 2> chains{std::vector{first}, std::vector{first}};
    for (std::uint32_t j = 0; j < 8; j++) {
        const auto words = a.empty() ? output(unit, j) : a[j];
        const auto b0 = operand_b(activations, j, 0);
        const auto b1 = operand_b(activations, j, 1);
        auto& chain = chains[sixteen_columns() ? j / 4 : j % 2];
        const std::array<Val<u32>, 4> fragment_a{words[0], words[1], words[2], words[3]};
        const std::array<Val<u32>, 2> fragment_b{b0, b1};
        if (format_.codes->is_signed)
            chain.push_back(k_.mma_sync_m16n8k32(fragment_a, fragment_b, chain.back(), s32_s8_s8_s32));
        else
            chain.push_back(k_.mma_sync_m16n8k32(fragment_a, fragment_b, chain.back(), s32_u8_s8_s32));
    }
    const Fragment &x = chains[0].back(), &y = chains[1].back();
    if (sixteen_columns()) return {x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]};
    return {x[0], y[1], x[2], y[3]};
}

/// Each lane has a share of eight numbers; afterwards lane q of a group has the sums of numbers 2q and 2q + 1.
std::vector<Val<s32>> RingProduct::deal(const std::vector<Val<s32>>& shares) {
    std::vector<Val<s32>> have = shares;
    for (const std::uint32_t distance : {2U, 1U}) {
        const Pred upper = (lane_.quad & distance) != 0U;
        std::vector<Val<s32>> kept;
        const std::size_t n = have.size() / 2;
        for (std::size_t i = 0; i < n; i++) {
            const auto keep = k_.selp(have[i + n], have[i], upper);
            const auto give = k_.selp(have[i], have[i + n], upper);
            const auto got = k_.shfl_sync_bfly(give, distance, 31U, all_lanes);
            kept.push_back(keep + got);
        }
        have.swap(kept);
    }
    return have;
}

RingProduct::Dots RingProduct::dots_by_dp4a(const Outputs& a, const RingUnit& unit,
                                            const RingActivations& activations) {
    const auto dot = [&](const Val<u32>& codes, const Var<u32>& x, const Val<s32>& sum) {
        const auto bytes = Val<u32>(k_.state(), x.operand()).as<s32>();
        return format_.codes->is_signed ? k_.dp4a(codes.as<s32>(), bytes, sum) : k_.dp4a(codes, bytes, sum);
    };
    const auto zero = k_.imm<s32>(0);
    std::array<std::vector<Val<s32>>, 2> shares; // by row g or g + 8, sub-block by sub-block
    for (std::uint32_t j = 0; j < 8; j++) {
        const auto words = a.empty() ? output(unit, j) : a[j];
        for (std::uint32_t upper = 0; upper < 2; upper++) {
            const auto first = dot(words[upper], activations.words[2 * j], zero);
            if (sixteen_columns()) shares[upper].push_back(first);
            shares[upper].push_back(
                dot(words[upper + 2], activations.words[2 * j + 1], sixteen_columns() ? zero : first));
        }
    }
    Dots dots;
    for (std::size_t part = 0; part < shares[0].size(); part += 8)
        for (const auto& row : shares) {
            const auto mine = deal(
                {row.begin() + static_cast<std::ptrdiff_t>(part), row.begin() + static_cast<std::ptrdiff_t>(part) + 8});
            for (std::size_t i = 0; i < 2; i++) {
                if (initial_.empty())
                    dots.push_back(mine[i]);
                else
                    dots.push_back(mine[i] + initial_[i]);
            }
        }
    return dots;
}

RingProduct::Dots RingProduct::dots(const Outputs& unpacked, const RingUnit& unit, const RingActivations& activations) {
    return lane_.dots == RingDots::mma ? dots_by_mma(unpacked, unit, activations)
                                       : dots_by_dp4a(unpacked, unit, activations);
}

void RingProduct::accumulate(const RingUnit& unit, const RingActivations& activations, Sums& sums) {
    const Dots of_unit = dots({}, unit, activations);
    combine(header(unit, false), of_unit, activations, sums);
}

RingProduct::Unpacked RingProduct::unpack(const RingUnit& unit) {
    Outputs outputs;
    for (std::uint32_t j = 0; j < 8; j++) outputs.push_back(output(unit, j));
    return {std::move(outputs), header(unit, true)};
}

void RingProduct::accumulate(const Unpacked& unpacked, const RingActivations& activations, Sums& sums) {
    const Dots of_unit = dots(unpacked.outputs, {}, activations);
    combine(unpacked.header, of_unit, activations, sums);
}

std::unique_ptr<RingProduct> ring_product(KernelBuilder& k, TensorType type, const RingLane& lane) {
    const RingFormat format = *ring_format(type);
    switch (type) {
    case TensorType::q4_k: return ring_product_q4_k(k, format, lane);
    case TensorType::q6_k: return ring_product_q6_k(k, format, lane);
    default: return ring_product_blocks(k, format, lane);
    }
}

} // namespace ptxgen::kernels
