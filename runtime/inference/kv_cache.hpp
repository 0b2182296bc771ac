#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "kernels/model_shape.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <cstdint>

namespace ptxgen {

/// The keys and values of all layers in one buffer: keys of layer 0, its values, keys of layer 1, … Each part has
/// kernels::KvCacheShape's layout and starts at a multiple of 256 bytes; layers are layer_stride() bytes apart.
class KvCache {
public:
    KvCache() = default;
    KvCache(const ModelShape& shape, std::uint32_t positions, kernels::CacheType type)
        : shape_{shape.kv_heads, shape.head_dim, positions, type}, layers_(shape.layers) {}

    Status allocate(runtime::Device& device);
    /// Device memory that allocate() takes.
    std::uint64_t bytes() const { return layer_stride() * layers_; }

    const kernels::KvCacheShape& shape() const { return shape_; }
    runtime::DevicePtr keys(std::uint32_t layer) const { return buffer_.address() + layer * layer_stride(); }
    runtime::DevicePtr values(std::uint32_t layer) const { return keys(layer) + part(); }
    std::uint64_t layer_stride() const { return 2 * part(); }

private:
    std::uint64_t part() const { return (shape_.bytes() + 255) / 256 * 256; }

    kernels::KvCacheShape shape_;
    std::uint32_t layers_ = 0;
    runtime::Buffer buffer_;
};

} // namespace ptxgen
