#include "kernels/norm/rms_norm.hpp"

#include "kernels/common/memory.hpp"
#include "kernels/common/reduce.hpp"

#include <algorithm>

namespace ptxgen::kernels {
namespace {

// A row of up to this many vectors a thread stays in registers between its two uses.
constexpr std::uint32_t max_cached_rounds = 8;
constexpr std::uint32_t usual_threads = 256, max_threads = 1024;

/// A thread handles the vectors thread, thread + threads, …
struct Split {
    std::uint32_t vector, vectors, threads, rounds;
};

Split split(std::uint32_t width) {
    Split s{};
    s.vector = vector_width(width);
    s.vectors = width / s.vector;
    const std::uint32_t wanted = std::max(std::min(s.vectors, usual_threads), ceil_div(s.vectors, max_cached_rounds));
    s.threads = std::min(max_threads, ceil_div(wanted, 32) * 32);
    s.rounds = ceil_div(s.vectors, s.threads);
    return s;
}

} // namespace

std::uint32_t rms_norm_threads(const RmsNormConfig& config) { return split(config.width).threads; }

void emit_rms_norm(KernelBuilder& k, const RmsNormConfig& config, const Val<global_ptr<const f32>>& x,
                   const Val<global_ptr<const f32>>& weight, const Val<global_ptr<f32>>& out, const Val<u32>& thread,
                   const Val<shared_ptr<f32>>& scratch) {
    const Split s = split(config.width);
    const Val<u32> offset = thread * s.vector;
    const auto x_at = x + offset, weight_at = weight + offset;
    const auto out_at = out + offset;
    const std::uint32_t step = s.threads * s.vector;
    auto squares = k.var<f32>(0.f);
    const auto add_squares = [&](const auto& values) {
        for (const auto& v : values) squares = k.fma(v, v, squares);
    };
    const auto scale = [&] {
        const Val<f32> sum = cta_sum(k, squares, thread, s.threads, scratch);
        const auto mean = k.fma(sum, k.imm<f32>(1.0 / config.width), k.imm<f32>(config.epsilon));
        return k.div(k.imm<f32>(1.f), k.sqrt(mean, rn));
    };
    const auto scaled = [&](const auto& values, const Val<f32>& by, const Val<global_ptr<const f32>>& weight_from) {
        const Values w = load(k, weight_from, s.vector);
        Values result;
        for (std::uint32_t i = 0; i < s.vector; i++) result.push_back(values[i] * by * w[i]);
        return result;
    };

    if (s.rounds <= max_cached_rounds) {
        // Only the last round may have threads without a vector.
        const std::uint32_t last = s.rounds - 1;
        const bool full = s.vectors % s.threads == 0;
        const Pred in_last = thread < s.vectors - last * s.threads;
        std::vector<Accumulators> cached;
        for (std::uint32_t r = 0; r < s.rounds; r++) {
            cached.push_back(r == last && !full ? accumulators(k, s.vector, 0.f) : Accumulators{});
            if (cached[r].empty()) {
                for (std::uint32_t i = 0; i < s.vector; i++) cached[r].push_back(k.var<f32>());
                load_into(k, cached[r], x_at + r * step);
            } else {
                k.predicated(in_last, [&] { load_into(k, cached[r], x_at + r * step); });
            }
        }
        for (const auto& values : cached) add_squares(values);
        const Val<f32> by = scale();
        for (std::uint32_t r = 0; r < s.rounds; r++) {
            const auto finish_round = [&] {
                const Values result = scaled(cached[r], by, weight_at + r * step);
                store(k, out_at + r * step, result);
            };
            if (r == last && !full)
                k.if_(in_last, finish_round);
            else
                finish_round();
        }
        return;
    }
    const auto each_vector = [&](auto&& body) {
        k.for_<u32>(thread, s.vectors, s.threads, [&](Var<u32>& i) { body(Val<u32>(i * s.vector)); });
    };
    each_vector([&](const Val<u32>& at) { add_squares(load(k, x + at, s.vector)); });
    const Val<f32> by = scale();
    each_vector([&](const Val<u32>& at) {
        const auto weight_from = weight + at;
        const Values values = load(k, x + at, s.vector);
        const Values result = scaled(values, by, weight_from);
        store(k, out + at, result);
    });
}

Result<Generated> rms_norm(const RmsNormConfig& config, std::optional<Target> target,
                           std::optional<PtxVersion> version) {
    if (auto ok = check_range("width", config.width, 1, 1u << 20); !ok) return ok.error();
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("rms_norm");
    const auto x = k.param<global_ptr<const f32>>("x", "f32 [tokens][width]", row_alignment(config.width));
    const auto weight = k.param<global_ptr<const f32>>("weight", "f32 [width]", row_alignment(config.width));
    const auto out = k.param<global_ptr<f32>>("out", "f32 [tokens][width], may be x", row_alignment(config.width));
    const auto tokens = k.param<u32>("tokens", "rows; CTAs beyond them do nothing");
    const std::uint32_t threads = rms_norm_threads(config);
    k.max_threads(threads);
    const auto scratch = k.shared<f32>("partial_sums", threads / 32);
    k.ret_if(k.ctaid.x >= tokens);
    const auto out_row = row(k, out, k.ctaid.x, config.width);
    const auto x_row = row(k, x, k.ctaid.x, config.width);
    emit_rms_norm(k, config, x_row, weight, out_row, k.tid.x, scratch);
    LaunchShape launch;
    launch.grid_x = "tokens";
    launch.block_x = threads;
    return finish(std::move(module), launch);
}

Grid rms_norm_grid(std::uint32_t tokens) { return {tokens, 1, 1}; }

} // namespace ptxgen::kernels
