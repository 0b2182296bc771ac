#include "kernels/decoder/emitter.hpp"

#include "kernels/gather/gather.hpp"
#include "kernels/ring/activations.hpp"
#include "kernels/ring/gather_ring.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {

void DecoderEmitter::embed(const Val<u32>& token) {
    const ModelShape& s = config_.shape;
    const auto x = at<f32>(plan_.shared.x);
    const auto scale = static_cast<float>(s.embedding_scale);
    const auto table = p_.weights + config_.weights.token_embd;
    if (config_.weights.token_embd_packed) {
        const std::uint32_t parts = gather_ring_parts(s.token_embd_type, s.hidden);
        k_.for_<u32>(thread_, parts, 32 * ring_warps, [&](Var<u32>& part) {
            emit_gather_ring_part(k_, s.token_embd_type, s.hidden, scale, table, token,
                                  Val<u32>(k_.state(), part.operand()), x);
        });
        barrier();
        return;
    }
    const auto decoder = unit_decoder(s.token_embd_type, s.hidden);
    const std::uint32_t units = s.hidden / decoder->shape().block_elements * decoder->shape().units;
    const auto wide = k_.cvt<u64>(token);
    const auto row = k_.mad_lo(wide, row_bytes(s.token_embd_type, s.hidden), table.as<u64>());
    k_.for_<u32>(thread_, units, 32 * ring_warps, [&](Var<u32>& unit) {
        emit_dequantize_unit(k_, s.token_embd_type, s.hidden, scale, row.as<global_ptr<const u8>>(), unit, x);
    });
    barrier();
}

void DecoderEmitter::tell_waiting(bool waits) {
    if (!plan_.ring) return;
    k_.predicated(thread_ == 0, [&] { k_.st(word(waiting), k_.imm<u32>(waits ? 1 : 0), relaxed, cta); });
}

void DecoderEmitter::quantise(const LaneVector& values, const Val<u32>& super_block, const Pred& has, bool general) {
    const auto record = at<u8>(plan_.shared.records) + super_block * ring_record_bytes;
    emit_quantize_record(k_, values_of(values), record, lane_);
    if (!general) return;
    // What the products of types without a ring format take: the same numbers as f32.
    k_.bar_warp_sync(0xffffffffu);
    const auto block = k_.mad_lo(super_block, 8u, group_);
    const auto column = k_.mad_lo(block, 32u, quad_ * 4u);
    emit_dequantize_record(k_, vector_lane(), record, at<f32>(plan_.shared.dequantised) + column, has);
}

void DecoderEmitter::finish_residual(LaneVector& x, LaneVector& norm, Var<f32>& sum, const Val<u32>& super_block,
                                     const Pred& has, bool general) {
    emit_add_squares(k_, x, sum);
    emit_weigh(k_, norm, x);
    quantise(norm, super_block, has, general);
}

void DecoderEmitter::take_embedding(const Val<global_ptr<const u8>>& norm, bool general) {
    k_.comment("the embedding, normed");
    const VectorLane own_lane = vector_lane();
    auto sum = k_.var<f32>(0.f);
    emit_each_super_block(
        k_, own_lane, config_.shape.hidden, [&](const auto& super_block, const auto& column, const Pred& has) {
            auto weight = zero_lane_vector(k_), x = zero_lane_vector(k_);
            emit_load_lane_vector(k_, weight, norm.template as<global_ptr<const f32>>() + column, has);
            emit_load_lane_vector(k_, x, at<f32>(plan_.shared.x) + column, has);
            finish_residual(x, weight, sum, super_block, has, general);
        });
    emit_store_squares(k_, own_lane, sum, float_word(squares));
    barrier();
}

void DecoderEmitter::take_residual(std::uint32_t edge, WaitSite site, std::optional<LayerTensor> post_norm,
                                   const Val<global_ptr<const u8>>& norm, bool general) {
    k_.comment(fmt::format("x += {}, normed", name(site)));
    const std::uint32_t hidden = config_.shape.hidden;
    const VectorLane own_lane = vector_lane();
    tell_waiting(true);
    const auto poll = [&](const Val<u32>& column, const Pred& has) {
        const auto from = packets(edge) + column;
        return emit_poll(k_, {from, from + 16}, 4, has, epoch(), guard_, {site, walk_.layer(), column});
    };
    std::vector<LaneVector> kept;
    std::optional<Val<f32>> post_scale;
    if (post_norm) {
        auto squares_of_y = k_.var<f32>(0.f);
        for (std::uint32_t r = 0; r < ceil_div(ceil_div(hidden, ring_super_block), ring_warps); r++)
            kept.push_back(zero_lane_vector(k_));
        std::size_t round = 0;
        emit_each_super_block(k_, own_lane, hidden, [&](const auto&, const auto& column, const Pred& has) {
            const Values y = poll(column, has);
            for (std::size_t i = 0; i < 8; i++) kept[round][i] = y[i];
            emit_add_squares(k_, kept[round], squares_of_y);
            round++;
        });
        post_scale.emplace(emit_post_scale(k_, squares_of_y, thread_, float_word(best_values), consumers_, hidden,
                                           config_.shape.norm_epsilon));
    }
    auto sum = k_.var<f32>(0.f);
    std::size_t round = 0;
    emit_each_super_block(k_, own_lane, hidden, [&](const auto& super_block, const auto& column, const Pred& has) {
        auto weight = zero_lane_vector(k_), x = zero_lane_vector(k_);
        emit_load_lane_vector(k_, weight, norm.template as<global_ptr<const f32>>() + column, has);
        if (post_norm) {
            auto post = zero_lane_vector(k_);
            const auto post_weight = walk_.tensor(*post_norm).template as<global_ptr<const f32>>();
            emit_load_lane_vector(k_, post, post_weight + column, has);
            emit_post_norm(k_, x, kept[round], *post_scale, post);
            round++;
        } else {
            const Values y = poll(column, has);
            for (std::size_t i = 0; i < 8; i++) x[i] = y[i];
        }
        emit_add_residual(k_, x, at<f32>(plan_.shared.x) + column, has);
        finish_residual(x, weight, sum, super_block, has, general);
    });
    emit_store_squares(k_, own_lane, sum, float_word(squares));
    tell_waiting(false);
    barrier();
}

void DecoderEmitter::take_vector(std::uint32_t edge, std::uint32_t cols, WaitSite site, bool general) {
    k_.comment(fmt::format("{}", name(site)));
    tell_waiting(true);
    emit_each_super_block(k_, vector_lane(), cols, [&](const auto& super_block, const auto& column, const Pred& has) {
        const auto from = packets(edge) + column;
        const Values values = emit_poll(k_, {from, from + 16}, 4, has, epoch(), guard_, {site, walk_.layer(), column});
        LaneVector own;
        for (const auto& value : values) own.push_back(k_.var<f32>(value));
        quantise(own, super_block, has, general);
    });
    tell_waiting(false);
    barrier();
}

/// A block into its record.
void DecoderEmitter::store_block(const Block& block, const Val<u32>& number) {
    auto sum = k_.var<s32>(0);
    const auto ones = k_.imm<s32>(0x01010101);
    for (const auto& word : block.words) sum = k_.dp4a(word.as<s32>(), ones, sum);
    const auto float_sum = k_.cvt<f32>(sum, rn);
    const auto scaled_sum = float_sum * block.scale;
    const auto super_block = number >> 3U;
    const auto record = k_.mad_lo(super_block, ring_record_bytes, at<u8>(plan_.shared.records).as<u32>());
    const auto within = number & 7U;
    const auto bytes = k_.mad_lo(within, 32U, record).as<shared_ptr<u32>>();
    for (std::uint32_t i = 0; i < 8; i += 4)
        k_.st(bytes + i, std::array{block.words[i], block.words[i + 1], block.words[i + 2], block.words[i + 3]}, v4);
    const auto pair = within >> 1U;
    const auto odd = (within & 1U) << 2U;
    const auto scales = (k_.mad_lo(pair, 16U, record) + odd + ring_super_block).as<shared_ptr<f32>>();
    k_.st(scales, block.scale);
    k_.st(scales + 2, scaled_sum);
}

/// What the products of types without a ring format take: the same numbers as f32.
void DecoderEmitter::store_block_dequantised(const Block& block, const Val<u32>& number) {
    const auto target = k_.mad_lo(number, 128U, at<u8>(plan_.shared.dequantised).as<u32>()).as<shared_ptr<f32>>();
    for (std::uint32_t i = 0; i < 8; i++) {
        Values four;
        for (std::uint32_t byte = 0; byte < 4; byte++) {
            const auto extended = k_.bfe(block.words[i].as<s32>(), 8 * byte, 8U);
            const auto value = k_.cvt<f32>(extended, rn);
            four.push_back(value * block.scale);
        }
        store(k_, target + (4 * (i / 2) + 16 * (i % 2)), four);
    }
}

void DecoderEmitter::take_blocks(std::uint32_t edge, std::uint32_t cols, WaitSite site, bool general) {
    k_.comment(fmt::format("{}", name(site)));
    tell_waiting(true);
    constexpr std::uint32_t threads = 32 * ring_warps;
    const std::uint32_t blocks = cols / block_values, all = ceil_div(cols, ring_super_block) * 8;
    for (std::uint32_t first = 0; first < all; first += threads) {
        const auto one = [&] {
            const auto number = thread_ + first;
            const auto has = number < blocks;
            const Block block =
                emit_poll_block(k_, block_edge(edge), number, has, epoch(), guard_, site, walk_.layer());
            // Blocks that fill up the last record are zero.
            const auto keep = [&] { store_block(block, number); };
            if (all % 32 == 0)
                keep();
            else
                k_.if_(number < all, keep);
            if (general) k_.if_(number < blocks, [&] { store_block_dequantised(block, number); });
        };
        if (all - first >= threads)
            one();
        else
            k_.if_(warp_ < ceil_div(all - first, 32), one);
    }
    tell_waiting(false);
    barrier();
}

Val<f32> DecoderEmitter::inverse_rms() {
    return emit_inverse_rms(k_, float_word(squares), config_.shape.hidden, config_.shape.norm_epsilon);
}

} // namespace ptxgen::kernels
