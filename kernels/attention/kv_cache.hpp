#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

/// Storage of the key and value cache.
enum class CacheType : std::uint8_t { f32, f16 };

/// The cache of one layer: keys [kv_heads][capacity][head_dim], values likewise, in two buffers. Rows of a head are
/// consecutive, so that attention streams one range of memory for each head.
struct KvCacheShape {
    std::uint32_t kv_heads = 3;    ///< from 1
    std::uint32_t head_dim = 64;   ///< from 1
    std::uint32_t capacity = 2048; ///< positions
    CacheType type = CacheType::f32;

    std::uint64_t elements() const { return std::uint64_t{kv_heads} * capacity * head_dim; }
    /// Size of the keys' buffer, and of the values'.
    std::uint64_t bytes() const { return elements() * (type == CacheType::f32 ? 4 : 2); }
};

} // namespace ptxgen::kernels
