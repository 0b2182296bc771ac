#include "tests/support/dense.hpp"

#include "runtime/inference/quant.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

namespace ptxgen::test {
namespace {

constexpr std::size_t tile_tokens = 8;
constexpr std::size_t tile_rows = 4;

/// sums[r][t] = Σ_k rows[r][k] · x[k][t] for a tile; sums run over k in order, whatever the vector width.
__attribute__((always_inline)) inline void tile(const double* rows, const double* x, std::size_t inputs, double* sums) {
    double acc[tile_rows][tile_tokens] = {};
    for (std::size_t k = 0; k < inputs; k++)
        for (std::size_t r = 0; r < tile_rows; r++)
            for (std::size_t t = 0; t < tile_tokens; t++) acc[r][t] += rows[r * inputs + k] * x[k * tile_tokens + t];
    std::copy(&acc[0][0], &acc[0][0] + tile_rows * tile_tokens, sums);
}

/// Σ_k row[k] · x[k], in eight interleaved partial sums.
__attribute__((always_inline)) inline double dot(const double* row, const double* x, std::size_t inputs) {
    double acc[8] = {};
    std::size_t k = 0;
    for (; k + 8 <= inputs; k += 8)
        for (std::size_t i = 0; i < 8; i++) acc[i] += row[k + i] * x[k + i];
    for (; k < inputs; k++) acc[0] += row[k] * x[k];
    return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
}

struct Kernels {
    void (*tile)(const double*, const double*, std::size_t, double*);
    double (*dot)(const double*, const double*, std::size_t);
};

void tile_plain(const double* rows, const double* x, std::size_t inputs, double* sums) { tile(rows, x, inputs, sums); }
double dot_plain(const double* row, const double* x, std::size_t inputs) { return dot(row, x, inputs); }

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) void tile_avx2(const double* rows, const double* x, std::size_t inputs,
                                                   double* sums) {
    tile(rows, x, inputs, sums);
}
__attribute__((target("avx2,fma"))) double dot_avx2(const double* row, const double* x, std::size_t inputs) {
    return dot(row, x, inputs);
}
#endif

Kernels kernels() {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {tile_avx2, dot_avx2};
#endif
    return {tile_plain, dot_plain};
}

/// Tokens in groups of tile_tokens, the last padded with zeros: [group][input][token of the group].
std::vector<double> interleave(const std::vector<double>& x, std::size_t tokens, std::size_t inputs) {
    const std::size_t groups = (tokens + tile_tokens - 1) / tile_tokens;
    std::vector<double> tiles(groups * inputs * tile_tokens);
    for (std::size_t t = 0; t < tokens; t++)
        for (std::size_t k = 0; k < inputs; k++)
            tiles[(t / tile_tokens * inputs + k) * tile_tokens + t % tile_tokens] = x[t * inputs + k];
    return tiles;
}

} // namespace

void parallel_for(std::size_t count, const std::function<void(std::size_t, std::size_t)>& body) {
    const std::size_t workers =
        std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, std::max<std::size_t>(count, 1));
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < workers; i++)
        threads.emplace_back(body, count * i / workers, count * (i + 1) / workers);
    body(0, count / workers);
    for (std::thread& thread : threads) thread.join();
}

std::vector<double> values_of(const gguf::Tensor& tensor) {
    std::vector<double> values(tensor.elements());
    quant::dequantize(tensor.type, tensor.data, tensor.elements(), values.data());
    return values;
}

std::vector<double> matmul(const gguf::Tensor& weights, const std::vector<double>& x, std::size_t tokens) {
    const std::size_t inputs = weights.ne[0];
    const std::size_t outputs = weights.rows();
    const std::size_t stride = row_bytes(weights.type, inputs);
    const Kernels use = kernels();
    const std::vector<double> tiles = tokens == 1 ? std::vector<double>{} : interleave(x, tokens, inputs);
    std::vector<double> y(tokens * outputs);
    const std::size_t row_groups = (outputs + tile_rows - 1) / tile_rows;
    parallel_for(row_groups, [&](std::size_t begin, std::size_t end) {
        std::vector<double> rows(tile_rows * inputs);
        double sums[tile_rows * tile_tokens];
        for (std::size_t group = begin; group < end; group++) {
            const std::size_t first = group * tile_rows;
            const std::size_t count = std::min(tile_rows, outputs - first);
            quant::dequantize(weights.type, weights.data + first * stride, count * inputs, rows.data());
            if (tokens == 1) {
                for (std::size_t r = 0; r < count; r++) y[first + r] = use.dot(&rows[r * inputs], x.data(), inputs);
                continue;
            }
            for (std::size_t t = 0; t < tokens; t += tile_tokens) {
                use.tile(rows.data(), &tiles[t * inputs], inputs, sums);
                for (std::size_t r = 0; r < count; r++)
                    for (std::size_t i = 0; i < std::min(tile_tokens, tokens - t); i++)
                        y[(t + i) * outputs + first + r] = sums[r * tile_tokens + i];
            }
        }
    });
    return y;
}

void rms_norm(std::vector<double>& x, const std::vector<double>& weights, double epsilon) {
    const std::size_t width = weights.size();
    for (std::size_t row = 0; row < x.size(); row += width) {
        double squares = 0;
        for (std::size_t i = 0; i < width; i++) squares += x[row + i] * x[row + i];
        const double root = std::sqrt(squares / static_cast<double>(width) + epsilon);
        for (std::size_t i = 0; i < width; i++) x[row + i] = x[row + i] / root * weights[i];
    }
}

} // namespace ptxgen::test
