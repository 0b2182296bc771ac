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

void DecoderEmitter::each_super_block(std::uint32_t cols,
                                      const std::function<void(const Val<u32>&, const Val<u32>&, const Pred&)>& body) {
    const std::uint32_t super_blocks = ceil_div(cols, ring_super_block);
    for (std::uint32_t first = 0; first < super_blocks; first += ring_warps) {
        const auto one = [&] {
            const auto super_block = warp_ + first;
            const auto block = k_.mad_lo(super_block, 8u, group_);
            const auto within = quad_ * 4u;
            const auto column = k_.mad_lo(block, 32u, within);
            body(super_block, column, block < cols / 32);
        };
        if (super_blocks - first >= ring_warps)
            one();
        else
            k_.if_(warp_ < super_blocks - first, one);
    }
}

DecoderEmitter::VectorOfLane DecoderEmitter::zeros() {
    VectorOfLane values;
    for (int i = 0; i < 8; i++) values.push_back(k_.var<f32>(0.f));
    return values;
}

/// The elements 0 to 3 and 16 to 19 behind `from`; zeros where the lane has none.
void DecoderEmitter::load_lane(VectorOfLane& values, const Val<global_ptr<const f32>>& from, const Pred& has) {
    k_.predicated(has, [&] {
        for (std::uint32_t half = 0; half < 2; half++) {
            auto four = k_.ld(from + 16 * half, v4);
            for (std::uint32_t i = 0; i < 4; i++) values[4 * half + i] = std::move(four[i]);
        }
    });
}

void DecoderEmitter::quantise(const VectorOfLane& values, const Val<u32>& super_block, const Pred& has, bool general) {
    const auto record = at<u8>(plan_.shared.records) + super_block * ring_record_bytes;
    emit_quantize_record(k_, {values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]},
                         record, lane_);
    if (!general) return;
    // What the products of types without a ring format take: the same numbers as f32.
    k_.bar_warp_sync(0xffffffffu);
    const auto bytes = k_.ld((record + k_.mad_lo(group_, 32u, quad_ * 8u)).as<shared_ptr<u32>>(), v2);
    const auto pair = group_ >> 1;
    const auto in_pair = (group_ & 1) * 4u;
    const auto scale = k_.ld((record + k_.mad_lo(pair, 16u, in_pair) + 256).as<shared_ptr<f32>>());
    const auto block = k_.mad_lo(super_block, 8u, group_);
    const auto column = k_.mad_lo(block, 32u, quad_ * 4u);
    const auto target = at<f32>(plan_.shared.dequantised) + column;
    for (std::uint32_t half = 0; half < 2; half++) {
        Values four;
        for (std::uint32_t i = 0; i < 4; i++) {
            const auto byte = k_.bfe(bytes[half].as<s32>(), 8 * i, 8u);
            const auto number = k_.cvt<f32>(byte, rn);
            four.push_back(number * scale);
        }
        k_.predicated(has, [&] { store(k_, target + 16 * half, four); });
    }
}

void DecoderEmitter::finish_residual(VectorOfLane& x, VectorOfLane& norm, Var<f32>& sum, const Val<u32>& super_block,
                                     const Pred& has, bool general) {
    for (auto& value : x) sum = k_.fma(value, value, sum);
    for (std::size_t i = 0; i < 8; i++) norm[i] = norm[i] * x[i];
    quantise(norm, super_block, has, general);
}

void DecoderEmitter::take_embedding(const Val<global_ptr<const u8>>& norm, bool general) {
    k_.comment("the embedding, normed");
    auto sum = k_.var<f32>(0.f);
    each_super_block(config_.shape.hidden, [&](const auto& super_block, const auto& column, const Pred& has) {
        auto weight = zeros(), x = zeros();
        load_lane(weight, norm.template as<global_ptr<const f32>>() + column, has);
        const auto own = at<f32>(plan_.shared.x) + column;
        k_.predicated(has, [&] {
            for (std::uint32_t half = 0; half < 2; half++) {
                auto four = k_.ld(own + 16 * half, v4);
                for (std::uint32_t i = 0; i < 4; i++) x[4 * half + i] = std::move(four[i]);
            }
        });
        finish_residual(x, weight, sum, super_block, has, general);
    });
    const auto of_warp = lanes_sum(k_, sum);
    const auto target = float_word(squares) + warp_;
    k_.predicated(lane_ == 0, [&] { k_.st(target, of_warp); });
    barrier();
}

void DecoderEmitter::take_residual(std::uint32_t edge, WaitSite site, std::optional<LayerTensor> post_norm,
                                   const Val<global_ptr<const u8>>& norm, bool general) {
    k_.comment(fmt::format("x += {}, normed", name(site)));
    const std::uint32_t hidden = config_.shape.hidden;
    tell_waiting(true);
    const auto poll = [&](const Val<u32>& column, const Pred& has) {
        const auto from = packets(edge) + column;
        return emit_poll(k_, {from, from + 16}, 4, has, epoch_, guard_, {site, walk_.layer(), column});
    };
    std::vector<VectorOfLane> kept;
    std::optional<Val<f32>> post_scale;
    if (post_norm) {
        auto squares_of_y = k_.var<f32>(0.f);
        for (std::uint32_t r = 0; r < ceil_div(ceil_div(hidden, ring_super_block), ring_warps); r++)
            kept.push_back(zeros());
        std::size_t round = 0;
        each_super_block(hidden, [&](const auto&, const auto& column, const Pred& has) {
            const Values y = poll(column, has);
            for (std::size_t i = 0; i < 8; i++) {
                kept[round][i] = y[i];
                squares_of_y = k_.fma(y[i], y[i], squares_of_y);
            }
            round++;
        });
        const auto total = cta_sum(k_, squares_of_y, thread_, 32 * ring_warps, float_word(best_values), consumers_);
        const auto mean = k_.fma(total, k_.imm<f32>(1.0 / hidden), k_.imm<f32>(config_.shape.norm_epsilon));
        post_scale.emplace(k_.div(k_.imm<f32>(1.f), k_.sqrt(mean, rn)));
    }
    auto sum = k_.var<f32>(0.f);
    std::size_t round = 0;
    each_super_block(hidden, [&](const auto& super_block, const auto& column, const Pred& has) {
        auto weight = zeros(), x = zeros();
        load_lane(weight, norm.template as<global_ptr<const f32>>() + column, has);
        const auto own = at<f32>(plan_.shared.x) + column;
        if (post_norm) {
            auto post = zeros();
            load_lane(post, walk_.tensor(*post_norm).template as<global_ptr<const f32>>() + column, has);
            for (std::size_t i = 0; i < 8; i++) {
                const auto scaled = kept[round][i] * *post_scale;
                x[i] = scaled * post[i];
            }
            round++;
        } else {
            const Values y = poll(column, has);
            for (std::size_t i = 0; i < 8; i++) x[i] = y[i];
        }
        k_.predicated(has, [&] {
            for (std::uint32_t half = 0; half < 2; half++) {
                const auto before = k_.ld(own + 16 * half, v4);
                for (std::uint32_t i = 0; i < 4; i++) x[4 * half + i] = before[i] + x[4 * half + i];
                k_.st(own + 16 * half,
                      std::array<Val<f32>, 4>{Val<f32>(k_.state(), x[4 * half].operand()),
                                              Val<f32>(k_.state(), x[4 * half + 1].operand()),
                                              Val<f32>(k_.state(), x[4 * half + 2].operand()),
                                              Val<f32>(k_.state(), x[4 * half + 3].operand())},
                      v4);
            }
        });
        finish_residual(x, weight, sum, super_block, has, general);
    });
    const auto of_warp = lanes_sum(k_, sum);
    const auto target = float_word(squares) + warp_;
    k_.predicated(lane_ == 0, [&] { k_.st(target, of_warp); });
    tell_waiting(false);
    barrier();
}

void DecoderEmitter::take_vector(std::uint32_t edge, std::uint32_t cols, WaitSite site, bool general) {
    k_.comment(fmt::format("{}", name(site)));
    tell_waiting(true);
    each_super_block(cols, [&](const auto& super_block, const auto& column, const Pred& has) {
        const auto from = packets(edge) + column;
        const Values values = emit_poll(k_, {from, from + 16}, 4, has, epoch_, guard_, {site, walk_.layer(), column});
        VectorOfLane own;
        for (const auto& value : values) own.push_back(k_.var<f32>(value));
        quantise(own, super_block, has, general);
    });
    tell_waiting(false);
    barrier();
}

Val<f32> DecoderEmitter::inverse_rms() {
    auto sum = k_.var<f32>(0.f);
    for (std::uint32_t w = 0; w < ring_warps; w += 4)
        for (const auto& part : k_.ld(float_word(squares) + w, v4)) sum += part;
    const auto mean = k_.fma(sum, k_.imm<f32>(1.0 / config_.shape.hidden), k_.imm<f32>(config_.shape.norm_epsilon));
    return k_.rsqrt(mean, approx);
}

} // namespace ptxgen::kernels
