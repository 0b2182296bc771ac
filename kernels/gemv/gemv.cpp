#include "kernels/gemv/gemv.hpp"

#include "kernels/common/index.hpp"
#include "kernels/gemv/unit_product.hpp"

#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

/// Sums over the lanes that share a row; every one of them gets the sum.
Val<f32> sum_over_lanes(KernelBuilder& k, const Var<f32>& value, std::uint32_t lanes) {
    std::vector<Val<f32>> sums{Val<f32>(k.state(), value.operand())};
    for (std::uint32_t distance = lanes / 2; distance > 0; distance /= 2) {
        const auto other = k.shfl_sync_bfly(sums.back(), distance, 31U, 0xFFFFFFFFU);
        sums.push_back(sums.back() + other);
    }
    return sums.back();
}

/// A pointer at element `row · stride` of a matrix.
template <class T>
Val<global_ptr<T>> row_at(KernelBuilder& k, const Val<global_ptr<T>>& base, const Val<u32>& row,
                          std::uint64_t row_bytes) {
    if (row_bytes <= 0xFFFFFFFFU)
        return k.mad_wide(row, static_cast<std::uint32_t>(row_bytes), base.template as<u64>())
            .template as<global_ptr<T>>();
    const auto wide = k.cvt<u64>(row);
    return k.mad_lo(wide, row_bytes, base.template as<u64>()).template as<global_ptr<T>>();
}
template <class T>
Val<shared_ptr<T>> row_at(KernelBuilder& k, const Val<shared_ptr<T>>& base, const Val<u32>& row,
                          std::uint64_t row_bytes) {
    return k.mad_lo(row, static_cast<std::uint32_t>(row_bytes), base.template as<u32>()).template as<shared_ptr<T>>();
}

} // namespace

template <pointer_type X, pointer_type Y>
void emit_gemv(KernelBuilder& k, const GemvConfig& config, const GemvOperands<X, Y>& operands, const Val<u32>& row_tile,
               const Val<u32>& first_token) {
    const auto decoder = unit_decoder(config.type, config.cols);
    const UnitShape& shape = decoder->shape();
    const std::uint32_t lanes = config.lanes_per_row;
    const std::uint32_t rows_each = config.rows_per_lane;
    const std::uint32_t tile = config.token_tile;
    const std::uint32_t blocks = config.cols / shape.block_elements;
    const std::uint32_t units = blocks * shape.units;
    const std::uint64_t row_size = row_bytes(config.type, config.cols);
    const LabelRef done = k.label("gemv_done");

    k.comment(fmt::format("{} lanes a row, {} rows a lane", lanes, rows_each));
    const Val<u32> lane = k.laneid;
    // Each statement emits one thing, since compilers order the sides of an operator as they like.
    const auto tile_row = row_tile * gemv_rows_per_warp(config);
    k.bra_if(tile_row >= config.rows, done);
    const auto part = lane & (lanes - 1);
    const auto team = lane >> std::countr_zero(lanes);
    const auto wanted_row = k.mad_lo(team, rows_each, tile_row);
    // Lanes beyond the last row repeat the last ones and do not store.
    const auto row = k.min(wanted_row, config.rows - rows_each);

    if (shape.units > 1) decoder->select_unit(k, part & (shape.units - 1));
    const auto block = shape.units > 1 ? part >> std::countr_zero(shape.units) : part;
    auto weights =
        k.var<global_ptr<const u8>>(row_at(k, row_at(k, operands.weights, row, row_size), block, shape.block_bytes));

    // Tokens beyond the last repeat the last one.
    std::vector<Val<u32>> tokens;
    std::vector<Var<X>> x;
    for (std::uint32_t t = 0; t < tile; t++) {
        if (t == 0) {
            tokens.push_back(first_token);
        } else {
            const auto last = operands.tokens - 1U;
            const auto wanted = first_token + t;
            tokens.push_back(k.min(wanted, last));
        }
        const auto from = row_at(k, row_at(k, operands.x, tokens[t], std::uint64_t{config.cols} * 4), block,
                                 shape.block_elements * 4);
        if (shape.units > 1)
            x.push_back(k.var<X>(from + decoder->element_offset(k)));
        else
            x.push_back(k.var<X>(from));
    }

    UnitProduct<X> product(k, *decoder, rows_each, tile, row_size);
    const std::uint32_t block_step = lanes / shape.units;
    auto left = k.var<s32>(static_cast<std::int32_t>(units) - part.as<s32>());
    const LabelRef loop = k.label("gemv_units"), sum = k.label("gemv_sum");
    if (lanes > units) k.bra_if(left <= 0, sum);
    k.place(loop);
    product.accumulate(weights, x);
    if (units > lanes) {
        weights += block_step * shape.block_bytes;
        for (auto& pointer : x) pointer += block_step * shape.block_elements;
        left -= lanes;
        k.bra_if(left > 0, loop);
    }
    k.place(sum);

    std::vector<Val<f32>> sums;
    for (std::uint32_t r = 0; r < rows_each; r++)
        for (std::uint32_t t = 0; t < tile; t++) sums.push_back(sum_over_lanes(k, product.sum(r, t), lanes));

    if (lanes > 1) k.bra_if(part != 0U, done);
    std::vector<Val<f32>> scales;
    for (std::uint32_t t = 0; operands.scale && t < tile; t++) {
        const auto from = *operands.scale + tokens[t];
        scales.push_back(k.ld(from));
    }
    std::vector<Val<f32>> biases;
    for (std::uint32_t r = 0; operands.bias && r < rows_each; r++) biases.push_back(k.ld(*operands.bias + row + r));
    std::vector<Pred> row_valid;
    for (std::uint32_t r = 0; r < rows_each; r++)
        row_valid.push_back(r == 0 ? row >= wanted_row : row + r >= wanted_row);
    const std::uint64_t y_row = std::uint64_t{config.rows} * 4;
    for (std::uint32_t t = 0; t < tile; t++) {
        const auto y = row_at(k, operands.y, tokens[t], y_row) + row;
        std::optional<Val<global_ptr<const f32>>> residual;
        if (operands.residual) residual.emplace(row_at(k, *operands.residual, tokens[t], y_row) + row);
        std::optional<Pred> token_valid;
        if (t > 0) token_valid.emplace(first_token + t < operands.tokens);
        for (std::uint32_t r = 0; r < rows_each; r++) {
            const auto valid = token_valid ? row_valid[r] & *token_valid : row_valid[r];
            k.predicated(valid, [&] {
                std::vector<Val<f32>> terms{sums[r * tile + t]};
                if (operands.scale) terms.push_back(terms.back() * scales[t]);
                if (operands.bias) terms.push_back(terms.back() + biases[r]);
                if (residual) terms.push_back(terms.back() + k.ld(*residual + r));
                k.st(y + r, terms.back());
            });
        }
    }
    k.place(done);
}

template void emit_gemv(KernelBuilder&, const GemvConfig&, const GemvOperands<global_ptr<const f32>, global_ptr<f32>>&,
                        const Val<u32>&, const Val<u32>&);
template void emit_gemv(KernelBuilder&, const GemvConfig&, const GemvOperands<shared_ptr<f32>, shared_ptr<f32>>&,
                        const Val<u32>&, const Val<u32>&);

namespace {

/// Operands of a kernel of its own.
using KernelOperands = GemvOperands<global_ptr<const f32>, global_ptr<f32>>;

KernelOperands declare_operands(KernelBuilder& k, const GemvConfig& config) {
    const auto weights = k.param<global_ptr<const u8>>(
        "weights", fmt::format("{} [{}][{}] as stored", name(config.type), config.rows, config.cols), align(32));
    const auto x = k.param<global_ptr<const f32>>("x", fmt::format("f32 [tokens][{}]", config.cols), align(16));
    const auto y = k.param<global_ptr<f32>>("y", fmt::format("f32 [tokens][{}], the result", config.rows));
    std::optional<Val<global_ptr<const f32>>> scale, bias, residual;
    if (config.scale) scale.emplace(k.param<global_ptr<const f32>>("scale", "f32 [tokens]"));
    if (config.bias) bias.emplace(k.param<global_ptr<const f32>>("bias", fmt::format("f32 [{}]", config.rows)));
    if (config.residual)
        residual.emplace(
            k.param<global_ptr<const f32>>("residual", fmt::format("f32 [tokens][{}], may be y", config.rows)));
    const auto tokens = k.param<u32>("tokens", "rows of x");
    return {weights, x, y, bias, residual, tokens, scale};
}

LaunchShape gemv_launch(const GemvConfig& config) {
    LaunchShape launch;
    launch.grid_x = fmt::format("ceil(rows / {})", gemv_rows_per_warp(config) * config.warps_per_cta);
    launch.grid_y = config.token_tile == 1 ? "tokens" : fmt::format("ceil(tokens / {})", config.token_tile);
    launch.block_x = 32 * config.warps_per_cta;
    return launch;
}

} // namespace

Result<Generated> gemv(const GemvConfig& given, std::optional<Target> target, std::optional<PtxVersion> version) {
    const auto checked = completed(given);
    if (!checked) return checked.error();
    const GemvConfig& config = *checked;

    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel(gemv_name(config.type));
    k.max_threads(32 * config.warps_per_cta);
    const KernelOperands operands = declare_operands(k, config);
    const auto warp_of_cta = k.tid.x >> 5U;
    const auto warp = k.mad_lo(k.ctaid.x, config.warps_per_cta, warp_of_cta);
    const Val<u32> token_tile = k.ctaid.y;
    const auto first_token = config.token_tile == 1 ? token_tile : token_tile * config.token_tile;
    emit_gemv(k, config, operands, warp, first_token);
    return finish(std::move(module), gemv_launch(config));
}

Result<TileKernel> gemv_tile(const GemvConfig& given) {
    const auto checked = completed(given);
    if (!checked) return checked.error();
    const auto prologue = [config = *checked](KernelBuilder& builder) {
        const KernelOperands operands = declare_operands(builder, config);
        policies::TileCode code;
        code.dimensions = 2;
        code.grid = [=, k = builder]() mutable -> std::vector<Val<u32>> {
            const Val<u32> along_x = k.imm<u32>(gemv_grid(config, 1).x);
            const Val<u32> padded = operands.tokens + (config.token_tile - 1);
            return {along_x, quotient(padded, config.token_tile)};
        };
        code.tile = [=, k = builder](const policies::TileId& tile) mutable {
            const auto warp_of_cta = k.tid.x >> 5U;
            const auto warp = k.mad_lo(tile.x, config.warps_per_cta, warp_of_cta);
            const Val<u32> first_token = config.token_tile == 1 ? tile.y : tile.y * config.token_tile;
            k.if_(first_token < operands.tokens, [&] { emit_gemv(k, config, operands, warp, first_token); });
        };
        return code;
    };
    return TileKernel{gemv_name(checked->type), gemv_launch(*checked), 32 * checked->warps_per_cta, prologue};
}

Grid gemv_grid(const GemvConfig& config, std::uint32_t tokens) {
    return {ceil_div(config.rows, gemv_rows_per_warp(config) * config.warps_per_cta),
            ceil_div(tokens, config.token_tile), 1};
}

} // namespace ptxgen::kernels
