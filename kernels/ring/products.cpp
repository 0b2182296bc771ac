#include "kernels/ring/products.hpp"

namespace ptxgen::kernels {
namespace {

Val<u32> read(KernelBuilder& k, const Var<u32>& word) { return {k.state(), word.operand()}; }
Val<f32> read(KernelBuilder& k, const Var<f32>& value) { return {k.state(), value.operand()}; }

/// dots[i] as a float: its bits are those of a float that is `raised` too large.
Val<f32> lowered(const Val<s32>& dot, float raised) { return dot.as<f32>() - raised; }

/// Q4_K: w = d · sc · q − dmin · m. The six-bit fields become floats in one instruction, being put into the mantissa of
/// a power of two; the product with an activation's scale subtracts the power.
class ProductQ4K final : public RingProduct {
public:
    ProductQ4K(KernelBuilder& k, const RingFormat& format, const RingLane& lane) : RingProduct(k, format, lane) {
        raise_dots();
        for (const std::uint32_t position : {0U, 6U, 12U})
            powers_.push_back(emit_opaque(k_, k_.imm<u32>(0x4B000000U - (position << 23))));
    }

    bool has_minima() const override { return true; }
    RowScales row_scales(const RingUnit& unit) override {
        const Header h = header(unit, true);
        RowScales scales;
        for (std::size_t row = 0; row < 2; row++) {
            for (std::size_t i = 0; i < 2; i++) {
                scales.scale[row].push_back(h.floats[4 * row + i] * h.floats[8 + 2 * row]);
                scales.minimum[row].push_back(h.floats[4 * row + 2 + i]);
            }
            scales.minimum_scale[row].emplace(h.floats[9 + 2 * row]);
        }
        return scales;
    }

private:
    std::vector<HeaderLoad> header_loads() const override {
        return {{2048, 4, 0, 1}, {2176, 2, 0, 1, true}, {2240, 0, 8, 2}};
    }

    /// The fields' floats, raised by raised_field(i); for several tokens lowered: of row g two scales, two minima, then
    /// of row g + 8; then d, -dmin of both rows.
    Header header(const RingUnit& unit, bool shared) override {
        Header h;
        const auto word_g = read(k_, unit.header[0]);
        const auto word_h = k_.prmt(word_g, read(k_, unit.header[1]), 0x5543U);
        for (const auto& word : {word_g, word_h})
            for (std::uint32_t field = 0; field < 4; field++) {
                const std::uint32_t position = field == 3 ? 0 : 6 * field;
                const auto in_place = field == 3 ? word >> 18U : word;
                const auto raised = k_.lop3(in_place, 63U << position, powers_[position / 6], 0xEA).as<f32>();
                h.floats.push_back(shared ? raised - raised_field(field) : raised);
            }
        for (std::size_t row = 0; row < 2; row++) {
            const auto halves = emit_unpack_halves(k_, read(k_, unit.header[2 + row]));
            h.floats.push_back(halves[0]);
            h.floats.push_back(-halves[1]);
        }
        lowered_fields_ = shared;
        return h;
    }

    static float raised_field(std::uint32_t field) {
        return 8388608.0F / static_cast<float>(1U << (field == 3 ? 0 : 6 * field));
    }

    void combine(const Header& h, const Dots& dots, const RingActivations& activations, Sums& sums) override {
        std::vector<Val<f32>> bases; // what the fields' powers contribute
        for (std::uint32_t field = 0; !lowered_fields_ && field < 4; field++)
            bases.push_back(read(k_, activations.scales[field]) * -raised_field(field));
        const auto scaled = [&](std::size_t row, std::size_t field) {
            const auto& value = h.floats[4 * row + field];
            const auto by = read(k_, activations.scales[field]);
            return lowered_fields_ ? value * by : k_.fma(value, by, bases[field]);
        };
        for (std::size_t row = 0; row < 2; row++) {
            const auto dot_0 = lowered(dots[2 * row], raised_by(0));
            const auto products_0 = dot_0 * scaled(row, 0);
            const auto dot_1 = lowered(dots[2 * row + 1], raised_by(1));
            const auto products = k_.fma(dot_1, scaled(row, 1), products_0);
            const auto minimum_0 = scaled(row, 2);
            const auto minimum_1 = scaled(row, 3);
            const auto minima = minimum_0 + minimum_1;
            sums[row] = k_.fma(h.floats[8 + 2 * row], products, sums[row]);
            sums[row] = k_.fma(h.floats[9 + 2 * row], minima, sums[row]);
        }
    }

    std::vector<Val<u32>> powers_;
    bool lowered_fields_ = false;
};

/// Q6_K: w = d · sc · q with a signed scale for each 16 columns. Dots are four times too large, as codes stand in the
/// top of their bytes; scale times dot is exact in 32 bits.
class ProductQ6K final : public RingProduct {
public:
    ProductQ6K(KernelBuilder& k, const RingFormat& format, const RingLane& lane) : RingProduct(k, format, lane) {
        finish_ = 0.25F;
    }

    bool sixteen_columns() const override { return true; }
    RowScales row_scales(const RingUnit& unit) override {
        const Header h = header(unit, true);
        RowScales scales;
        for (std::size_t row = 0; row < 2; row++)
            for (std::size_t i = 0; i < 4; i++) {
                const auto scale = k_.cvt<f32>(h.integers[4 * row + i], rn);
                scales.scale[row].push_back(scale * h.floats[row]);
            }
        return scales;
    }

private:
    std::size_t scale_count() const override { return 2; }
    std::vector<HeaderLoad> header_loads() const override { return {{3072, 8, 0, 2}, {3328, 0, 4, 1}}; }

    // The scales of the 32-blocks q and 4 + q.
    void load_scales(RingActivations& activations, const Val<shared_ptr<u8>>& record) override {
        const auto odd = lane_.quad & 1U;
        const auto odd_offset = odd << 2U;
        const auto pair = lane_.quad >> 1U;
        const auto offset = k_.mad_lo(pair, 16U, odd_offset);
        const auto from = (record + offset + ring_super_block).as<shared_ptr<f32>>();
        activations.scales[0] = k_.ld(from);
        activations.scales[1] = k_.ld(from + 8);
    }

    Header header(const RingUnit& unit, bool) override {
        Header h;
        for (std::size_t row = 0; row < 2; row++)
            for (std::uint32_t i = 0; i < 4; i++) {
                const std::uint32_t sign = i | 8U;
                const auto selector = k_.imm<u32>(i | sign << 4 | sign << 8 | sign << 12);
                h.integers.push_back(k_.prmt(read(k_, unit.header[row]), k_.imm<u32>(0), selector).as<s32>());
            }
        for (const auto& d : emit_unpack_halves(k_, read(k_, unit.header[2]))) h.floats.push_back(d);
        return h;
    }

    void combine(const Header& h, const Dots& dots, const RingActivations& activations, Sums& sums) override {
        for (std::size_t row = 0; row < 2; row++) {
            std::vector<Val<f32>> halves;
            for (std::size_t half = 0; half < 2; half++) {
                const auto first = dots[4 * half + 2 * row] * h.integers[4 * row + 2 * half];
                const auto both = k_.mad_lo(dots[4 * half + 2 * row + 1], h.integers[4 * row + 2 * half + 1], first);
                halves.push_back(k_.cvt<f32>(both, rn));
            }
            const auto upper = halves[1] * read(k_, activations.scales[1]);
            const auto products = k_.fma(halves[0], read(k_, activations.scales[0]), upper);
            sums[row] = k_.fma(h.floats[row], products, sums[row]);
        }
    }
};

/// Blocks of 32 with f16 fields: w = d · q (+ m).
class ProductBlocks final : public RingProduct {
public:
    ProductBlocks(KernelBuilder& k, const RingFormat& format, const RingLane& lane) : RingProduct(k, format, lane) {
        raise_dots();
    }

    bool has_minima() const override { return format_.type == TensorType::q4_1; }
    RowScales row_scales(const RingUnit& unit) override {
        const Header h = header(unit, true);
        const std::size_t fields = has_minima() ? 2 : 1;
        RowScales scales;
        for (std::size_t row = 0; row < 2; row++)
            for (std::size_t i = 0; i < 2; i++) {
                const std::size_t at = fields * (2 * row + i);
                scales.scale[row].push_back(h.floats[at]);
                if (has_minima()) scales.minimum[row].push_back(h.floats[at + 1]);
            }
        return scales;
    }

private:
    std::size_t scale_count() const override { return has_minima() ? 4 : 2; }
    std::vector<HeaderLoad> header_loads() const override {
        const std::uint32_t words = has_minima() ? 4 : 2;
        return {{format_.header_offset(), 4 * words, 0, words}};
    }

    // d (and m) of blocks 2q and 2q + 1 of row g, then of row g + 8.
    Header header(const RingUnit& unit, bool) override {
        Header h;
        for (const auto& word : unit.header)
            for (const auto& value : emit_unpack_halves(k_, read(k_, word))) h.floats.push_back(value);
        return h;
    }

    void combine(const Header& h, const Dots& dots, const RingActivations& activations, Sums& sums) override {
        const std::size_t fields = has_minima() ? 2 : 1;
        for (std::size_t row = 0; row < 2; row++)
            for (std::size_t block = 0; block < 2; block++) {
                const std::size_t at = fields * (2 * row + block);
                const auto dot = lowered(dots[2 * row + block], raised_by(static_cast<std::uint32_t>(block)));
                const auto product = dot * read(k_, activations.scales[block]);
                sums[row] = k_.fma(h.floats[at], product, sums[row]);
                if (has_minima())
                    sums[row] = k_.fma(h.floats[at + 1], read(k_, activations.scales[2 + block]), sums[row]);
            }
    }
};

} // namespace

std::array<Val<f32>, 2> emit_unpack_halves(KernelBuilder& k, const Val<u32>& word) {
    const auto upper = word >> 16U;
    const auto first = k.cvt<f32>(k.cvt<u16>(word).as<f16>());
    const auto second = k.cvt<f32>(k.cvt<u16>(upper).as<f16>());
    return {first, second};
}

std::unique_ptr<RingProduct> ring_product_q4_k(KernelBuilder& k, const RingFormat& format, const RingLane& lane) {
    return std::make_unique<ProductQ4K>(k, format, lane);
}
std::unique_ptr<RingProduct> ring_product_q6_k(KernelBuilder& k, const RingFormat& format, const RingLane& lane) {
    return std::make_unique<ProductQ6K>(k, format, lane);
}
std::unique_ptr<RingProduct> ring_product_blocks(KernelBuilder& k, const RingFormat& format, const RingLane& lane) {
    return std::make_unique<ProductBlocks>(k, format, lane);
}

} // namespace ptxgen::kernels
