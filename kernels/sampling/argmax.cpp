#include "kernels/sampling/argmax.hpp"

#include "kernels/common/memory.hpp"
#include "kernels/sampling/best.hpp"

#include <fmt/format.h>

namespace ptxgen::kernels {
Val<u32> emit_argmax(KernelBuilder& k, const ArgmaxConfig& config, const Val<global_ptr<const f32>>& logits,
                     const Val<u32>& thread, const Val<shared_ptr<f32>>& values, const Val<shared_ptr<u32>>& indices) {
    Best best = no_best(k);
    const std::uint32_t vector = vector_width(config.vocab);
    k.for_<u32>(thread * vector, config.vocab, config.threads * vector,
                [&](Var<u32>& i) { take_larger(k, best, load(k, logits + i, vector), i); });
    best_of_cta(k, best, thread, config.threads, values, indices);
    return k.selp(k.imm<u32>(0), best.index, best.index == no_index);
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
