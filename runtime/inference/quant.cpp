#include "runtime/inference/quant.hpp"

#include "ptxgen/base/float16.hpp"

#include <bit>
#include <cstring>

namespace ptxgen::quant {
namespace {

template <class T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
float load_f16(const std::byte* at) { return f16_to_f32(load<std::uint16_t>(at)); }
int low_nibble(std::byte b) { return std::to_integer<int>(b) & 15; }
int high_nibble(std::byte b) { return std::to_integer<int>(b) >> 4; }
int signed_byte(std::byte b) { return static_cast<std::int8_t>(b); }

// Values of IQ4_NL and IQ4_XS.
constexpr float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Twice the values of OCP's E2M1.
constexpr float mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0F, -1, -2, -3, -4, -6, -8, -12};

void decode_f32(const std::byte* block, float* out) { *out = load<float>(block); }
void decode_f16(const std::byte* block, float* out) { *out = load_f16(block); }
void decode_bf16(const std::byte* block, float* out) { *out = bf16_to_f32(load<std::uint16_t>(block)); }

void decode_q4_0(const std::byte* block, float* out) {
    const float d = load_f16(block);
    for (int j = 0; j < 16; j++) {
        out[j] = d * static_cast<float>(low_nibble(block[2 + j]) - 8);
        out[j + 16] = d * static_cast<float>(high_nibble(block[2 + j]) - 8);
    }
}

void decode_q4_1(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = d * static_cast<float>(low_nibble(block[4 + j])) + m;
        out[j + 16] = d * static_cast<float>(high_nibble(block[4 + j])) + m;
    }
}

/// The fifth bits of Q5_0 and Q5_1, as 0 or 16.
int fifth_bit(std::uint32_t bits, int element) { return static_cast<int>(bits >> element & 1) << 4; }

void decode_q5_0(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const auto high = load<std::uint32_t>(block + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = d * static_cast<float>((low_nibble(block[6 + j]) | fifth_bit(high, j)) - 16);
        out[j + 16] = d * static_cast<float>((high_nibble(block[6 + j]) | fifth_bit(high, j + 16)) - 16);
    }
}

void decode_q5_1(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    const auto high = load<std::uint32_t>(block + 4);
    for (int j = 0; j < 16; j++) {
        out[j] = d * static_cast<float>(low_nibble(block[8 + j]) | fifth_bit(high, j)) + m;
        out[j + 16] = d * static_cast<float>(high_nibble(block[8 + j]) | fifth_bit(high, j + 16)) + m;
    }
}

void decode_q8_0(const std::byte* block, float* out) {
    const float d = load_f16(block);
    for (int j = 0; j < 32; j++) out[j] = d * static_cast<float>(signed_byte(block[2 + j]));
}

// The second half of the header is the sum of the block, which dequantising does not need.
void decode_q8_1(const std::byte* block, float* out) {
    const float d = load_f16(block);
    for (int j = 0; j < 32; j++) out[j] = d * static_cast<float>(signed_byte(block[4 + j]));
}

void decode_q8_k(const std::byte* block, float* out) {
    const auto d = load<float>(block);
    for (int j = 0; j < 256; j++) out[j] = d * static_cast<float>(signed_byte(block[4 + j]));
}

void decode_q2_k(const std::byte* block, float* out) {
    const std::byte* scales = block;
    const std::byte* quants = block + 16;
    const float d = load_f16(block + 80);
    const float dmin = load_f16(block + 82);
    for (int group = 0; group < 16; group++) { // 16 elements each
        const float scale = d * static_cast<float>(low_nibble(scales[group]));
        const float minimum = dmin * static_cast<float>(high_nibble(scales[group]));
        const std::byte* source = quants + group / 8 * 32 + group % 2 * 16;
        const int shift = group % 8 / 2 * 2;
        for (int l = 0; l < 16; l++)
            out[group * 16 + l] = scale * static_cast<float>(std::to_integer<int>(source[l]) >> shift & 3) - minimum;
    }
}

void decode_q3_k(const std::byte* block, float* out) {
    const std::byte* high_bits = block;
    const std::byte* quants = block + 32;
    const std::byte* packed = block + 96;
    const float d = load_f16(block + 108);
    for (int group = 0; group < 16; group++) { // 16 elements each
        const int low = group < 8 ? low_nibble(packed[group]) : high_nibble(packed[group - 8]);
        const int high = std::to_integer<int>(packed[8 + group % 4]) >> group / 4 * 2 & 3;
        const float scale = d * static_cast<float>((low | high << 4) - 32);
        const std::byte* source = quants + group / 8 * 32 + group % 2 * 16;
        const std::byte* mask = high_bits + group % 2 * 16;
        const int shift = group % 8 / 2 * 2;
        for (int l = 0; l < 16; l++) {
            const int q = std::to_integer<int>(source[l]) >> shift & 3;
            const int set = std::to_integer<int>(mask[l]) >> group / 2 & 1;
            out[group * 16 + l] = scale * static_cast<float>(q - (set ? 0 : 4));
        }
    }
}

struct ScaleMin {
    int scale;
    int minimum;
};

/// The 6-bit scale and minimum of sub-block j < 8 from the 12 packed bytes of Q4_K and Q5_K.
ScaleMin scale_min(const std::byte* packed, int j) {
    const auto at = [&](int i) { return std::to_integer<int>(packed[i]); };
    if (j < 4) return {at(j) & 63, at(j + 4) & 63};
    return {(at(j + 4) & 15) | at(j - 4) >> 6 << 4, at(j + 4) >> 4 | at(j) >> 6 << 4};
}

void decode_q4_k(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    for (int j = 0; j < 8; j++) { // 32 elements each
        const ScaleMin packed = scale_min(block + 4, j);
        const float scale = d * static_cast<float>(packed.scale);
        const float minimum = dmin * static_cast<float>(packed.minimum);
        const std::byte* source = block + 16 + j / 2 * 32;
        for (int l = 0; l < 32; l++) {
            const int q = j % 2 == 0 ? low_nibble(source[l]) : high_nibble(source[l]);
            out[j * 32 + l] = scale * static_cast<float>(q) - minimum;
        }
    }
}

void decode_q5_k(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    const std::byte* high_bits = block + 16;
    for (int j = 0; j < 8; j++) { // 32 elements each
        const ScaleMin packed = scale_min(block + 4, j);
        const float scale = d * static_cast<float>(packed.scale);
        const float minimum = dmin * static_cast<float>(packed.minimum);
        const std::byte* source = block + 48 + j / 2 * 32;
        for (int l = 0; l < 32; l++) {
            const int low = j % 2 == 0 ? low_nibble(source[l]) : high_nibble(source[l]);
            const int high = std::to_integer<int>(high_bits[l]) >> j & 1;
            out[j * 32 + l] = scale * static_cast<float>(low | high << 4) - minimum;
        }
    }
}

void decode_q6_k(const std::byte* block, float* out) {
    const float d = load_f16(block + 208);
    for (int j = 0; j < 8; j++) { // 32 elements each, with two scales
        const int half = j / 4;
        const std::byte* low_bits = block + half * 64 + j % 2 * 32;
        const std::byte* high_bits = block + 128 + half * 32;
        const std::byte* scales = block + 192 + j * 2;
        for (int l = 0; l < 32; l++) {
            const int low = j % 4 < 2 ? low_nibble(low_bits[l]) : high_nibble(low_bits[l]);
            const int high = std::to_integer<int>(high_bits[l]) >> j % 4 * 2 & 3;
            const float scale = d * static_cast<float>(signed_byte(scales[l / 16]));
            out[j * 32 + l] = scale * static_cast<float>((low | high << 4) - 32);
        }
    }
}

void decode_iq4_nl(const std::byte* block, float* out) {
    const float d = load_f16(block);
    for (int j = 0; j < 16; j++) {
        out[j] = d * iq4_values[low_nibble(block[2 + j])];
        out[j + 16] = d * iq4_values[high_nibble(block[2 + j])];
    }
}

void decode_iq4_xs(const std::byte* block, float* out) {
    const float d = load_f16(block);
    const int scales_high = load<std::uint16_t>(block + 2);
    for (int j = 0; j < 8; j++) { // 32 elements each
        const int low = std::to_integer<int>(block[4 + j / 2]) >> j % 2 * 4 & 15;
        const float scale = d * static_cast<float>((low | (scales_high >> 2 * j & 3) << 4) - 32);
        const std::byte* source = block + 8 + j * 16;
        for (int l = 0; l < 16; l++) {
            out[j * 32 + l] = scale * iq4_values[low_nibble(source[l])];
            out[j * 32 + l + 16] = scale * iq4_values[high_nibble(source[l])];
        }
    }
}

/// 2^(e - 128): half of E8M0's 2^(e - 127), since the table holds doubled values. The two lowest are subnormal.
float mxfp4_scale(std::uint32_t e) { return std::bit_cast<float>(e < 2 ? 0x00200000U << e : (e - 1) << 23); }

void decode_mxfp4(const std::byte* block, float* out) {
    const float d = mxfp4_scale(std::to_integer<std::uint32_t>(block[0]));
    for (int j = 0; j < 16; j++) {
        out[j] = d * mxfp4_values[low_nibble(block[1 + j])];
        out[j + 16] = d * mxfp4_values[high_nibble(block[1 + j])];
    }
}

} // namespace

BlockDecoder block_decoder(TensorType type) {
    switch (type) {
    case TensorType::f32: return decode_f32;
    case TensorType::f16: return decode_f16;
    case TensorType::bf16: return decode_bf16;
    case TensorType::q4_0: return decode_q4_0;
    case TensorType::q4_1: return decode_q4_1;
    case TensorType::q5_0: return decode_q5_0;
    case TensorType::q5_1: return decode_q5_1;
    case TensorType::q8_0: return decode_q8_0;
    case TensorType::q8_1: return decode_q8_1;
    case TensorType::q2_k: return decode_q2_k;
    case TensorType::q3_k: return decode_q3_k;
    case TensorType::q4_k: return decode_q4_k;
    case TensorType::q5_k: return decode_q5_k;
    case TensorType::q6_k: return decode_q6_k;
    case TensorType::q8_k: return decode_q8_k;
    case TensorType::iq4_nl: return decode_iq4_nl;
    case TensorType::iq4_xs: return decode_iq4_xs;
    case TensorType::mxfp4: return decode_mxfp4;
    }
    return nullptr;
}

void dequantize(TensorType type, const std::byte* blocks, std::uint64_t elements, float* out) {
    const TensorTypeInfo& info = tensor_type_info(type);
    const BlockDecoder decode = block_decoder(type);
    for (std::uint64_t i = 0; i < elements; i += info.block_elements, blocks += info.block_bytes)
        decode(blocks, out + i);
}

void dequantize(TensorType type, const std::byte* blocks, std::uint64_t elements, double* out) {
    const TensorTypeInfo& info = tensor_type_info(type);
    const BlockDecoder decode = block_decoder(type);
    float values[256];
    for (std::uint64_t i = 0; i < elements; i += info.block_elements, blocks += info.block_bytes) {
        decode(blocks, values);
        for (std::uint32_t j = 0; j < info.block_elements; j++) out[i + j] = static_cast<double>(values[j]);
    }
}

} // namespace ptxgen::quant
