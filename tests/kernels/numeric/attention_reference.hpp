#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "ptxgen/base/float16.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace ptxgen::kernels::test {

/// Cache elements as stored, and the values that they stand for.
struct CacheData {
    std::vector<std::byte> bytes;
    std::vector<float> values;
};

inline CacheData store_cache(const std::vector<float>& values, CacheType type) {
    CacheData data;
    const std::size_t element = type == CacheType::f32 ? 4 : 2;
    data.bytes.resize(values.size() * element);
    for (std::size_t i = 0; i < values.size(); i++) {
        const std::uint16_t half = f32_to_f16(values[i]);
        data.values.push_back(type == CacheType::f32 ? values[i] : f16_to_f32(half));
        if (type == CacheType::f32)
            std::memcpy(&data.bytes[i * element], &values[i], element);
        else
            std::memcpy(&data.bytes[i * element], &half, element);
    }
    return data;
}

/// Attention in float64 of the tokens at `position` and behind it, whose queries are `q` [tokens][heads][head_dim].
inline std::vector<double> attention_reference(const KvCacheShape& cache, std::uint32_t heads, std::uint32_t window,
                                               double scale, const std::vector<float>& q,
                                               const std::vector<float>& keys, const std::vector<float>& values,
                                               std::uint32_t position) {
    const std::size_t dim = cache.head_dim, capacity = cache.capacity;
    std::vector<double> out(q.size());
    for (std::size_t row = 0; row < q.size() / dim; row++) {
        const std::size_t kv_head = row % heads / (heads / cache.kv_heads);
        const std::size_t at = position + row / heads;
        const std::size_t first = window > 0 && at + 1 > window ? at + 1 - window : 0;
        std::vector<double> scores;
        for (std::size_t j = first; j <= at; j++) {
            double score = 0;
            for (std::size_t i = 0; i < dim; i++)
                score += double{q[row * dim + i]} * double{keys[(kv_head * capacity + j) * dim + i]};
            scores.push_back(score * scale);
        }
        const double top = *std::max_element(scores.begin(), scores.end());
        double norm = 0;
        for (double& s : scores) norm += s = std::exp(s - top);
        for (std::size_t i = 0; i < dim; i++)
            for (std::size_t j = first; j <= at; j++)
                out[row * dim + i] += scores[j - first] / norm * double{values[(kv_head * capacity + j) * dim + i]};
    }
    return out;
}

/// What stands behind the last position: nobody may look at it.
inline void spoil_behind(const KvCacheShape& cache, std::uint32_t positions, std::vector<float>& rows) {
    for (std::size_t head = 0; head < cache.kv_heads; head++)
        for (std::size_t i = positions * std::size_t{cache.head_dim}; i < std::size_t{cache.capacity} * cache.head_dim;
             i++)
            rows[head * cache.capacity * cache.head_dim + i] = std::numeric_limits<float>::quiet_NaN();
}

} // namespace ptxgen::kernels::test
