#include "kernels/dequant/words.hpp"

namespace ptxgen::kernels {
namespace {

template <unsigned N, class Vector>
void load_vectors(KernelBuilder& k, const WeightPtr& at, std::uint32_t count, const Vector& vector,
                  std::vector<Val<u32>>& words) {
    for (std::uint32_t i = 0; i < count; i += N)
        for (const auto& word : k.ld((at + 4 * i).as<global_ptr<const u32>>(), vector)) words.push_back(word);
}

Val<u32> bytes_to_word(KernelBuilder& k, const WeightPtr& at) {
    const auto byte = [&](int i) { return k.ld_wide<u32>(at + i); };
    const auto b0 = byte(0), b1 = byte(1), b2 = byte(2), b3 = byte(3);
    const auto low = k.prmt(b0, b1, 0x0040);
    const auto high = k.prmt(b2, b3, 0x0040);
    return k.prmt(low, high, 0x5410);
}

std::uint32_t table_word(const NibbleTable& table, unsigned i) {
    return table[4 * i] | std::uint32_t{table[4 * i + 1]} << 8 | std::uint32_t{table[4 * i + 2]} << 16 |
           std::uint32_t{table[4 * i + 3]} << 24;
}

} // namespace

std::vector<Val<u32>> load_words(KernelBuilder& k, const WeightPtr& at, std::uint32_t count, std::uint32_t alignment) {
    std::vector<Val<u32>> words;
    if (alignment >= 16 && count % 4 == 0) {
        load_vectors<4>(k, at, count, v4, words);
    } else if (alignment >= 8 && count % 2 == 0) {
        load_vectors<2>(k, at, count, v2, words);
    } else if (alignment >= 4) {
        for (std::uint32_t i = 0; i < count; i++) words.push_back(k.ld((at + 4 * i).as<global_ptr<const u32>>()));
    } else if (alignment >= 2) {
        std::vector<Val<u32>> halves;
        for (std::uint32_t i = 0; i < 2 * count; i++)
            halves.push_back(k.ld_wide<u32>((at + 2 * i).as<global_ptr<const u16>>()));
        for (std::uint32_t i = 0; i < count; i++) words.push_back(k.prmt(halves[2 * i], halves[2 * i + 1], 0x5410));
    } else {
        for (std::uint32_t i = 0; i < count; i++) words.push_back(bytes_to_word(k, at + 4 * i));
    }
    return words;
}

Val<u32> shift_mask(const Val<u32>& word, int left, std::uint32_t mask) {
    if (left == 0) return word & mask;
    return (left > 0 ? word << static_cast<std::uint32_t>(left) : word >> static_cast<std::uint32_t>(-left)) & mask;
}

Val<u32> mask_or(KernelBuilder& k, const Val<u32>& value, std::uint32_t mask, const Val<u32>& other) {
    return k.lop3(value, mask, other, 0xEA); // (a & b) | c
}

Val<f32> mantissa_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index, const MantissaByte& form) {
    return k.prmt(word, form.power, 0x7044U | index << 8).as<f32>(); // the byte goes to bits 16 to 22
}

Val<f32> biased_byte(KernelBuilder& k, const Val<u32>& word, std::uint32_t index, float bias) {
    const auto raised = k.prmt(word, 0x4B000000U, 0x7440U | index).as<f32>(); // 2^23 with the byte in bits 0 to 7
    return raised - (8388608.0F + bias);
}

std::array<Val<u32>, 2> look_up_nibbles(KernelBuilder& k, const Val<u32>& nibbles, const NibbleTable& table) {
    // prmt selects by three bits; the fourth chooses between the results for both halves of the table.
    const auto low_bits = nibbles & 0x77777777U;
    const auto top_bits = mask_or(k, nibbles >> 1U, 0x44444444U, k.imm<u32>(0x32103210U));
    const auto look_up = [&](const Val<u32>& select, const Val<u32>& top) {
        const auto lower = k.prmt(k.imm<u32>(table_word(table, 0)), k.imm<u32>(table_word(table, 1)), select);
        const auto upper = k.prmt(k.imm<u32>(table_word(table, 2)), k.imm<u32>(table_word(table, 3)), select);
        return k.prmt(lower, upper, top);
    };
    const auto first = look_up(low_bits, top_bits);
    const auto low_bits_above = low_bits >> 16U;
    const auto second = look_up(low_bits_above, top_bits >> 16U);
    return {first, second};
}

} // namespace ptxgen::kernels
