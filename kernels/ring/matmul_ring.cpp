#include "kernels/ring/matmul_ring.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/memory.hpp"
#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/ring/code_layouts.hpp"
#include "kernels/ring/unit_product.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr std::uint32_t all_lanes = 0xffffffff;
constexpr std::uint32_t within_quads = 0x1c03; ///< for shuffles: sources are lanes of the same group
/// Super-blocks of columns in shared memory: one in use, the others on their way.
constexpr std::uint32_t column_stages = 3;

/// Numbers that follow from the configuration.
struct Layout {
    MatmulRingConfig config;
    RingFormat format;
    RingShape shape;
    bool minima = false;

    std::uint32_t column_blocks() const { return config.token_tile / ring_column_tokens; }
    /// What is needed of a column block.
    std::uint32_t block_bytes() const { return minima ? ring_column_block_bytes : ring_column_sums; }
    std::uint32_t stage_bytes() const { return column_blocks() * block_bytes(); }
    std::uint32_t warp_rows() const { return ring_tile_rows * config.row_tiles; }
    std::uint32_t cta_rows() const { return warp_rows() * config.warps; }
    std::uint32_t row_groups() const { return ceil_div(config.rows, cta_rows()); }
    std::uint64_t row_tile_bytes() const { return std::uint64_t{shape.super_blocks} * format.unit_bytes; }
    std::uint64_t row_column_bytes() const { return std::uint64_t{shape.super_blocks} * ring_column_block_bytes; }
};

Result<Layout> lay_out(const MatmulRingConfig& config) {
    if (!ring_format(config.type))
        return Error{fmt::format("there is no ring format for weights of type {}", name(config.type))};
    if (auto status = check_range("rows", config.rows, 1, max_rows); !status) return status.error();
    if (auto status = check_range("cols", config.cols, 1, max_cols); !status) return status.error();
    const TensorTypeInfo& info = tensor_type_info(config.type);
    if (config.cols % info.block_elements != 0)
        return Error{
            fmt::format("cols must be a multiple of {} for {}, not {}", info.block_elements, info.name, config.cols)};
    if (config.token_tile == 0 || config.token_tile > 64 || config.token_tile % ring_column_tokens != 0)
        return Error{fmt::format("token-tile must be a multiple of 8 up to 64, not {}", config.token_tile)};
    if (auto status = check_range("row-tiles", config.row_tiles, 1, 2); !status) return status.error();
    if (auto status = check_range("warps", config.warps, 1, 8); !status) return status.error();
    Layout layout;
    layout.config = config;
    layout.format = *ring_format(config.type);
    layout.shape = ring_shape(config.rows, config.cols);
    layout.minima = config.type == TensorType::q4_k || config.type == TensorType::q4_1;
    return layout;
}

struct Operands {
    Val<global_ptr<const u8>> weights, columns;
    Val<global_ptr<f32>> y;
    std::optional<Val<global_ptr<const f32>>> bias, residual;
    Val<u32> tokens;
};

/// The part of Y that a CTA computes.
struct Part {
    Val<u32> row_tile;     ///< the warp's first one
    Val<u32> column_block; ///< the CTA's first one
};

template <class T>
Val<T> read(KernelBuilder& k, const Var<T>& variable) {
    return {k.state(), variable.operand()};
}

/// The CTA's column blocks on their way to shared memory, super-block after super-block: block b is copied by warp
/// b mod warps.
class ColumnCopies {
public:
    ColumnCopies(KernelBuilder& k, const Layout& layout, const Operands& operands, const Part& part,
                 const Val<u32>& warp, const Val<u32>& lane, const Val<shared_ptr<u8>>& stages)
        : k_(k), layout_(layout), upper_half_(lane >= 16U) {
        const auto lane_at = lane << 4U;
        const auto last = ((operands.tokens + (ring_column_tokens - 1)) >> 3U) - 1U;
        for (std::uint32_t b = 0; b < layout.column_blocks(); b += layout.config.warps) {
            const auto block = warp + b;
            if (b + layout.config.warps > layout.column_blocks()) exists_.emplace(block < layout.column_blocks());
            // Blocks behind the last token's are copies of that one; nothing comes of them.
            const auto wanted = part.column_block + block;
            const auto existing = k.min(wanted, last);
            const auto from = operands.columns + lane_at;
            const auto source = k.mad_lo(k.cvt<u64>(existing), layout.row_column_bytes(), from.as<u64>());
            sources_.push_back(k.var<global_ptr<const u8>>(source.as<global_ptr<const u8>>()));
            const auto to = k.mad_lo(block, layout.block_bytes(), stages.as<u32>());
            targets_.push_back(to + lane_at);
        }
    }

    /// The next super-block into the stage at `offset`.
    void copy(const Val<u32>& offset) {
        for (std::size_t i = 0; i < sources_.size(); i++) {
            const auto body = [&] { copy_block(i, offset); };
            if (exists_ && i + 1 == sources_.size())
                k_.if_(*exists_, body);
            else
                body();
            sources_[i] += ring_column_block_bytes;
        }
    }

private:
    void copy_block(std::size_t i, const Val<u32>& offset) {
        const auto to = (targets_[i] + offset).as<shared_ptr<u8>>();
        const auto from = read(k_, sources_[i]);
        for (std::uint32_t at = 0; at < layout_.block_bytes(); at += 512) {
            const auto piece_to = to + at;
            const auto piece_from = from + at;
            const auto piece = [&] { k_.cp_async_cg(piece_to, piece_from, 16U); };
            if (at + 512 > layout_.block_bytes())
                k_.predicated(!upper_half_, piece); // both kinds of block end with half a round
            else
                piece();
        }
    }

    KernelBuilder k_;
    const Layout& layout_;
    std::vector<Var<global_ptr<const u8>>> sources_;
    std::vector<Val<u32>> targets_;
    std::optional<Pred> exists_; ///< whether the warp's last block does
    Pred upper_half_;
};

/// One warp's row tiles times the CTA's columns.
class WarpProduct {
public:
    WarpProduct(KernelBuilder& k, const Layout& layout, const Operands& operands, const Part& part,
                const RingLane& lane, const Val<shared_ptr<u8>>& stages)
        : k_(k), layout_(layout), operands_(operands), part_(part), lane_(lane),
          product_(ring_product(k, layout.config.type, lane)), words_at_(stages.as<u32>() + (lane.lane << 4U)),
          scales_at_(stages.as<u32>() + (lane.quad << 4U)) {
        for (std::uint32_t parity = 0; parity < raised_count(); parity++)
            for (std::size_t i = 0; i < 4; i++)
                raised_[parity].push_back(emit_opaque(k, k.imm<u32>(raised_bits(parity))).as<s32>());
        for (std::uint32_t t = 0; t < layout.config.row_tiles; t++) {
            Tile tile{product_->unit(), k.var<global_ptr<const u8>>(first_unit(t)), {}};
            for (std::uint32_t i = 0; i < 4 * layout.column_blocks(); i++) tile.sums.push_back(k.var<f32>(0.0F));
            tiles_.push_back(std::move(tile));
            Tile& made = tiles_.back();
            load_header(made);
            for (std::uint32_t i = 0; i < layout.format.loads(); i++) load_codes(made, i);
        }
    }

    /// Multiplies the units in the registers with the stage at `offset`, and loads the next units, if there are `more`
    /// (else the same again). `never` is false, which ptxas does not know, and `end` a label behind the loop.
    void multiply(const Val<u32>& offset, const Pred& more, const Pred& never, LabelRef end) {
        const auto words = (words_at_ + offset).as<shared_ptr<const u32>>();
        const auto scales = (scales_at_ + offset).as<shared_ptr<const f32>>();
        std::vector<RingProduct::RowScales> own;
        for (Tile& tile : tiles_) {
            own.push_back(product_->row_scales(tile.unit));
            k_.predicated(more, [&] { tile.from += layout_.format.unit_bytes; });
            load_header(tile);
        }
        if (layout_.minima) add_minima(own, words);
        for (std::uint32_t pair = 0; pair < 4; pair++) {
            // ptxas begins as much at once as there are registers for, and then some. With one tile a branch that is
            // never taken holds it back on every target; with two, this keeps loads from moving up on those before
            // sm_120.
            if (tiles_.size() == 1 && pair != 0)
                k_.bra_if(never, end);
            else
                k_.bar_warp_sync(all_lanes);
            std::vector<std::array<Operand, 2>> operands;
            for (std::size_t t = 0; t < tiles_.size(); t++)
                operands.push_back({operand(tiles_[t], own[t], 2 * pair), operand(tiles_[t], own[t], 2 * pair + 1)});
            // Whole bytes are multiplied where they were loaded.
            const bool in_place = layout_.format.codes == &ring_bytes_layout;
            if (!in_place) reload_codes(2 * pair + 1);
            for (std::uint32_t block = 0; block < layout_.column_blocks(); block++) {
                const std::uint32_t at = block * layout_.block_bytes() / 4;
                const auto b = k_.ld(words + (at + 128 * pair), v4);
                const auto d = k_.ld(scales + (at + ring_column_scales / 4 + 16 * pair), v4);
                for (std::size_t t = 0; t < tiles_.size(); t++)
                    for (std::uint32_t parity = 0; parity < 2; parity++)
                        add_products(tiles_[t], block, operands[t][parity], parity, {b[2 * parity], b[2 * parity + 1]},
                                     {d[2 * parity], d[2 * parity + 1]});
            }
            if (in_place) reload_codes(2 * pair + 1);
        }
    }

    /// The sums (+ bias) (+ residual) to y.
    void store() {
        const auto first_row = k_.mad_lo(part_.row_tile, ring_tile_rows, lane_.group);
        const auto wide_row = k_.cvt<u64>(first_row);
        std::vector<Pred> exists; // of rows 8 apart
        Accumulators bias = accumulators(k_, operands_.bias ? 2 * tiles_.size() : 0, 0);
        for (std::uint32_t i = 0; i < 2 * tiles_.size(); i++) {
            exists.push_back(first_row + 8 * i < layout_.config.rows);
            if (!operands_.bias) continue;
            const auto from = *operands_.bias + wide_row + 8 * i;
            k_.predicated(exists.back(), [&] { bias[i] = k_.ld(from); });
        }
        const auto first_token = k_.mad_lo(part_.column_block, ring_column_tokens, lane_.quad << 1U);
        for (std::uint32_t n = 0; n < 2 * layout_.column_blocks(); n++) {
            const auto token = first_token + (ring_column_tokens * (n / 2) + n % 2);
            k_.if_(token < operands_.tokens, [&] {
                const auto offset = k_.mad_wide(token, layout_.config.rows, wide_row);
                for (std::uint32_t i = 0; i < 2 * tiles_.size(); i++) {
                    const Var<f32>& sum = tiles_[i / 2].sums[4 * (n / 2) + 2 * (i % 2) + n % 2];
                    store_row(offset, i, read(k_, sum), bias, exists[i]);
                }
            });
        }
    }

private:
    struct Tile {
        RingUnit unit;
        Var<global_ptr<const u8>> from;
        Accumulators sums; ///< [column block][row g or g + 8][token 2q or 2q + 1]
    };
    /// Operand A of a 32-block, and its scales: of rows g and g + 8, of all 32 columns or of either 16.
    struct Operand {
        std::vector<Val<u32>> words;
        std::vector<Val<f32>> scale[2], raised[2]; ///< `raised`: what the dots are raised by, times -scale
    };

    const RingCode& code(std::uint32_t j) const {
        return layout_.format.codes->code[j % layout_.format.codes->period_codes];
    }
    /// Codes of nibbles are 1 and 16 times too large, by turns; those of other types all alike.
    std::uint32_t raised_count() const { return layout_.format.codes == &ring_nibbles ? 2 : 1; }
    /// Accumulators start as the bits of 1.5 · 2^(23 - shift): adding the integer makes a float of it.
    std::uint32_t raised_bits(std::uint32_t parity) const {
        return 0x4B400000U - (std::uint32_t{code(parity).shift} << 23);
    }
    float raised_by(std::uint32_t parity) const { return 12582912.0F / static_cast<float>(1U << code(parity).shift); }

    Val<global_ptr<const u8>> first_unit(std::uint32_t t) {
        // Tiles behind the last one are copies of it; nothing comes of them.
        const auto wanted = part_.row_tile + t;
        const auto tile = k_.min(wanted, layout_.shape.tiles - 1);
        return k_.mad_lo(k_.cvt<u64>(tile), layout_.row_tile_bytes(), operands_.weights.as<u64>())
            .as<global_ptr<const u8>>();
    }
    void load_header(Tile& tile) { product_->load_header(tile.unit, read(k_, tile.from)); }
    void load_codes(Tile& tile, std::uint32_t load) {
        product_->load_codes(tile.unit, load, read(k_, tile.from) + (lane_.lane << 4U));
    }
    /// Loads the words of the next units that no output behind `j` takes from these, but outputs j - 1 or j.
    void reload_codes(std::uint32_t j) {
        const RingCodeLayout& codes = *layout_.format.codes;
        for (std::uint32_t load = 0; load < layout_.format.loads(); load++) {
            std::uint32_t last = 0;
            for (std::uint32_t output = 0; output < 8; output++)
                for (std::uint32_t p = 0; p < code(output).pieces; p++)
                    if (output / codes.period_codes * codes.period_words + code(output).piece[p].word == load)
                        last = output;
            if (last != j && last + 1 != j) continue;
            for (Tile& tile : tiles_) load_codes(tile, load);
        }
    }

    /// sums += minimum_scale · Σ over the 32-blocks of minimum · (d · Σ bytes), by products of tf32: minima are whole
    /// in 11 bits, sums come in two parts.
    void add_minima(const std::vector<RingProduct::RowScales>& own, const Val<shared_ptr<const u32>>& words) {
        const auto tf = [](const auto& value) { return value.template as<tf32>(); };
        const auto zero = k_.imm<f32>(0);
        for (std::uint32_t block = 0; block < layout_.column_blocks(); block++) {
            const auto parts = k_.ld(words + (block * layout_.block_bytes() + ring_column_sums) / 4, v4);
            for (std::size_t t = 0; t < tiles_.size(); t++) {
                const auto& [minimum_g, minimum_h] = own[t].minimum;
                const std::array a{tf(minimum_g[0]), tf(minimum_h[0]), tf(minimum_g[1]), tf(minimum_h[1])};
                const std::array high{tf(parts[0]), tf(parts[1])}, low{tf(parts[2]), tf(parts[3])};
                const std::array start{zero, zero, zero, zero};
                const auto of_low = k_.mma_sync_m16n8k8(a, low, start, f32_tf32_tf32_f32);
                const auto of_both = k_.mma_sync_m16n8k8(a, high, of_low, f32_tf32_tf32_f32);
                for (std::size_t i = 0; i < 4; i++) {
                    auto& sum = tiles_[t].sums[4 * block + i];
                    const auto& factor = own[t].minimum_scale[i / 2];
                    if (factor)
                        sum = k_.fma(*factor, of_both[i], sum);
                    else
                        sum = sum + of_both[i];
                }
            }
        }
    }

    Operand operand(const Tile& tile, const RingProduct::RowScales& own, std::uint32_t j) {
        Operand operand;
        operand.words = product_->output(tile.unit, j);
        const bool sixteen = product_->sixteen_columns();
        for (std::size_t row = 0; row < 2; row++)
            for (std::uint32_t half = 0; half < (sixteen ? 2U : 1U); half++) {
                const auto& mine = own.scale[row][sixteen ? 2 * (j / 4) + half : j % 2];
                const std::uint32_t holder = sixteen ? j % 4 : j / 2;
                const auto scale = k_.shfl_sync_idx(mine, holder, within_quads, all_lanes);
                operand.scale[row].push_back(scale);
                operand.raised[row].push_back(scale * -raised_by(j));
            }
        return operand;
    }

    using Dots = std::array<Val<s32>, 4>;
    /// b: the words of the 32-block's columns; d: the scales of tokens 2q and 2q + 1.
    void add_products(Tile& tile, std::uint32_t block, const Operand& a, std::uint32_t parity,
                      const std::array<Val<u32>, 2>& b, const std::array<Val<f32>, 2>& d) {
        const auto& raised = raised_[parity % raised_count()];
        const Dots start{raised[0], raised[1], raised[2], raised[3]};
        const bool is_signed = layout_.format.codes->is_signed;
        if (product_->sixteen_columns()) {
            for (std::size_t half = 0; half < 2; half++) {
                const std::array of_half{a.words[2 * half], a.words[2 * half + 1]};
                add_dots(tile, block, a, half, k_.mma_sync_m16n8k16(of_half, b[half], start, s32_s8_s8_s32), d);
            }
            return;
        }
        const std::array words{a.words[0], a.words[1], a.words[2], a.words[3]};
        if (is_signed)
            add_dots(tile, block, a, 0, k_.mma_sync_m16n8k32(words, b, start, s32_s8_s8_s32), d);
        else
            add_dots(tile, block, a, 0, k_.mma_sync_m16n8k32(words, b, start, s32_u8_s8_s32), d);
    }
    /// A scale has at most 19 bits: times 1.5 · 2^n it is exact, and so is its product with a dot up to one rounding.
    template <class Fragment>
    void add_dots(Tile& tile, std::uint32_t block, const Operand& a, std::size_t half, const Fragment& dots,
                  const std::array<Val<f32>, 2>& d) {
        for (std::size_t i = 0; i < 4; i++) {
            const std::size_t row = i / 2;
            const auto scaled = k_.fma(dots[i].template as<f32>(), a.scale[row][half], a.raised[row][half]);
            auto& sum = tile.sums[4 * block + i];
            sum = k_.fma(scaled, d[i % 2], sum);
        }
    }

    void store_row(const Val<u64>& offset, std::uint32_t i, const Val<f32>& sum, const Accumulators& bias,
                   const Pred& exists) {
        std::vector<Val<f32>> terms{sum};
        if (!bias.empty()) terms.push_back(terms.back() + bias[i]);
        if (operands_.residual) {
            const auto from = *operands_.residual + offset + 8 * i;
            auto other = k_.var<f32>(0.0F);
            k_.predicated(exists, [&] { other = k_.ld(from); });
            terms.push_back(terms.back() + other);
        }
        const auto to = operands_.y + offset + 8 * i;
        k_.predicated(exists, [&] { k_.st(to, terms.back()); });
    }

    KernelBuilder k_;
    const Layout& layout_;
    const Operands& operands_;
    const Part& part_;
    const RingLane& lane_;
    std::unique_ptr<RingProduct> product_;
    std::array<std::vector<Val<s32>>, 2> raised_;
    std::vector<Tile> tiles_;
    Val<u32> words_at_, scales_at_; ///< this lane's in stage 0
};

void emit_body(KernelBuilder& k, const Layout& layout, const Operands& operands) {
    const MatmulRingConfig& config = layout.config;
    const auto stages = k.dynamic_shared<u8>("columns_stages", align(128));
    const RingLane lane(k, RingDots::dp4a); // B is not masked
    const auto warp = emit_opaque(k, k.tid.x >> 5U);
    // CTAs that run at once share rows rather than tokens: weights are what is large.
    const auto token_tiles = quotient(operands.tokens + (config.token_tile - 1), config.token_tile);
    const Val<u32> cta = k.ctaid.x;
    const auto row_group = cta / token_tiles;
    const auto token_tile = cta - row_group * token_tiles;
    const auto warp_tile = k.mad_lo(row_group, config.warps, warp);
    const Part part{warp_tile * config.row_tiles, token_tile * layout.column_blocks()};

    ColumnCopies copies(k, layout, operands, part, warp, lane.lane, stages);
    const std::uint32_t super_blocks = layout.shape.super_blocks;
    for (std::uint32_t s = 0; s + 1 < column_stages; s++) {
        if (s < super_blocks) copies.copy(k.imm<u32>(s * layout.stage_bytes()));
        k.cp_async_commit_group();
    }
    WarpProduct product(k, layout, operands, part, lane, stages);
    auto stage = k.var<u32>(0U);
    auto free_stage = k.var<u32>((column_stages - 1) * layout.stage_bytes());
    auto left = k.var<u32>(super_blocks);
    const auto next_stage = [&](Var<u32>& offset) {
        offset += layout.stage_bytes();
        const auto wrapped = offset == column_stages * layout.stage_bytes();
        k.predicated(wrapped, [&] { offset = 0U; });
    };
    const LabelRef again = k.label("super_block"), end = k.label("end");
    k.place(again);
    k.cp_async_wait_group(column_stages - 2);
    k.bar_sync(0); // this stage is there, and all warps are done with the one before
    k.if_(left >= column_stages, [&] { copies.copy(read(k, free_stage)); });
    k.cp_async_commit_group();
    left -= 1U;
    const Pred more = left != 0U;
    product.multiply(read(k, stage), more, left == 0xffffffffU, end);
    next_stage(stage);
    next_stage(free_stage);
    k.bra_if(more, again);
    k.place(end);
    k.cp_async_wait_all();
    product.store();
}

} // namespace

std::string matmul_ring_name(TensorType type) { return fmt::format("matmul_ring_{}", lower_name(type)); }

MatmulRingConfig spread(MatmulRingConfig config, std::uint32_t tokens, std::uint32_t multiprocessors, Target target) {
    // Warps with one tile load as much from shared memory for half the products. With two, registers do not suffice for
    // the units of Q8_0, nor for ptxas's schedule on sm_120.
    struct Shape {
        std::uint32_t warps, row_tiles, cost;
    };
    std::vector<Shape> shapes{{8, 1, 13}, {4, 1, 13}, {2, 1, 13}};
    if (config.type != TensorType::q8_0 && target.sm < 120) shapes.insert(shapes.begin(), {8, 2, 20});
    std::uint64_t least = ~std::uint64_t{0};
    MatmulRingConfig best = config;
    for (const Shape& shape : shapes) {
        config.warps = shape.warps;
        config.row_tiles = shape.row_tiles;
        // CTAs of few warps run side by side. A multiprocessor's schedulers are not busy with less than a warp each.
        const std::uint32_t on_one = ceil_div(matmul_ring_grid(config, tokens).x, multiprocessors);
        const std::uint64_t time = std::uint64_t{std::max(on_one * shape.warps, 4u)} * shape.cost;
        if (time < least) {
            least = time;
            best = config;
        }
    }
    return best;
}

Result<Generated> matmul_ring(const MatmulRingConfig& config, std::optional<Target> target,
                              std::optional<PtxVersion> version) {
    const auto layout = lay_out(config);
    if (!layout) return layout.error();
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel(matmul_ring_name(config.type));
    k.max_threads(32 * config.warps);
    k.min_ctas_per_sm(1);
    const auto weights = k.param<global_ptr<const u8>>(
        "weights", fmt::format("{} [{}][{}] in the ring format", name(config.type), config.rows, config.cols),
        align(16));
    const auto columns = k.param<global_ptr<const u8>>(
        "columns", fmt::format("[tokens][{}] as column blocks, from ring_columns", config.cols), align(16));
    const auto y = k.param<global_ptr<f32>>("y", fmt::format("f32 [tokens][{}], the result", config.rows));
    std::optional<Val<global_ptr<const f32>>> bias, residual;
    if (config.bias) bias.emplace(k.param<global_ptr<const f32>>("bias", fmt::format("f32 [{}]", config.rows)));
    if (config.residual)
        residual.emplace(
            k.param<global_ptr<const f32>>("residual", fmt::format("f32 [tokens][{}], may be y", config.rows)));
    const auto tokens = k.param<u32>("tokens", "rows of y");
    const Operands operands{weights, columns, y, bias, residual, tokens};
    emit_body(k, *layout, operands);

    LaunchShape launch;
    launch.grid_x = fmt::format("ceil(tokens / {}) * {}", config.token_tile, layout->row_groups());
    launch.block_x = 32 * config.warps;
    launch.dynamic_shared_bytes = column_stages * layout->stage_bytes();
    return finish(std::move(module), std::move(launch));
}

Grid matmul_ring_grid(const MatmulRingConfig& config, std::uint32_t tokens) {
    const std::uint32_t rows = ring_tile_rows * config.row_tiles * config.warps;
    return {ceil_div(tokens, config.token_tile) * ceil_div(config.rows, rows), 1, 1};
}

} // namespace ptxgen::kernels
