#include "runtime/inference/kv_cache.hpp"

namespace ptxgen {

Status KvCache::allocate(runtime::Device& device) {
    auto buffer = device.allocate(bytes());
    if (!buffer) return std::move(buffer).error();
    buffer_ = std::move(*buffer);
    return {};
}

} // namespace ptxgen
