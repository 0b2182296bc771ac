#include "kernels/dequant/decoders.hpp"
#include "kernels/dequant/words.hpp"

#include <cassert>
#include <optional>

namespace ptxgen::kernels {
namespace {

enum class Scale : std::uint8_t { half, half_and_minimum, e8m0, iq4_xs };

/// A block of 32 weights: scale, then perhaps 32 fifth bits, then 16 bytes whose low nibbles are elements 0 to 15 and
/// whose high nibbles are 16 to 31. IQ4_XS has eight of these behind a header with all scales.
struct NibbleFormat {
    TensorType type;
    Scale scale;
    std::int32_t fifth_bits_at; ///< byte of the block; -1: four bits
    std::int32_t nibbles_at;
    std::uint32_t alignment;  ///< of every block, and so of the fields
    const NibbleTable* table; ///< nullptr: the number itself
    float zero;               ///< the number (or table byte) that means 0
};

constexpr NibbleFormat formats[] = {
    {TensorType::q4_0, Scale::half, -1, 2, 2, nullptr, 8},
    {TensorType::q4_1, Scale::half_and_minimum, -1, 4, 4, nullptr, 0},
    {TensorType::q5_0, Scale::half, 2, 6, 2, nullptr, 16},
    {TensorType::q5_1, Scale::half_and_minimum, 4, 8, 8, nullptr, 0},
    {TensorType::iq4_nl, Scale::half, -1, 2, 2, &iq4_table, 128},
    {TensorType::iq4_xs, Scale::iq4_xs, -1, 8, 8, &iq4_table, 128},
    {TensorType::mxfp4, Scale::e8m0, -1, 1, 1, &e2m1_table, 12},
};

/// Bytes of IQ4's table need all eight bits.
bool has_small_bytes(const NibbleFormat& format) { return format.table != &iq4_table; }

/// 2^(e − 128): half of E8M0's 2^(e − 127), since the table holds doubled values. The two lowest are subnormal.
Val<f32> e8m0_scale(KernelBuilder& k, const Val<u32>& e) {
    const auto normal = (e - 1U) << 23U;
    const auto subnormal = k.shl(k.imm<u32>(0x00200000U), e);
    return k.selp(normal, subnormal, e >= 2U).as<f32>();
}

class NibbleUnit : public LoadedUnit {
public:
    /// `part`: which 32 weights of an IQ4_XS block.
    NibbleUnit(KernelBuilder& k, const NibbleFormat& format, const WeightPtr& block, std::optional<Val<u32>> part)
        : k_(k), format_(format), part_(part) {
        switch (format.scale) {
        case Scale::half: raw_scale_.push_back(k.ld(block.as<global_ptr<const f16>>())); break;
        case Scale::half_and_minimum:
            for (const auto& half : k.ld(block.as<global_ptr<const f16>>(), v2)) raw_scale_.push_back(half);
            break;
        case Scale::e8m0: header_.push_back(k.ld_wide<u32>(block)); break;
        case Scale::iq4_xs:
            raw_scale_.push_back(k.ld(block.as<global_ptr<const f16>>()));
            header_.push_back(k.ld_wide<u32>((block + 2).as<global_ptr<const u16>>()));
            header_.push_back(k.ld((block + 4).as<global_ptr<const u32>>()));
            break;
        }
        if (format.fifth_bits_at >= 0)
            fifth_bits_ = load_words(k, block + format.fifth_bits_at, 1, format.alignment >= 4 ? 4 : 2);
        if (part)
            nibbles_ = load_words(k, block + *part * 16U + format.nibbles_at, 4, format.alignment);
        else
            nibbles_ = load_words(k, block + format.nibbles_at, 4, format.alignment);
    }

    void prepare() override {
        switch (format_.scale) {
        case Scale::half: scales_.push_back(k_.cvt<f32>(raw_scale_[0])); break;
        case Scale::half_and_minimum:
            scales_.push_back(k_.cvt<f32>(raw_scale_[0]));
            minima_.push_back(k_.cvt<f32>(raw_scale_[1]));
            break;
        case Scale::e8m0: scales_.push_back(e8m0_scale(k_, header_[0])); break;
        case Scale::iq4_xs: {
            // Six bits, of which two stand apart.
            const auto high = k_.bfe(header_[0], *part_ * 2U, 2U);
            const auto low = k_.bfe(header_[1], *part_ * 4U, 4U);
            const auto bits = k_.cvt<f32>(k_.mad_lo(high, 16U, low), rn);
            const auto d = k_.cvt<f32>(raw_scale_[0]);
            scales_.push_back(k_.fma(d, bits, d * -32.0F));
        }
        }
    }

    // Chunks 2w and 2w + 1 are the low and the high nibbles of word w.
    std::vector<Val<f32>> values(std::size_t chunk) override {
        const std::size_t word = chunk / 2;
        const bool high = chunk % 2 != 0;
        std::vector<Val<f32>> values;
        if (format_.table) {
            if (!high) looked_up_.emplace(look_up_nibbles(k_, nibbles_[word], *format_.table));
            for (std::uint32_t i = 0; i < 4; i++) {
                const auto& bytes = (*looked_up_)[i / 2];
                const std::uint32_t index = i % 2 * 2 + (high ? 1 : 0); // low and high nibbles alternate
                values.push_back(has_small_bytes(format_) ? mantissa_byte(k_, bytes, index, five_bits)
                                                          : biased_byte(k_, bytes, index, format_.zero));
            }
            return values;
        }
        std::vector<Val<u32>> bytes;
        bytes.push_back(shift_mask(nibbles_[word], high ? -2 : 2, 0x3C3C3C3CU));
        if (!fifth_bits_.empty()) {
            const std::uint32_t first = static_cast<std::uint32_t>(word) * 4 + (high ? 16 : 0);
            // The product puts bit i of four at bit 8i + 6.
            const auto four = k_.bfe(fifth_bits_[0], first, 4U);
            bytes.push_back(mask_or(k_, four * 0x08102040U, 0x40404040U, bytes[0]));
        }
        for (std::uint32_t i = 0; i < 4; i++) values.push_back(mantissa_byte(k_, bytes.back(), i, five_bits));
        return values;
    }

private:
    KernelBuilder k_;
    const NibbleFormat& format_;
    std::optional<Val<u32>> part_;
    std::vector<Val<f16>> raw_scale_;
    std::vector<Val<u32>> header_, fifth_bits_, nibbles_;
    std::optional<std::array<Val<u32>, 2>> looked_up_;
};

class NibbleBlockDecoder : public UnitDecoder {
public:
    explicit NibbleBlockDecoder(const NibbleFormat& format) : format_(format) {
        shape_.block_elements = tensor_type_info(format.type).block_elements;
        shape_.block_bytes = tensor_type_info(format.type).block_bytes;
        shape_.units = shape_.block_elements / 32;
        for (std::uint32_t word = 0; word < 4; word++) {
            shape_.chunks.push_back({4 * word, 0});
            shape_.chunks.push_back({4 * word + 16, 0});
        }
        shape_.groups = 1;
        shape_.has_minimum = format.scale == Scale::half_and_minimum;
        shape_.offset = has_small_bytes(format) ? five_bits.offset + format.zero : 0;
    }

    void select_unit(KernelBuilder&, const Val<u32>& unit) override { part_.emplace(unit); }
    Val<u32> element_offset(KernelBuilder& k) override { return part_ ? *part_ * 32U : k.imm<u32>(0); }
    std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) override {
        return std::make_unique<NibbleUnit>(k, format_, block, part_);
    }

private:
    const NibbleFormat& format_;
    std::optional<Val<u32>> part_;
};

} // namespace

std::unique_ptr<UnitDecoder> nibble_block_decoder(TensorType type) {
    for (const auto& format : formats)
        if (format.type == type) return std::make_unique<NibbleBlockDecoder>(format);
    assert(!"not a type of 32 nibbles");
    return nullptr;
}

} // namespace ptxgen::kernels
