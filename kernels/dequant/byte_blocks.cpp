#include "kernels/dequant/decoders.hpp"
#include "kernels/dequant/words.hpp"

namespace ptxgen::kernels {
namespace {

/// Q8_0: an f16 scale and 32 signed bytes. Blocks are 2-byte aligned; loading bytes as pairs leaves each in a register
/// of its own, extended to 16 bits, ready for the conversion.
class ByteUnit : public LoadedUnit {
public:
    ByteUnit(KernelBuilder& k, const WeightPtr& block) : k_(k), scale_(k.ld(block.as<global_ptr<const f16>>())) {
        for (int i = 0; i < 32; i += 2) pairs_.push_back(k.ld((block + (2 + i)).as<global_ptr<const s8>>(), v2));
    }

    void prepare() override { scales_.push_back(k_.cvt<f32>(scale_)); }

    std::vector<Val<f32>> values(std::size_t chunk) override {
        std::vector<Val<f32>> values;
        for (std::size_t i = 0; i < 4; i++)
            values.push_back(k_.cvt<f32>(pairs_[2 * chunk + i / 2][i % 2].as<s16>(), rn));
        return values;
    }

private:
    KernelBuilder k_;
    Val<f16> scale_;
    std::vector<std::array<Val<s8>, 2>> pairs_;
};

class ByteBlockDecoder : public UnitDecoder {
public:
    ByteBlockDecoder() {
        shape_.block_elements = 32;
        shape_.block_bytes = 34;
        for (std::uint32_t i = 0; i < 8; i++) shape_.chunks.push_back({4 * i, 0});
        shape_.groups = 1;
    }
    std::unique_ptr<LoadedUnit> load(KernelBuilder& k, const WeightPtr& block) override {
        return std::make_unique<ByteUnit>(k, block);
    }
};

} // namespace

std::unique_ptr<UnitDecoder> byte_block_decoder() { return std::make_unique<ByteBlockDecoder>(); }

} // namespace ptxgen::kernels
