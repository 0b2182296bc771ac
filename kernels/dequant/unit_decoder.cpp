#include "kernels/dequant/unit_decoder.hpp"

#include "kernels/dequant/decoders.hpp"

#include <cassert>

namespace ptxgen::kernels {

std::unique_ptr<UnitDecoder> unit_decoder(TensorType type, std::uint32_t cols) {
    switch (type) {
    case TensorType::f32:
    case TensorType::f16:
    case TensorType::bf16: return plain_decoder(type, cols);
    case TensorType::q8_0: return byte_block_decoder();
    case TensorType::q4_0:
    case TensorType::q4_1:
    case TensorType::q5_0:
    case TensorType::q5_1:
    case TensorType::iq4_nl:
    case TensorType::iq4_xs:
    case TensorType::mxfp4: return nibble_block_decoder(type);
    case TensorType::q4_k:
    case TensorType::q5_k: return scale_min_decoder(type);
    case TensorType::q2_k:
    case TensorType::q3_k:
    case TensorType::q6_k: return interleaved_decoder(type);
    case TensorType::q8_1:
    case TensorType::q8_k: break;
    }
    assert(!"a type that holds no weights");
    return nullptr;
}

std::vector<TensorType> weight_types() {
    std::vector<TensorType> types;
    for (const auto& info : tensor_types())
        if (info.type != TensorType::q8_1 && info.type != TensorType::q8_k) types.push_back(info.type);
    return types;
}

} // namespace ptxgen::kernels
