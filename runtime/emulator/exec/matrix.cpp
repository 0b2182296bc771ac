#include "runtime/emulator/exec/half.hpp"

// mma.sync (PTX ISA 9.7.14.5). Fragments are gathered into small matrices, multiplied, and scattered. Products are
// exact; a dot product is summed in double and rounded once.
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

/// Inst::list: registers of d, then a, b, c. Inst::mode: 0 f16, 1 bf16, 2 tf32 inputs; bit 2: d in f16; bit 3: c in
/// f16. M = 16, N = 8; K = 8 or 16.
template <int K>
const Inst* mma_float(Warp& w, const Inst* i) {
    const int kind = i->mode & 3;
    const bool d_half = i->mode & 4, c_half = i->mode & 8;
    const int per_register = kind == 2 ? 1 : 2;
    const int a_count = 16 * K / 32 / per_register, b_count = 8 * K / 32 / per_register;
    const int d_count = d_half ? 2 : 4;
    const u32 *dr = i->list, *ar = dr + d_count, *br = ar + a_count, *cr = br + b_count;
    float a[16][K], b[8][K];
    double c[16][8];
    const auto value = [&](u32 bits, int part) {
        if (kind == 2) return bits_as<float>(bits & 0xffffe000u);
        const u16 h = static_cast<u16>(bits >> (16 * part));
        return kind == 1 ? float_of_bf16(h) : float_of_f16(h);
    };
    for (int l = 0; l < 32; ++l) {
        const int group = l >> 2, in_group = l & 3;
        for (int r = 0; r < a_count; ++r) {
            const u32 bits = reg<u32>(w, ar[r])[l];
            for (int p = 0; p < per_register; ++p) {
                const int row = group + (r & 1 ? 8 : 0);
                const int column = in_group * per_register + p + (r >> 1) * 4 * per_register;
                a[row][column] = value(bits, p);
            }
        }
        for (int r = 0; r < b_count; ++r) {
            const u32 bits = reg<u32>(w, br[r])[l];
            for (int p = 0; p < per_register; ++p)
                b[group][in_group * per_register + p + r * 4 * per_register] = value(bits, p);
        }
        for (int r = 0; r < 4; ++r) {
            const int row = group + (r & 2 ? 8 : 0), column = in_group * 2 + (r & 1);
            c[row][column] =
                c_half
                    ? static_cast<double>(float_of_f16(static_cast<u16>(reg<u32>(w, cr[r >> 1])[l] >> (16 * (r & 1)))))
                    : static_cast<double>(reg<float>(w, cr[r])[l]);
        }
    }
    for (int m = 0; m < 16; ++m)
        for (int n = 0; n < 8; ++n) {
            double sum = c[m][n];
            for (int k = 0; k < K; ++k) sum += static_cast<double>(a[m][k]) * static_cast<double>(b[n][k]);
            c[m][n] = sum;
        }
    for (int l = 0; l < 32; ++l) {
        const int group = l >> 2, in_group = l & 3;
        for (int r = 0; r < 4; ++r) {
            const int row = group + (r & 2 ? 8 : 0), column = in_group * 2 + (r & 1);
            if (d_half) {
                u32& d = reg<u32>(w, dr[r >> 1])[l];
                const u32 h = f16_of_float(odd_float(c[row][column]));
                d = r & 1 ? (d & 0xffffu) | h << 16 : (d & 0xffff0000u) | h;
            } else {
                reg<float>(w, dr[r])[l] = static_cast<float>(c[row][column]);
            }
        }
    }
    return i + 1;
}

/// Bytes as 16-bit integers.
PTXGEN_INLINE void widen(s16* to, const void* from, int count, bool is_signed) {
    if (is_signed) {
        const s8* bytes = static_cast<const s8*>(from);
        for (int i = 0; i < count; ++i) to[i] = bytes[i];
    } else {
        const u8* bytes = static_cast<const u8*>(from);
        for (int i = 0; i < count; ++i) to[i] = bytes[i];
    }
}

/// 8-bit integers. Inst::mode: bit 0 a is signed, bit 1 b is signed, bit 2 saturate. K = 16 or 32.
template <int K>
const Inst* mma_integer(Warp& w, const Inst* i) {
    const bool a_signed = i->mode & 1, b_signed = i->mode & 2, saturate = i->mode & 4;
    constexpr int rows = 16;
    const int a_count = rows * K / 128, b_count = 8 * K / 128;
    const u32 *dr = i->list, *ar = dr + 4, *br = ar + a_count, *cr = br + b_count;
    u32 a_words[rows][K / 4];
    for (int r = 0; r < a_count; ++r) {
        const u32* words = &reg<u32>(w, ar[r])[0];
        for (int l = 0; l < 32; ++l) a_words[(l >> 2) + (r & 1 ? 8 : 0)][(l & 3) + (r >> 1) * 4] = words[l];
    }
    s16 a[rows][K];
    widen(&a[0][0], a_words, rows * K, a_signed);
    // Columns of zeros are common: products of single columns leave the others empty.
    s32 dots[rows][8];
    for (int column = 0; column < 8; ++column) {
        u32 b_words[K / 4], any = 0;
        for (int r = 0; r < b_count; ++r)
            for (int in_group = 0; in_group < 4; ++in_group)
                any |= b_words[in_group + r * 4] = reg<u32>(w, br[r])[4 * column + in_group];
        if (any == 0) {
            for (int m = 0; m < rows; ++m) dots[m][column] = 0;
            continue;
        }
        s16 b[K];
        widen(b, b_words, K, b_signed);
        for (int m = 0; m < rows; ++m) {
            s32 dot = 0;
            for (int k = 0; k < K; ++k) dot += static_cast<s32>(a[m][k]) * static_cast<s32>(b[k]);
            dots[m][column] = dot;
        }
    }
    s32 c[4][32]; // d may be the same registers in another order
    for (int r = 0; r < 4; ++r)
        for (int l = 0; l < 32; ++l) c[r][l] = reg<s32>(w, cr[r])[l];
    for (int r = 0; r < 4; ++r)
        for (int l = 0; l < 32; ++l) {
            s64 sum = static_cast<s64>(dots[(l >> 2) + (r & 2 ? 8 : 0)][(l & 3) * 2 + (r & 1)]) + c[r][l];
            if (saturate) sum = sum > 2147483647 ? 2147483647 : sum < -2147483648LL ? -2147483648LL : sum;
            reg<u32>(w, dr[r])[l] = static_cast<u32>(sum);
        }
    return i + 1;
}

} // namespace

/// Key::type: f16, bf16, tf32 or s8; Key::n: K.
Handlers resolve_matrix(const Key& key) {
    if (key.sem != Sem::mma) return {};
    if (key.type == Type::s8) {
        if (key.n == 16) return {mma_integer<16>, mma_integer<16>};
        return key.n == 32 ? Handlers{mma_integer<32>, mma_integer<32>} : Handlers{};
    }
    if (key.n == 8) return {mma_float<8>, mma_float<8>};
    return key.n == 16                            ? Handlers{mma_float<16>, mma_float<16>}
           : key.n == 4 && key.type == Type::tf32 ? Handlers{mma_float<4>, mma_float<4>}
                                                  : Handlers{};
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
