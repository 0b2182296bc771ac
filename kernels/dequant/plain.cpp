#include "kernels/dequant/decoders.hpp"
#include "kernels/dequant/words.hpp"

#include <numeric>

namespace ptxgen::kernels {
namespace {

/// Up to this many weights are one lane's piece of a row.
constexpr std::uint32_t max_unit = 8;

/// A value or four, or two, in one load of the vector that `width` says.
template <class T>
std::vector<Val<T>> load_values(KernelBuilder& k, const WeightPtr& at, std::uint32_t width) {
    const auto from = at.as<global_ptr<const T>>();
    std::vector<Val<T>> values;
    if (width == 4)
        for (const auto& value : k.ld(from, v4)) values.push_back(value);
    else if (width == 2)
        for (const auto& value : k.ld(from, v2)) values.push_back(value);
    else
        values.push_back(k.ld(from));
    return values;
}

class PlainUnit : public LoadedUnit {
public:
    PlainUnit(KernelBuilder& k, TensorType type, const UnitShape& shape, const WeightPtr& block)
        : k_(k), type_(type), width_(shape.width) {
        const std::uint32_t size = tensor_type_info(type).block_bytes;
        for (const auto& chunk : shape.chunks) {
            const WeightPtr at = block + chunk.offset * size;
            switch (type) {
            case TensorType::f32: singles_.push_back(load_values<f32>(k, at, width_)); break;
            case TensorType::f16: halves_.push_back(load_values<f16>(k, at, width_)); break;
            default:
                if (width_ == 1)
                    words_.push_back({k.ld_wide<u32>(at.as<global_ptr<const u16>>())});
                else
                    words_.push_back(load_values<u32>(k, at, width_ / 2));
            }
        }
    }

    std::vector<Val<f32>> values(std::size_t chunk) override {
        std::vector<Val<f32>> values;
        if (type_ == TensorType::f32) return singles_[chunk];
        for (std::uint32_t i = 0; i < width_; i++) {
            if (type_ == TensorType::f16)
                values.push_back(k_.cvt<f32>(halves_[chunk][i]));
            else if (i % 2 == 0) // bf16 is the upper half of an f32
                values.push_back((words_[chunk][i / 2] << 16U).as<f32>());
            else
                values.push_back((words_[chunk][i / 2] & 0xFFFF0000U).as<f32>());
        }
        return values;
    }

private:
    KernelBuilder k_;
    TensorType type_;
    std::uint32_t width_;
    std::vector<std::vector<Val<f32>>> singles_;
    std::vector<std::vector<Val<f16>>> halves_;
    std::vector<std::vector<Val<u32>>> words_;
};

class PlainDecoder : public UnitDecoder {
public:
    PlainDecoder(TensorType type, std::uint32_t cols) : type_(type) {
        // Vectors must stay aligned in every row.
        shape_.width = std::gcd(cols, 4U);
        shape_.block_elements = std::gcd(cols, max_unit);
        shape_.block_bytes = shape_.block_elements * tensor_type_info(type).block_bytes;
        for (std::uint32_t i = 0; i < shape_.block_elements; i += shape_.width) shape_.chunks.push_back({i, 0});
    }
    std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) override {
        return std::make_unique<PlainUnit>(k, type_, shape_, block);
    }

private:
    TensorType type_;
};

} // namespace

std::unique_ptr<UnitDecoder> plain_decoder(TensorType type, std::uint32_t cols) {
    return std::make_unique<PlainDecoder>(type, cols);
}

} // namespace ptxgen::kernels
