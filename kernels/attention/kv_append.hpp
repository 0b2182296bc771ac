#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "kernels/generated.hpp"

namespace ptxgen::kernels {

/// Threads of a CTA that the fragment is written for.
std::uint32_t kv_append_threads(const KvCacheShape& shape);

/// Copies one row f32 [kv_heads][head_dim] to position `at` of a cache buffer of element type T (f32 or f16), by the
/// threads of a CTA.
template <value_type T>
void emit_kv_append(KernelBuilder& k, const KvCacheShape& shape, const Val<global_ptr<const f32>>& source,
                    const Val<global_ptr<T>>& cache, const Val<u32>& at, const Val<u32>& thread);

/// Kernel kv_append(k, v, k_cache, v_cache, position, tokens): copies the keys and values of new tokens, each
/// f32 [tokens][kv_heads][head_dim], into the cache at *position + token. f16: rounded to nearest. One CTA for each
/// token; the last position must be less than the capacity.
Result<Generated> kv_append(const KvCacheShape& shape, std::optional<Target> target = {},
                            std::optional<PtxVersion> version = {});
Grid kv_append_grid(std::uint32_t tokens);

} // namespace ptxgen::kernels
