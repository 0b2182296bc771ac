#include "runtime/inference/random_blocks.hpp"

#include "ptxgen/base/float16.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

namespace ptxgen {
namespace {

/// Where a block keeps its f16 scale and minimum (-1: none), and how they relate to the values when all other bytes are
/// uniformly random: `rms` is the root mean square of the values for d = 1, `minimum` the minimum, in units of d, that
/// makes their mean 0.
struct Layout {
    int d_at;
    int minimum_at;
    double rms;
    double minimum;
};

Layout layout(TensorType type) {
    switch (type) {
    case TensorType::q4_0: return {0, -1, 4.6, 0};
    case TensorType::q4_1: return {0, 2, 4.6, -7.5};
    case TensorType::q5_0: return {0, -1, 9.2, 0};
    case TensorType::q5_1: return {0, 2, 9.2, -15.5};
    case TensorType::q8_0: return {0, -1, 74, 0};
    case TensorType::q8_1: return {0, -1, 74, 0};
    case TensorType::q2_k: return {80, 82, 13.9, 1.5};
    case TensorType::q3_k: return {108, -1, 43, 0};
    case TensorType::q4_k: return {0, 2, 258, 7.5};
    case TensorType::q5_k: return {0, 2, 527, 15.5};
    case TensorType::q6_k: return {208, -1, 1369, 0};
    case TensorType::q8_k: return {-1, -1, 74, 0};
    case TensorType::iq4_nl: return {0, -1, 68, 0};
    case TensorType::iq4_xs: return {0, -1, 1260, 0};
    case TensorType::mxfp4: return {-1, -1, 5.9, 0};
    default: return {-1, -1, 1, 0};
    }
}

template <class T>
void store(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

int byte_sum(const std::byte* at, int count) {
    int sum = 0;
    for (int i = 0; i < count; i++) sum += static_cast<std::int8_t>(at[i]);
    return sum;
}

void random_block(TensorType type, std::byte* block, std::uint32_t bytes, Random& random, double scale) {
    const Layout fields = layout(type);
    for (std::uint32_t i = 0; i < bytes; i++) block[i] = static_cast<std::byte>(random.bits());
    const double d = scale / fields.rms * random.uniform(0.7, 1.3);
    if (fields.d_at >= 0) store(block + fields.d_at, f32_to_f16(static_cast<float>(d)));
    if (fields.minimum_at >= 0) store(block + fields.minimum_at, f32_to_f16(static_cast<float>(d * fields.minimum)));
    if (type == TensorType::q8_1) {
        const float stored = f16_to_f32(f32_to_f16(static_cast<float>(d)));
        store(block + 2, f32_to_f16(stored * static_cast<float>(byte_sum(block + 4, 32))));
    }
    if (type == TensorType::q8_k) {
        store(block, static_cast<float>(d));
        for (int i = 0; i < 16; i++)
            store(block + 260 + 2 * i, static_cast<std::int16_t>(byte_sum(block + 4 + 16 * i, 16)));
    }
    if (type == TensorType::mxfp4)
        block[0] = static_cast<std::byte>(std::clamp(std::lround(std::log2(d)) + 128, 0L, 250L));
}

} // namespace

std::vector<std::byte> encode_plain(TensorType type, const std::vector<float>& values) {
    std::vector<std::byte> bytes(row_bytes(type, values.size()));
    for (std::size_t i = 0; i < values.size(); i++) {
        switch (type) {
        case TensorType::f32: store(&bytes[4 * i], values[i]); break;
        case TensorType::f16: store(&bytes[2 * i], f32_to_f16(values[i])); break;
        case TensorType::bf16: store(&bytes[2 * i], f32_to_bf16(values[i])); break;
        default: assert(!"not a plain type");
        }
    }
    return bytes;
}

std::vector<std::byte> random_blocks(TensorType type, std::uint64_t elements, Random& random, double scale) {
    const TensorTypeInfo& info = tensor_type_info(type);
    assert(elements % info.block_elements == 0);
    if (info.block_elements == 1) {
        std::vector<float> values(elements);
        for (float& value : values) value = static_cast<float>(random.normal() * scale);
        return encode_plain(type, values);
    }
    std::vector<std::byte> bytes(row_bytes(type, elements));
    for (std::size_t at = 0; at < bytes.size(); at += info.block_bytes)
        random_block(type, &bytes[at], info.block_bytes, random, scale);
    return bytes;
}

} // namespace ptxgen
