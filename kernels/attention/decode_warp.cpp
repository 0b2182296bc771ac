// Attention by tensor cores: keys are the first operand of m16n8k16, a row each, queries the second, a column each;
// then values, transposed, are the first and the weights the second. Which elements of a row a lane's registers take
// for which column of an operand is free, if both operands agree: each lane loads 16 neighbouring bytes.
#include "kernels/attention/decode_attention.hpp"
#include "kernels/common/index.hpp"
#include "kernels/common/reduce.hpp"

#include <limits>
#include <numbers>

namespace ptxgen::kernels {
namespace {

/// Weights are 2^(score − maximum + this): the smallest f16 with all its bits is 2^-14.
constexpr float weight_exponent = 14;

template <pointer_type P>
void load_words(KernelBuilder& k, std::span<Var<u32>> to, const Val<P>& from) {
    if (to.size() == 4) {
        auto words = k.ld(from, v4);
        for (std::size_t i = 0; i < 4; i++) to[i] = std::move(words[i]);
    } else {
        auto words = k.ld(from, v2);
        for (std::size_t i = 0; i < 2; i++) to[i] = std::move(words[i]);
    }
}

/// Words of a value's row that a lane holds lie together in fours, 64 elements of a row for eight lanes, and in twos
/// for the last 32 elements: emits access(first word, words, bytes from the row's start) for each.
template <class Access>
void value_pieces(std::uint32_t head_dim, const Val<u32>& group, Access access) {
    const std::uint32_t whole = head_dim / 64;
    for (std::uint32_t c = 0; c < whole; c++) access(4 * c, 4, group * 16 + 128 * c);
    if (head_dim % 64) access(4 * whole, 2, group * 8 + 128 * whole);
}

} // namespace

template <pointer_type P>
void emit_query_columns(KernelBuilder& k, const DecodeAttentionPlan& plan, const Val<P>& row,
                        const Val<shared_ptr<u8>>& columns, const Val<u32>& head, const Val<u32>& lane) {
    const std::uint32_t dim = plan.config.cache.head_dim;
    const auto own = columns + head * (2 * plan.column_stride());
    const auto upper = own.template as<shared_ptr<f16>>();
    const auto lower = (own + plan.column_stride()).template as<shared_ptr<f16>>();
    // Of eight neighbouring elements, pairs 0, 2, 1, 3: what lanes take together.
    const auto eight = lane >> 1;
    const auto pair = k.mad_lo(eight, 8, (lane & 1) * 2);
    const auto convert = [&](const Val<u32>& element) {
        const Values values = load(k, row + element, 4);
        Values rests;
        for (const auto& value : values) {
            const auto rounded = k.cvt<f16>(value, rn);
            const auto back = k.cvt<f32>(rounded);
            rests.push_back(value - back);
        }
        for (std::uint32_t i = 0; i < 2; i++) {
            store(k, upper + (pair + 4 * i), {values[2 * i], values[2 * i + 1]});
            store(k, lower + (pair + 4 * i), {rests[2 * i], rests[2 * i + 1]});
        }
    };
    const auto element = lane * 4;
    if (dim == 128)
        convert(element);
    else
        k.if_(element < dim, [&] { convert(element); });
}
template void emit_query_columns(KernelBuilder&, const DecodeAttentionPlan&, const Val<global_ptr<const f32>>&,
                                 const Val<shared_ptr<u8>>&, const Val<u32>&, const Val<u32>&);
template void emit_query_columns(KernelBuilder&, const DecodeAttentionPlan&, const Val<shared_ptr<f32>>&,
                                 const Val<shared_ptr<u8>>&, const Val<u32>&, const Val<u32>&);

DecodeWarp::DecodeWarp(KernelBuilder& k, const DecodeAttentionPlan& plan, Rows keys, Rows values,
                       std::optional<Fresh> fresh, const Val<u32>& begin, const Val<u32>& end, const Val<u32>& warp,
                       const Val<u32>& lane)
    : k_(k), plan_(plan), keys_at_(std::move(keys)), values_at_(std::move(values)), fresh_(std::move(fresh)), end_(end),
      warp_(warp), group_(lane >> 2), quad_(lane & 3), base_(k.var<u32>(k.mad_lo(warp, plan.warp_positions, begin))) {
    const std::uint32_t dim = plan.config.cache.head_dim, rows = plan.warp_positions / 8;
    for (std::uint32_t i = 0; i < rows * dim / 8; i++) keys_.push_back(k_.var<u32>(0u));
    for (std::uint32_t i = 0; i < rows * dim / 8; i++) values_.push_back(k_.var<u32>(0u));
}

std::uint32_t DecodeWarp::row_bytes() const { return 2 * plan_.config.cache.head_dim; }

Pred DecodeWarp::is_fresh(const Val<u32>& position) { return (position + 1 == end_) & fresh_->is_last; }

Pred DecodeWarp::is_stored(const Val<u32>& position) {
    const auto exists = position < end_;
    if (!fresh_) return exists;
    return exists & !is_fresh(position);
}

void DecodeWarp::request() {
    k_.comment("the first keys and values");
    request_keys();
    request_values();
}

void DecodeWarp::request_keys() {
    const std::uint32_t words = row_bytes() / 16; // of a row, for each of four lanes
    const auto position = base_ + group_;
    const auto keys = keys_at_();
    const auto in_row = quad_ * 16;
    const auto address = keys + in_row;
    const auto own = k_.mad_wide(position, row_bytes(), address.as<u64>()).as<global_ptr<const u8>>();
    for (std::uint32_t u = 0; u < plan_.warp_positions / 8; u++) {
        const Pred exists = is_stored(position + 8 * u);
        for (std::uint32_t w = 0; w < words; w += 4) {
            const auto from = (own + (8 * u * row_bytes() + 16 * w)).as<global_ptr<const u32>>();
            k_.predicated(exists, [&] { load_words(k_, std::span(keys_).subspan(u * words + w, 4), from); });
        }
    }
}

void DecodeWarp::request_values() {
    const std::uint32_t words = row_bytes() / 32; // of a row, for each of eight lanes
    const auto position = k_.mad_lo(quad_, 2, base_);
    const auto first = k_.mad_wide(position, row_bytes(), values_at_().as<u64>()).as<global_ptr<const u8>>();
    value_pieces(plan_.config.cache.head_dim, group_, [&](std::uint32_t word, std::uint32_t count, const auto& bytes) {
        const auto own = first + bytes;
        for (std::uint32_t row = 0; row < plan_.warp_positions / 4; row++) {
            const std::uint32_t number = row / 2 * 8 + row % 2; // of the warp's positions, behind twice the quad
            const Pred exists = is_stored(position + number);
            const auto from = (own + number * row_bytes()).template as<global_ptr<const u32>>();
            k_.predicated(exists, [&] { load_words(k_, std::span(values_).subspan(row * words + word, count), from); });
        }
    });
}

Val<f16x2> DecodeWarp::transposed(const Val<f16x2>& pair) {
    if (plan_.movmatrix) return k_.movmatrix_sync(pair.as<b32>()).as<f16x2>();
    const auto source = k_.mad_lo(quad_, 8, group_ >> 1);
    const auto bits = pair.as<u32>();
    const Val<u32> first = k_.shfl_sync_idx(bits, source, 31, 0xffffffffu);
    const Val<u32> second = k_.shfl_sync_idx(bits, source + 4, 31, 0xffffffffu);
    const auto selector = k_.selp(k_.imm<u32>(0x7632), k_.imm<u32>(0x5410), (group_ & 1) != 0);
    return k_.prmt(first, second, selector).as<f16x2>();
}

void DecodeWarp::attend(const Val<shared_ptr<u8>>& columns, const std::function<Val<u32>()>& heads,
                        const Val<shared_ptr<u8>>& parts) {
    const std::uint32_t dim = plan_.config.cache.head_dim, tiles = plan_.warp_positions / 8;
    const std::uint32_t key_words = dim / 8, value_words = dim / 16;
    // Lane (group, quad) has the scores of positions 8 u + group for head quad.
    auto top = k_.var<f32>(lowest_score);
    auto total = k_.var<f32>(0.f);
    Accumulators o = accumulators(k_, dim / 8, 0.f);
    const Val<f32> nothing = k_.var<f32>(0.f);
    const auto own_head = k_.selp(group_, k_.imm<u32>(0), group_ < heads() * 2);
    const auto column = k_.mad_lo(own_head, plan_.column_stride(), columns.as<u32>());
    const auto own_column = column.as<shared_ptr<u8>>() + quad_ * 16;

    k_.if_(base_ < end_, [&] {
        const LabelRef again = k_.label("positions");
        k_.place(again);
        const auto position = base_ + group_;
        if (fresh_) {
            const auto row = fresh_->key + quad_ * 16;
            for (std::uint32_t u = 0; u < tiles; u++) {
                const Pred from_shared = is_fresh(position + 8 * u);
                for (std::uint32_t w = 0; w < key_words; w += 4) {
                    const auto from = (row + 16 * w).as<shared_ptr<u32>>();
                    k_.predicated(from_shared,
                                  [&] { load_words(k_, std::span(keys_).subspan(u * key_words + w, 4), from); });
                }
            }
        }
        // A lane's four words of a key's row are an operand as they are. Its rows 0 to 7 are the row's elements of the
        // first and third word, rows 8 to 15 those of the others: two products with the queries' elements for each, of
        // whose results one half counts.
        using Sums = std::array<Val<f32>, 4>;
        const Sums start{nothing, nothing, nothing, nothing};
        const auto to_log2 = k_.imm<f32>(plan_.config.scale * std::numbers::log2e);
        Values scores;
        for (std::uint32_t u = 0; u < tiles; u++) {
            Values halves;
            for (std::uint32_t half = 0; half < 2; half++) {
                std::vector<Sums> chain{start};
                for (std::uint32_t w = 0; w < key_words; w += 4) {
                    const auto query = k_.ld((own_column + (16 * w + 8 * half)).as<shared_ptr<u32>>(), v2);
                    const auto word = [&](std::uint32_t i) {
                        return Val<u32>(keys_[u * key_words + w + i]).as<f16x2>();
                    };
                    const std::array<Val<f16x2>, 4> a{word(0), word(1), word(2), word(3)};
                    const std::array<Val<f16x2>, 2> b{query[0].as<f16x2>(), query[1].as<f16x2>()};
                    chain.push_back(k_.mma_sync_m16n8k16(a, b, chain.back(), f32_f16_f16_f32));
                }
                halves.push_back(chain.back()[2 * half] + chain.back()[2 * half + 1]);
            }
            const auto sum = halves[0] + halves[1];
            const auto score = sum * to_log2;
            const auto exists = position + 8 * u < end_;
            scores.push_back(k_.selp(score, k_.imm<f32>(-std::numeric_limits<float>::infinity()), exists));
        }
        const auto old_values = k_.mad_lo(quad_, 2, base_); // before the next rows are asked for
        base_ += decode_warps * plan_.warp_positions;
        request_keys();

        const Val<f32> best = tiles == 2 ? Val<f32>(k_.max(scores[0], scores[1])) : scores[0];
        const Val<f32> best_of_all = lanes_max(k_, best, 4, 32);
        const Val<f32> new_top = k_.max(top, best_of_all);
        const auto from_top = top - new_top;
        const Val<f32> rescale = k_.ex2(from_top, approx);
        top = new_top;
        const Val<f32> shift = new_top - weight_exponent;
        total = total * rescale;
        std::vector<Val<f16x2>> weights;
        for (std::uint32_t u = 0; u < tiles; u++) {
            const auto from_shift = scores[u] - shift;
            const Val<f32> weight = k_.ex2(from_shift, approx);
            total += weight;
            const auto rounded = k_.cvt<f16>(weight, rn);
            const auto back = k_.cvt<f32>(rounded);
            const auto rest = weight - back;
            const auto both = k_.cvt<f16x2>(rest, back, rn);
            weights.push_back(transposed(both));
        }
        if (fresh_)
            value_pieces(dim, group_, [&](std::uint32_t word, std::uint32_t count, const auto& bytes) {
                const auto from = (fresh_->value + bytes).template as<shared_ptr<u32>>();
                for (std::uint32_t row = 0; row < 2 * tiles; row++) {
                    const Pred from_shared = is_fresh(old_values + (row / 2 * 8 + row % 2));
                    k_.predicated(from_shared, [&] {
                        load_words(k_, std::span(values_).subspan(row * value_words + word, count), from);
                    });
                }
            });
        for (std::uint32_t w = 0; w < value_words; w++) {
            const auto rows_of = [&](std::uint32_t u, std::uint32_t selector) {
                const auto& first = values_[2 * u * value_words + w];
                const auto& second = values_[(2 * u + 1) * value_words + w];
                return k_.prmt(first, second, selector).template as<f16x2>();
            };
            const auto even = rows_of(0, 0x5410U);
            const auto odd = rows_of(0, 0x7632U);
            const auto multiply = [&]() -> Sums {
                const std::array<Val<f16x2>, 2> pair{even, odd};
                if (tiles == 1)
                    return k_.mma_sync_m16n8k8(pair, std::array<Val<f16x2>, 1>{weights[0]}, start, f32_f16_f16_f32);
                const auto even_1 = rows_of(1, 0x5410U);
                const auto odd_1 = rows_of(1, 0x7632U);
                const std::array<Val<f16x2>, 4> all{even, odd, even_1, odd_1};
                return k_.mma_sync_m16n8k16(all, std::array<Val<f16x2>, 2>{weights[0], weights[1]}, start,
                                            f32_f16_f16_f32);
            };
            const Sums sums = multiply();
            for (std::uint32_t i = 0; i < 2; i++) {
                const auto sum = sums[2 * i] + sums[2 * i + 1];
                o[2 * w + i] = k_.fma(o[2 * w + i], rescale, sum);
            }
        }
        request_values();
        k_.bra_if(base_ < end_, again);
    });
    total = lanes_sum(k_, total, 4, 32);

    k_.if_(quad_ < heads(), [&] {
        const auto slot = k_.mad_lo(warp_, plan_.max_heads, quad_);
        const auto m = parts.as<shared_ptr<f32>>() + slot;
        k_.st(m, top);
        k_.st(m + decode_warps * plan_.max_heads, total);
        const auto row = k_.mad_lo(slot, 4 * plan_.row_stride(), (parts + plan_.sums_offset()).as<u32>());
        value_pieces(dim, group_, [&](std::uint32_t word, std::uint32_t count, const auto& bytes) {
            const auto own = (row.template as<shared_ptr<u8>>() + bytes * 2).template as<shared_ptr<f32>>();
            for (std::uint32_t i = 0; i < 2 * count; i += 4) {
                const auto& from = o;
                const std::size_t first = 2 * word + i;
                store(k_, own + i, {from[first], from[first + 1], from[first + 2], from[first + 3]});
            }
        });
    });
}

} // namespace ptxgen::kernels
