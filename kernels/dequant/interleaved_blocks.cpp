#include "kernels/dequant/decoders.hpp"
#include "kernels/dequant/words.hpp"

#include <optional>

namespace ptxgen::kernels {
namespace {

/// Q2_K, Q3_K and Q6_K: 256 weights in two halves n of 128, in each of which elements l, l + 32, l + 64 and l + 96
/// share bytes, and groups of 16 have a scale. A unit is what bytes 16i to 16i + 15 of a half hold, for i = 0 or 1:
/// four groups of 16, 32 elements apart.
struct Place {
    Val<u32> half;       ///< n
    Val<u32> side;       ///< i
    Val<u32> side_bytes; ///< 16i
    Val<u32> bytes;      ///< 32n + 16i
    Val<u32> scale;      ///< 8n + i, the first group's number; the others follow at distance 2
};

class InterleavedUnit : public LoadedUnit {
public:
    InterleavedUnit(KernelBuilder& k, const Place& place, const MantissaByte& form)
        : k_(k), place_(place), form_(form) {}

    // Chunk 4w + g holds elements 4w to 4w + 3 of group g.
    std::vector<Val<f32>> values(std::size_t chunk) override {
        const auto word = bytes(chunk / 4, static_cast<std::uint32_t>(chunk % 4));
        std::vector<Val<f32>> values;
        for (std::uint32_t i = 0; i < 4; i++) values.push_back(mantissa_byte(k_, word, i, form_));
        return values;
    }

protected:
    virtual Val<u32> bytes(std::size_t word, std::uint32_t group) = 0;

    KernelBuilder k_;
    const Place& place_;
    const MantissaByte& form_;
};

/// Bytes: 16 of a 4-bit scale and a 4-bit minimum, 64 of quants, d, dmin.
class Q2Unit : public InterleavedUnit {
public:
    Q2Unit(KernelBuilder& k, const Place& place, const WeightPtr& block)
        : InterleavedUnit(k, place, two_bits), halves_(k.ld((block + 80).as<global_ptr<const f16>>(), v2)) {
        const auto scales = block + place.scale;
        for (int g = 0; g < 4; g++) packed_.push_back(k.ld_wide<u32>(scales + 2 * g));
        quants_ = load_words(k, block + place.bytes + 16, 4, 4);
    }
    void prepare() override {
        const auto d = k_.cvt<f32>(halves_[0]);
        const auto twice = d + d; // the values are halves
        const auto minus_dmin = -k_.cvt<f32>(halves_[1]);
        for (const auto& packed : packed_) {
            scales_.push_back(twice * k_.cvt<f32>(packed & 15U, rn));
            minima_.push_back(minus_dmin * k_.cvt<f32>(packed >> 4U, rn));
        }
    }

private:
    Val<u32> bytes(std::size_t word, std::uint32_t group) override {
        return shift_mask(quants_[word], 5 - 2 * static_cast<int>(group), 0x60606060U);
    }

    std::array<Val<f16>, 2> halves_;
    std::vector<Val<u32>> packed_, quants_;
};

/// Bytes: 32 of third bits (bit 4n + g for group g), 64 of quants, 12 of packed 6-bit scales, d.
class Q3Unit : public InterleavedUnit {
public:
    Q3Unit(KernelBuilder& k, const Place& place, const WeightPtr& block)
        : InterleavedUnit(k, place, three_bits), d_(k.ld((block + 108).as<global_ptr<const f16>>())),
          packed_(load_words(k, block + 96, 3, 2)), third_bits_(load_words(k, block + place.side_bytes, 4, 2)),
          quants_(load_words(k, block + place.bytes + 32, 4, 2)) {}

    void prepare() override {
        const auto d = k_.cvt<f32>(d_);
        const auto base = d * -(seven_bits.offset + 32);
        const auto half_shift = place_.half << 2U;
        const auto side_shift = place_.side << 3U;
        // Low nibbles of scales 2g + i stand in the first two words, upper bits of both pairs of groups in the third.
        const auto upper = packed_[2] >> half_shift;
        for (std::uint32_t pair = 0; pair < 2; pair++) {
            const auto low = (packed_[pair] >> half_shift) & 0x0F0F0F0FU;
            const auto scales = mask_or(k_, upper << (pair == 0 ? 4U : 2U), 0x30303030U, low) >> side_shift;
            for (const std::uint32_t at : {0U, 2U})
                scales_.push_back(k_.fma(d, mantissa_byte(k_, scales, at, seven_bits), base));
        }
    }

private:
    Val<u32> bytes(std::size_t word, std::uint32_t group) override {
        if (group == 0) aligned_.emplace(third_bits_[word] >> (place_.half << 2U));
        const auto low = shift_mask(quants_[word], 4 - 2 * static_cast<int>(group), 0x30303030U);
        return mask_or(k_, *aligned_ << 6 - group, 0x40404040U, low);
    }

    Val<f16> d_;
    std::vector<Val<u32>> packed_, third_bits_, quants_;
    std::optional<Val<u32>> aligned_;
};

/// Bytes: 128 of low nibbles, 64 of upper two bits, 16 signed scales, d.
class Q6Unit : public InterleavedUnit {
public:
    Q6Unit(KernelBuilder& k, const Place& place, const WeightPtr& block)
        : InterleavedUnit(k, place, seven_bits), d_(k.ld((block + 208).as<global_ptr<const f16>>())) {
        const auto scales = (block + place.scale + 192).as<global_ptr<const s8>>();
        for (int g = 0; g < 4; g++) packed_.push_back(k.ld(scales + 2 * g));
        const auto low = block + (place.half << 6U) + place.side_bytes;
        low_.push_back(load_words(k, low, 4, 2));
        low_.push_back(load_words(k, low + 32, 4, 2));
        upper_ = load_words(k, block + place.bytes + 128, 4, 2);
    }
    void prepare() override {
        const auto d = k_.cvt<f32>(d_);
        for (const auto& packed : packed_) scales_.push_back(d * k_.cvt<f32>(packed.as<s16>(), rn)); // loads extend
    }

private:
    Val<u32> bytes(std::size_t word, std::uint32_t group) override {
        const auto nibble = shift_mask(low_[group % 2][word], group < 2 ? 0 : -4, 0x0F0F0F0FU);
        if (group == 2) return mask_or(k_, upper_[word], 0x30303030U, nibble);
        const auto upper = group < 2 ? upper_[word] << 4 - 2 * group : upper_[word] >> 2U;
        return mask_or(k_, upper, 0x30303030U, nibble);
    }

    Val<f16> d_;
    std::vector<Val<s8>> packed_;
    std::vector<std::vector<Val<u32>>> low_;
    std::vector<Val<u32>> upper_;
};

class InterleavedDecoder : public UnitDecoder {
public:
    explicit InterleavedDecoder(TensorType type) : type_(type) {
        shape_.block_elements = 256;
        shape_.block_bytes = tensor_type_info(type).block_bytes;
        shape_.units = 4;
        for (std::uint32_t word = 0; word < 4; word++)
            for (std::uint32_t group = 0; group < 4; group++) shape_.chunks.push_back({4 * word + 32 * group, group});
        shape_.groups = 4;
        shape_.has_minimum = type == TensorType::q2_k;
        switch (type) {
        case TensorType::q2_k: shape_.offset = two_bits.offset; break;
        case TensorType::q3_k: shape_.offset = three_bits.offset + 4; break;
        default: shape_.offset = seven_bits.offset + 32;
        }
    }

    void select_unit(KernelBuilder& k, const Val<u32>& unit) override {
        const auto half = unit >> 1U;
        const auto side = unit & 1U;
        place_.emplace(Place{half, side, side << 4U, unit << 4U, k.mad_lo(half, 8U, side)});
    }
    Val<u32> element_offset(KernelBuilder& k) override { return k.mad_lo(place_->half, 128U, place_->side_bytes); }
    std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) override {
        switch (type_) {
        case TensorType::q2_k: return std::make_unique<Q2Unit>(k, *place_, block);
        case TensorType::q3_k: return std::make_unique<Q3Unit>(k, *place_, block);
        default: return std::make_unique<Q6Unit>(k, *place_, block);
        }
    }

private:
    TensorType type_;
    std::optional<Place> place_;
};

} // namespace

std::unique_ptr<UnitDecoder> interleaved_decoder(TensorType type) { return std::make_unique<InterleavedDecoder>(type); }

} // namespace ptxgen::kernels
