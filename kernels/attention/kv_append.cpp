#include "kernels/attention/kv_append.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/memory.hpp"

#include <algorithm>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t max_threads = 256;

std::uint32_t vectors_of_row(const KvCacheShape& shape) {
    return shape.kv_heads * (shape.head_dim / vector_width(shape.head_dim));
}

template <value_type T>
void append_both(KernelBuilder& k, const KvCacheShape& shape) {
    const auto keys =
        k.param<global_ptr<const f32>>("k", "f32 [tokens][kv_heads][head_dim]", row_alignment(shape.head_dim));
    const auto values =
        k.param<global_ptr<const f32>>("v", "f32 [tokens][kv_heads][head_dim]", row_alignment(shape.head_dim));
    const auto k_cache = k.param<global_ptr<T>>("k_cache", "[kv_heads][capacity][head_dim]",
                                                row_alignment(shape.head_dim, byte_size(T::type)));
    const auto v_cache = k.param<global_ptr<T>>("v_cache", "[kv_heads][capacity][head_dim]",
                                                row_alignment(shape.head_dim, byte_size(T::type)));
    const auto position = k.param<global_ptr<const u32>>("position", "u32 [1]: position of the first token");
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(kv_append_threads(shape));
    k.ret_if(k.ctaid.x >= tokens);
    const Val<u32> at = k.ld(position) + k.ctaid.x;
    const std::uint32_t width = shape.kv_heads * shape.head_dim;
    emit_kv_append<T>(k, shape, row(k, keys, k.ctaid.x, width), k_cache, at, k.tid.x);
    emit_kv_append<T>(k, shape, row(k, values, k.ctaid.x, width), v_cache, at, k.tid.x);
}

} // namespace

std::uint32_t kv_append_threads(const KvCacheShape& shape) {
    return std::min(max_threads, ceil_div(vectors_of_row(shape), 32) * 32);
}

template <value_type T>
void emit_kv_append(KernelBuilder& k, const KvCacheShape& shape, const Val<global_ptr<const f32>>& source,
                    const Val<global_ptr<T>>& cache, const Val<u32>& at, const Val<u32>& thread) {
    const std::uint32_t vector = vector_width(shape.head_dim), vectors_of_head = shape.head_dim / vector;
    k.for_<u32>(thread, vectors_of_row(shape), kv_append_threads(shape), [&](Var<u32>& i) {
        const Val<u32> head = quotient(i, vectors_of_head);
        const auto in_head = remainder(i, vectors_of_head) * vector;
        const auto target = row(k, cache, k.mad_lo(head, shape.capacity, at), shape.head_dim) + in_head;
        store(k, target, load(k, source + i * vector, vector));
    });
}

template void emit_kv_append<f32>(KernelBuilder&, const KvCacheShape&, const Val<global_ptr<const f32>>&,
                                  const Val<global_ptr<f32>>&, const Val<u32>&, const Val<u32>&);
template void emit_kv_append<f16>(KernelBuilder&, const KvCacheShape&, const Val<global_ptr<const f32>>&,
                                  const Val<global_ptr<f16>>&, const Val<u32>&, const Val<u32>&);

Result<Generated> kv_append(const KvCacheShape& shape, std::optional<Target> target,
                            std::optional<PtxVersion> version) {
    if (auto ok = check_range("kv-heads", shape.kv_heads, 1, 1u << 12); !ok) return ok.error();
    if (auto ok = check_range("head-dim", shape.head_dim, 1, 1024); !ok) return ok.error();
    if (auto ok = check_range("capacity", shape.capacity, 1, 1u << 20); !ok) return ok.error();
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("kv_append");
    if (shape.type == CacheType::f32)
        append_both<f32>(k, shape);
    else
        append_both<f16>(k, shape);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = kv_append_threads(shape);
    return finish(std::move(module), launch);
}

Grid kv_append_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
