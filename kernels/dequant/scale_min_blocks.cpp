#include "kernels/dequant/decoders.hpp"
#include "kernels/dequant/words.hpp"

#include <optional>

namespace ptxgen::kernels {
namespace {

/// Q4_K and Q5_K: 256 weights as 8 sub-blocks of 32, each with a 6-bit scale and minimum, packed into 12 bytes, and
/// nibbles of sub-blocks 2c and 2c + 1 in the bytes 32c to 32c + 31. A unit is such a pair of sub-blocks.
struct Place {
    Val<u32> pair;       ///< c
    Val<u32> select;     ///< prmt selector of the pair's two bytes in both operands
    Pred upper;          ///< c >= 2: scales whose upper bits stand apart
    Val<u32> fifth_bits; ///< 2c, their shift
    Val<u32> bytes;      ///< 32c
};

class ScaleMinUnit : public LoadedUnit {
public:
    ScaleMinUnit(KernelBuilder& k, TensorType type, const Place& place, const WeightPtr& block)
        : k_(k), place_(place), halves_(k.ld(block.as<global_ptr<const f16>>(), v2)),
          packed_(load_words(k, block + 4, 1, 4)) {
        for (const auto& word : load_words(k, block + 8, 2, 8)) packed_.push_back(word);
        if (type == TensorType::q5_k) fifth_bits_ = load_words(k, block + 16, 8, 16);
        nibbles_ = load_words(k, block + place.bytes + (type == TensorType::q5_k ? 48 : 16), 8, 16);
    }

    void prepare() override {
        // Bytes: both scales, both minima.
        const auto first = k_.prmt(packed_[0], packed_[1], place_.select);
        const auto last = k_.prmt(packed_[2], packed_[2] >> 4U, place_.select);
        const auto lower = first & 0x3F3F3F3FU;
        const auto nibbles = last & 0x0F0F0F0FU;
        const auto upper = mask_or(k_, first >> 2U, 0x30303030U, nibbles);
        const auto bytes = k_.selp(upper, lower, place_.upper);
        const auto d = k_.cvt<f32>(halves_[0]);
        const auto minus_dmin = -k_.cvt<f32>(halves_[1]);
        const auto d_base = d * -seven_bits.offset;
        const auto dmin_base = minus_dmin * -seven_bits.offset;
        for (std::uint32_t i = 0; i < 2; i++) {
            scales_.push_back(k_.fma(d, mantissa_byte(k_, bytes, i, seven_bits), d_base));
            minima_.push_back(k_.fma(minus_dmin, mantissa_byte(k_, bytes, 2 + i, seven_bits), dmin_base));
        }
    }

    // Chunks 2w and 2w + 1 are the low and the high nibbles of word w.
    std::vector<Val<f32>> values(std::size_t chunk) override {
        const std::size_t word = chunk / 2;
        const bool high = chunk % 2 != 0;
        std::vector<Val<u32>> bytes;
        bytes.push_back(shift_mask(nibbles_[word], high ? -2 : 2, 0x3C3C3C3CU));
        if (!fifth_bits_.empty()) {
            if (!high) shifted_.emplace(fifth_bits_[word] >> place_.fifth_bits);
            bytes.push_back(mask_or(k_, *shifted_ << (high ? 5U : 6U), 0x40404040U, bytes[0]));
        }
        std::vector<Val<f32>> values;
        for (std::uint32_t i = 0; i < 4; i++) values.push_back(mantissa_byte(k_, bytes.back(), i, five_bits));
        return values;
    }

private:
    KernelBuilder k_;
    const Place& place_;
    std::array<Val<f16>, 2> halves_;
    std::vector<Val<u32>> packed_, fifth_bits_, nibbles_;
    std::optional<Val<u32>> shifted_;
};

class ScaleMinDecoder : public UnitDecoder {
public:
    explicit ScaleMinDecoder(TensorType type) : type_(type) {
        shape_.block_elements = 256;
        shape_.block_bytes = tensor_type_info(type).block_bytes;
        shape_.units = 4;
        for (std::uint32_t word = 0; word < 8; word++) {
            shape_.chunks.push_back({4 * word, 0});
            shape_.chunks.push_back({4 * word + 32, 1});
        }
        shape_.groups = 2;
        shape_.has_minimum = true;
        shape_.offset = five_bits.offset;
    }

    void select_unit(KernelBuilder& k, const Val<u32>& unit) override {
        const auto select = k.mad_lo(unit & 1U, 0x2222U, k.imm<u32>(0x5410));
        place_.emplace(Place{unit, select, unit >= 2U, unit << 1U, unit << 5U});
    }
    Val<u32> element_offset(KernelBuilder&) override { return place_->pair << 6U; }
    std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) override {
        return std::make_unique<ScaleMinUnit>(k, type_, *place_, block);
    }

private:
    TensorType type_;
    std::optional<Place> place_;
};

} // namespace

std::unique_ptr<UnitDecoder> scale_min_decoder(TensorType type) { return std::make_unique<ScaleMinDecoder>(type); }

} // namespace ptxgen::kernels
