#include "kernels/sampling/argmax.hpp"

#include "kernels/common/memory.hpp"

#include <bit>
#include <fmt/format.h>
#include <limits>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t no_index = 0xffffffff;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

} // namespace

BestLogit::BestLogit(KernelBuilder& k) : value(k.var<f32>(minus_infinity)), index(k.var<u32>(no_index)) {}

void BestLogit::take(KernelBuilder& k, const Val<f32>& other, const Val<u32>& other_index) {
    const auto lower = other_index < index;
    const auto equal = other == value;
    const auto equal_and_lower = equal & lower;
    const auto larger = other > value;
    const auto better = larger | equal_and_lower;
    value = k.selp(other, value, better);
    index = k.selp(other_index, index, better);
}

void BestLogit::reduce_lanes(KernelBuilder& k, std::uint32_t lanes) {
    for (std::uint32_t offset = lanes / 2; offset > 0; offset /= 2) {
        const auto other = k.shfl_sync_bfly(value, offset, 31, 0xffffffffu);
        const auto other_index = k.shfl_sync_bfly(index, offset, 31, 0xffffffffu);
        take(k, other, other_index);
    }
}

void BestLogit::reduce_cta(KernelBuilder& k, const Val<u32>& thread, std::uint32_t threads,
                           const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices,
                           const CtaBarrier& barrier) {
    reduce_lanes(k, 32);
    const std::uint32_t warps = threads / 32;
    if (warps == 1) return;
    const Val<u32> lane = thread & 31, warp = thread >> 5;
    k.if_(lane == 0, [&] {
        k.st(values + warp, value);
        k.st(indices + warp, index);
    });
    barrier.emit(k);
    const std::uint32_t slots = std::bit_ceil(warps);
    const Val<u32> slot = k.min(lane & (slots - 1), k.imm<u32>(warps - 1));
    value = k.ld(values + slot);
    index = k.ld(indices + slot);
    reduce_lanes(k, slots);
}

Val<u32> BestLogit::id(KernelBuilder& k) const { return k.selp(k.imm<u32>(0), index, index == no_index); }

Val<u32> emit_argmax(KernelBuilder& k, const ArgmaxConfig& config, const Val<global_ptr<const f32>>& logits,
                     const Val<u32>& thread, const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices) {
    BestLogit best(k);
    const std::uint32_t vector = vector_width(config.vocab);
    k.for_<u32>(thread * vector, config.vocab, config.threads * vector, [&](Var<u32>& i) {
        const Values row_values = load(k, logits + i, vector);
        for (std::uint32_t e = 0; e < vector; e++) {
            // Indices grow, so only a larger value is better; a comparison with a NaN is false.
            const Pred better = row_values[e] > best.value;
            best.value = k.selp(row_values[e], best.value, better);
            best.index = k.selp(i + e, best.index, better);
        }
    });
    best.reduce_cta(k, thread, config.threads, values, indices);
    return best.id(k);
}

Result<Generated> argmax(const ArgmaxConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_range("vocab", config.vocab, 1, 1u << 30); !ok) return ok.error();
    if (auto ok = check_range("threads", config.threads, 32, 1024); !ok) return ok.error();
    if (config.threads % 32 != 0) return Error{fmt::format("threads must be a multiple of 32, not {}", config.threads)};
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("argmax");
    const auto logits = k.param<global_ptr<const f32>>("logits", "f32 [tokens][vocab]", row_alignment(config.vocab));
    const auto ids = k.param<global_ptr<u32>>("ids", "u32 [tokens]");
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    k.max_threads(config.threads);
    const auto values = k.shared<f32>("warp_values", config.threads / 32);
    const auto indices = k.shared<u32>("warp_indices", config.threads / 32);
    k.ret_if(k.ctaid.x >= tokens);
    const auto id = emit_argmax(k, config, row(k, logits, k.ctaid.x, config.vocab), k.tid.x, values, indices);
    const auto target_id = ids + k.ctaid.x;
    k.predicated(k.tid.x == 0, [&] { k.st(target_id, id); });
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = config.threads;
    return finish(std::move(module), launch);
}

Grid argmax_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
