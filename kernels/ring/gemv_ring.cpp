#include "kernels/ring/gemv_ring.hpp"

#include "kernels/dequant/unit_decoder.hpp"
#include "kernels/ring/vector_records.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

constexpr Target bulk_target{90, TargetVariant::plain};
constexpr Target mma_target{80, TargetVariant::plain};
constexpr std::uint32_t max_matrices = 8;

/// One of the matrices, and where its tiles are among all.
struct Matrix {
    GemvRingMatrix config;
    std::uint32_t first_tile = 0, tiles = 0;
    std::uint32_t most_tiles = 0; ///< of a CTA

    std::uint32_t unit_bytes() const { return ring_format(config.type)->unit_bytes; }
};

/// The configuration with everything decided.
struct Layout {
    GemvRingConfig config;
    std::vector<Matrix> matrices;
    bool bulk = false;
    RingDots dots = RingDots::dp4a;
    std::uint32_t tiles = 0, super_blocks = 0, ctas = 0;
    std::uint32_t max_tiles = 0; ///< of a pass
    bool one_pass = false;       ///< over everything
    bool two_sets = false;       ///< of partial sums, in turn, so that one barrier a pass is enough
    RingPlan plan;
    std::uint32_t records_at = 0, squares_at = 0, sums_at = 0, partials_at = 0, shared_bytes = 0;

    std::uint32_t threads() const { return bulk ? ring_threads : 32 * ring_warps; }
};

std::vector<GemvRingMatrix> matrices_of(const GemvRingConfig& config) {
    std::vector<GemvRingMatrix> matrices{{config.type, config.rows, config.bias}};
    matrices.insert(matrices.end(), config.others.begin(), config.others.end());
    return matrices;
}

Status check(const GemvRingConfig& config) {
    if (auto status = check_range("matrices", 1 + config.others.size(), 1, max_matrices); !status) return status;
    for (const GemvRingMatrix& matrix : matrices_of(config)) {
        if (!ring_format(matrix.type))
            return Error{fmt::format("there is no ring format for weights of type {}", name(matrix.type))};
        if (auto status = check_range("rows", matrix.rows, 1, max_rows); !status) return status;
        if (auto status = check_range("cols", config.cols, 1, max_cols); !status) return status;
        const TensorTypeInfo& info = tensor_type_info(matrix.type);
        if (config.cols % info.block_elements != 0)
            return Error{fmt::format("cols must be a multiple of {} for {}, not {}", info.block_elements, info.name,
                                     config.cols)};
    }
    if (auto status = check_range("token-tile", config.token_tile, 1, 8); !status) return status;
    if (auto status = check_range("ctas", config.ctas, 1, 65535); !status) return status;
    if (!std::has_single_bit(config.stage_units) || config.stage_units > ring_warps)
        return Error{fmt::format("stage-units must be 1, 2, 4, 8 or 16, not {}", config.stage_units)};
    if (auto status = check_range("in-flight", config.in_flight, 0, 64); !status) return status;
    return check_range("stages", config.stages, 0, 64);
}

/// Divides shared memory: activations, partial sums (twice, where a CTA needs several passes and has the room), the
/// ring in what is left.
Result<Layout> lay_out(GemvRingConfig config, std::optional<Target> target) {
    if (auto status = check(config); !status) return status.error();
    if (target) config.shared_bytes = std::min(config.shared_bytes, shared_memory_limits(*target).dynamic_bytes);
    Layout layout;
    layout.config = config;
    const bool has_bulk = target && target->provides(bulk_target), has_mma = target && target->provides(mma_target);
    layout.bulk = config.source == RingSource::bulk || (config.source == RingSource::automatic && has_bulk);
    layout.dots = config.dots.value_or(has_mma || (layout.bulk && !target) ? RingDots::mma : RingDots::dp4a);
    layout.super_blocks = ceil_div(config.cols, ring_super_block);
    std::vector<TensorType> types;
    for (const GemvRingMatrix& matrix : matrices_of(config)) {
        const std::uint32_t tiles = ceil_div(matrix.rows, ring_tile_rows);
        layout.matrices.push_back({matrix, layout.tiles, tiles, 0});
        layout.tiles += tiles;
        types.push_back(matrix.type);
    }
    layout.ctas = std::min(config.ctas, layout.tiles);
    std::uint32_t most_tiles = 0;
    for (Matrix& matrix : layout.matrices) {
        matrix.most_tiles = std::min(matrix.tiles, ceil_div(layout.tiles, layout.ctas));
        most_tiles = std::max(most_tiles, matrix.most_tiles);
    }

    RingSegment segment;
    segment.super_blocks = layout.super_blocks;
    segment.tokens = config.token_tile;
    const std::uint32_t granularity = layout.bulk ? segment.pass_granularity() : 1;
    const std::uint64_t records = std::uint64_t{segment.tokens} * layout.super_blocks * ring_record_bytes;
    const std::uint64_t tile_bytes = std::uint64_t{segment.tokens} * segment.tile_bytes();
    const auto too_small = [&](std::uint64_t needed) {
        return Error{
            fmt::format("{} columns of {} for {} tokens need {} bytes of shared memory for activations, partial "
                        "sums and the ring, but a CTA has {}; use a smaller token-tile",
                        config.cols, name(config.type), config.token_tile, needed, config.shared_bytes)};
    };
    // A fifth of the memory for partial sums, if that many tiles are needed at all.
    const std::uint64_t wanted = config.shared_bytes / 5 / (2 * tile_bytes) / granularity * granularity;
    layout.max_tiles = static_cast<std::uint32_t>(std::max<std::uint64_t>(wanted, granularity));
    layout.one_pass = layout.matrices.size() == 1 && most_tiles <= layout.max_tiles;
    layout.max_tiles = std::min(layout.max_tiles, most_tiles);
    std::uint32_t largest_unit = 0;
    for (const Matrix& matrix : layout.matrices) largest_unit = std::max(largest_unit, matrix.unit_bytes());
    const std::uint32_t least_ring = layout.bulk ? ring_warps * (largest_unit + 16) : 0;
    const std::uint64_t squares = config.norm_epsilon ? std::uint64_t{segment.tokens} * 4 * ring_warps : 0;
    const std::uint64_t records_end = (records + squares + 127) / 128 * 128;
    const auto front_of = [&](std::uint32_t sets) {
        const std::uint64_t partials = sets * layout.max_tiles * tile_bytes;
        return (records_end + segment.sum_bytes() + partials + 127) / 128 * 128;
    };
    layout.two_sets = !layout.one_pass && front_of(2) + least_ring <= config.shared_bytes;
    const std::uint64_t front = front_of(layout.two_sets ? 2 : 1);
    layout.squares_at = static_cast<std::uint32_t>(records);
    layout.sums_at = static_cast<std::uint32_t>(records_end);
    layout.partials_at = layout.sums_at + segment.sum_bytes();
    layout.shared_bytes = static_cast<std::uint32_t>(front);
    if (!layout.bulk) {
        if (front > config.shared_bytes) return too_small(front);
        return layout;
    }
    const std::uint32_t left =
        front < config.shared_bytes ? static_cast<std::uint32_t>(config.shared_bytes - front) : 0;
    const auto plan = ring_plan(types, left, config.stage_units, config.stages ? config.stages : 64);
    if (!plan) return too_small(front + least_ring);
    layout.plan = *plan;
    if (config.stages != 0 && layout.plan.stages != config.stages)
        return Error{fmt::format("stages must be a multiple of {} and at most {} here, not {}", plan->groups(),
                                 ring_plan(types, left, config.stage_units)->stages, config.stages)};
    // The ring first: bulk copies want the alignment.
    const std::uint32_t ring = (layout.plan.bytes() + 127) / 128 * 128;
    layout.records_at = ring;
    layout.squares_at += ring;
    layout.sums_at += ring;
    layout.partials_at += ring;
    layout.shared_bytes += ring;
    return layout;
}

/// What a matrix is, gets and gives.
struct MatrixOperands {
    Val<global_ptr<const u8>> weights;
    Val<global_ptr<f32>> y;
    std::optional<Val<global_ptr<const f32>>> bias, residual;
};
struct Operands {
    std::vector<MatrixOperands> matrices;
    Val<global_ptr<const f32>> x;
    std::optional<Val<global_ptr<const f32>>> norm;
    Val<u32> tokens;
};

/// Row `first_token` + `token` of x; tokens beyond the last repeat it and are not stored.
Val<global_ptr<const f32>> row_of_x(KernelBuilder& k, const Layout& layout, const Operands& operands,
                                    const Val<u32>& first_token, const Val<u32>& token) {
    const auto wanted = first_token + token;
    const auto existing = k.min(wanted, operands.tokens - 1U);
    return k.mad_wide(existing, layout.config.cols * 4, operands.x.as<u64>()).as<global_ptr<const f32>>();
}

/// A CTA's row tiles: the first of `extra` CTAs have one more.
struct Tiles {
    Val<u32> first, count;
};
Tiles tiles_of(KernelBuilder& k, const Layout& layout) {
    const std::uint32_t each = layout.tiles / layout.ctas, extra = layout.tiles % layout.ctas;
    const Val<u32> cta = k.ctaid.x;
    const auto before = k.min(cta, extra);
    const auto first = k.mad_lo(cta, each, before);
    const auto count = k.selp(k.imm<u32>(each + 1), k.imm<u32>(each), cta < extra);
    return {first, count};
}

/// The tiles of one matrix among them, counted from the matrix's first.
Tiles tiles_of(KernelBuilder& k, const Layout& layout, const Tiles& all, const Matrix& matrix) {
    if (layout.matrices.size() == 1) return all;
    const auto low = k.max(all.first, matrix.first_tile);
    const auto end = all.first + all.count;
    const auto wanted = k.min(end, matrix.first_tile + matrix.tiles);
    const auto high = k.max(wanted, low);
    const auto count = high - low;
    return {low - matrix.first_tile, count};
}

Val<global_ptr<const u8>> unit_address(KernelBuilder& k, const Layout& layout, const Matrix& matrix,
                                       const Val<global_ptr<const u8>>& weights, const Val<u32>& tile) {
    const std::uint64_t bytes = std::uint64_t{layout.super_blocks} * matrix.unit_bytes();
    const auto wide = k.cvt<u64>(tile);
    return k.mad_lo(wide, bytes, weights.as<u64>()).as<global_ptr<const u8>>();
}

/// Every warp quantises the super-blocks w, w + 16 … of all tokens.
void emit_activations(KernelBuilder& k, const Layout& layout, const Operands& operands, const Val<u32>& first_token,
                      const Val<u32>& warp, const Val<u32>& lane, const Val<shared_ptr<u8>>& records) {
    const std::uint32_t count = layout.config.token_tile * layout.super_blocks;
    k.for_<u32>(warp, count, ring_warps, [&](Var<u32>& i) {
        const Val<u32> index(i);
        const auto token = layout.config.token_tile == 1 ? k.imm<u32>(0) : index / layout.super_blocks;
        const auto super_block = layout.config.token_tile == 1 ? index : index % layout.super_blocks;
        const auto x = row_of_x(k, layout, operands, first_token, token);
        const auto values = emit_record_values(k, x, layout.config.cols, super_block, lane);
        const auto record = k.mad_lo(index, ring_record_bytes, records.as<u32>()).as<shared_ptr<u8>>();
        emit_quantize_record(k, values, record, lane);
    });
}

/// The same of x · norm, and the warps' sums of squares of each token's x: f32 [token_tile][16].
void emit_normed_activations(KernelBuilder& k, const Layout& layout, const Operands& operands,
                             const Val<u32>& first_token, const VectorLane& lane, const Val<shared_ptr<u8>>& records,
                             const Val<shared_ptr<f32>>& squares) {
    const std::uint32_t cols = layout.config.cols;
    const auto one = [&](const Val<u32>& token) {
        const auto x_row = row_of_x(k, layout, operands, first_token, token);
        const auto records_of_token =
            k.mad_lo(token, layout.super_blocks * ring_record_bytes, records.as<u32>()).as<shared_ptr<u8>>();
        auto sum = k.var<f32>(0.F);
        emit_loop_over_super_blocks(k, lane, cols, [&](const auto& super_block, const auto& column, const Pred& has) {
            LaneVector x = zero_lane_vector(k), norm = zero_lane_vector(k);
            emit_load_lane_vector(k, x, x_row + column, has);
            emit_load_lane_vector(k, norm, *operands.norm + column, has);
            emit_add_squares(k, x, sum);
            emit_weigh(k, norm, x);
            const auto record = records_of_token + super_block * ring_record_bytes;
            emit_quantize_record(k, values_of(norm), record, lane.lane);
        });
        const auto of_token = k.mad_lo(token, 4 * ring_warps, squares.as<u32>()).as<shared_ptr<f32>>();
        emit_store_squares(k, lane, sum, of_token);
    };
    if (layout.config.token_tile == 1)
        one(k.imm<u32>(0));
    else
        k.for_<u32>(0, layout.config.token_tile, 1,
                    [&](Var<u32>& token) { one(Val<u32>(k.state(), token.operand())); });
}

/// Rows of a pass from the partial sums to y, by the consumers' threads.
void emit_rows(KernelBuilder& k, const Layout& layout, const RingSegment& segment, const Operands& operands,
               std::size_t matrix, const Val<shared_ptr<f32>>& partials, const Val<shared_ptr<f32>>& squares,
               const Val<u32>& first_tile, const Val<u32>& tiles, const Val<u32>& first_token, const Val<u32>& thread) {
    const auto first_row = first_tile << 4U;
    const auto rows = tiles << 4U;
    const std::uint32_t matrix_rows = layout.matrices[matrix].config.rows;
    const MatrixOperands& own = operands.matrices[matrix];
    const auto behind = k.imm<u32>(matrix_rows) - first_row;
    const auto existing = k.min(rows, behind);
    k.for_<u32>(thread, existing, 32 * ring_warps, [&](Var<u32>& i) {
        const Val<u32> row(i);
        const auto y_row = first_row + row;
        std::optional<Val<f32>> bias;
        if (own.bias) bias.emplace(k.ld(*own.bias + y_row));
        for (std::uint32_t t = 0; t < segment.tokens; t++) {
            std::vector<Val<f32>> terms{emit_ring_row(k, segment, partials, row, t)};
            if (operands.norm) {
                const auto inverse =
                    emit_inverse_rms(k, squares + ring_warps * t, layout.config.cols, *layout.config.norm_epsilon);
                terms.push_back(terms.back() * inverse);
            }
            if (bias) terms.push_back(terms.back() + *bias);
            const auto token = first_token + t;
            const auto wide_row = k.cvt<u64>(y_row);
            const auto offset = k.mad_wide(token, matrix_rows, wide_row);
            const auto to = own.y + offset;
            const auto store = [&] {
                if (own.residual) {
                    const auto other = k.ld(*own.residual + offset);
                    terms.push_back(terms.back() + other);
                }
                k.st(to, terms.back());
            };
            if (t == 0)
                store();
            else
                k.if_(token < operands.tokens, store);
        }
    });
}

void emit_body(KernelBuilder& k, const Layout& layout, const Operands& operands) {
    const GemvRingConfig& config = layout.config;
    const auto shared = k.dynamic_shared<u8>("ring", align(128));
    const auto records = shared + layout.records_at;
    const auto squares = (shared + layout.squares_at).as<shared_ptr<f32>>();
    const auto sums = (shared + layout.sums_at).as<shared_ptr<f32>>();
    const auto partials = (shared + layout.partials_at).as<shared_ptr<f32>>();
    const RingLane lane(k, layout.dots);
    const auto warp = emit_opaque(k, k.tid.x >> 5U);
    const Tiles tiles = tiles_of(k, layout);
    const Val<u32> token_tile = k.ctaid.y;
    const auto first_token = config.token_tile == 1 ? token_tile : token_tile * config.token_tile;

    const LabelRef done = k.label("gemv_done"), consume = k.label("gemv_consume");
    if (layout.bulk) {
        k.if_(k.tid.x == 0U, [&] { emit_ring_init(k, layout.plan, shared); });
        k.bar_sync(0);
        k.bra_if(warp < ring_warps, consume);
        k.exit_if(lane.lane != 0U);
        RingThrottle throttle;
        throttle.busy = config.in_flight;
        RingProducer producer(k, layout.plan, shared, throttle);
        for (std::size_t i = 0; i < layout.matrices.size(); i++) {
            const Matrix& matrix = layout.matrices[i];
            const Tiles own = tiles_of(k, layout, tiles, matrix);
            const auto from = unit_address(k, layout, matrix, operands.matrices[i].weights, own.first);
            const auto units = own.count * layout.super_blocks;
            producer.produce(from, units, matrix.unit_bytes());
        }
        k.exit();
        k.place(consume);
    }
    if (operands.norm)
        emit_normed_activations(k, layout, operands, first_token, {warp, lane.lane, lane.group, lane.quad}, records,
                                squares);
    else
        emit_activations(k, layout, operands, first_token, warp, lane.lane, records);
    k.bar_sync(ring_consumer_barrier, 32 * ring_warps);

    RingSegment segment;
    segment.super_blocks = layout.super_blocks;
    segment.tokens = config.token_tile;
    segment.max_tiles = layout.max_tiles;
    std::optional<RingConsumer> consumer;
    if (layout.bulk) consumer.emplace(k, layout.plan, shared, warp, lane);
    std::optional<Var<u32>> set;
    if (layout.two_sets) set.emplace(k.var<u32>(partials.as<u32>()));
    const auto run = [&](std::size_t i, const Val<u32>& first_tile, const Val<u32>& count) {
        const auto to = set ? Val<u32>(*set).as<shared_ptr<f32>>() : partials;
        if (layout.bulk)
            emit_ring_segment(k, segment, *consumer, {records, to, sums}, count);
        else
            emit_direct_segment(k, segment,
                                unit_address(k, layout, layout.matrices[i], operands.matrices[i].weights, first_tile),
                                warp, {records, to, sums}, count);
        k.bar_sync(ring_consumer_barrier, 32 * ring_warps);
        emit_rows(k, layout, segment, operands, i, to, squares, first_tile, count, first_token, k.tid.x);
        if (set) {
            const auto both = partials.as<u32>() * 2U + segment.partial_bytes();
            *set = both - *set;
        } else if (!layout.one_pass) {
            k.bar_sync(ring_consumer_barrier, 32 * ring_warps); // the partial sums have been read
        }
    };
    for (std::size_t i = 0; i < layout.matrices.size(); i++) {
        const Matrix& matrix = layout.matrices[i];
        const auto product = ring_product(k, matrix.config.type, lane);
        segment.product = product.get();
        const Tiles own = tiles_of(k, layout, tiles, matrix);
        if (matrix.most_tiles <= layout.max_tiles) {
            run(i, own.first, own.count);
            continue;
        }
        auto first_tile = k.var<u32>(own.first);
        auto left = k.var<u32>(own.count);
        const LabelRef pass = k.label("gemv_pass"), passed = k.label("gemv_passed");
        k.bra_if(left == 0U, passed);
        k.place(pass);
        const auto count = k.min(left, layout.max_tiles);
        run(i, Val<u32>(first_tile), count);
        first_tile += layout.max_tiles;
        left = left - count;
        k.bra_if(left != 0U, pass);
        k.place(passed);
    }
    k.place(done);
}

} // namespace

std::string gemv_ring_name(TensorType type) { return "gemv_ring_" + lower_name(type); }

Result<Generated> gemv_ring(const GemvRingConfig& config, std::optional<Target> target,
                            std::optional<PtxVersion> version) {
    const auto layout = lay_out(config, target);
    if (!layout) return layout.error();
    ModuleBuilder module(target, version);
    KernelBuilder k = module.kernel(gemv_ring_name(config.type));
    k.max_threads(layout->threads());
    k.min_ctas_per_sm(1);
    const auto weights_parameter = [&](const GemvRingMatrix& matrix, std::string_view number) {
        return k.param<global_ptr<const u8>>(
            fmt::format("weights{}", number),
            fmt::format("{} [{}][{}] in the ring format", name(matrix.type), matrix.rows, config.cols), align(16));
    };
    const auto y_parameter = [&](const GemvRingMatrix& matrix, std::string_view number) {
        return k.param<global_ptr<f32>>(fmt::format("y{}", number),
                                        fmt::format("f32 [tokens][{}], the result", matrix.rows));
    };
    const auto bias_parameter = [&](const GemvRingMatrix& matrix, std::string_view number) {
        std::optional<Val<global_ptr<const f32>>> bias;
        if (matrix.bias)
            bias.emplace(
                k.param<global_ptr<const f32>>(fmt::format("bias{}", number), fmt::format("f32 [{}]", matrix.rows)));
        return bias;
    };
    const GemvRingMatrix& first = layout->matrices[0].config;
    const auto weights = weights_parameter(first, "");
    const auto x = k.param<global_ptr<const f32>>("x", fmt::format("f32 [tokens][{}]", config.cols), align(16));
    const auto y = y_parameter(first, "");
    std::optional<Val<global_ptr<const f32>>> norm, residual;
    if (config.norm_epsilon)
        norm.emplace(k.param<global_ptr<const f32>>("norm", fmt::format("f32 [{}]", config.cols), align(16)));
    const auto bias = bias_parameter(first, "");
    if (config.residual)
        residual.emplace(
            k.param<global_ptr<const f32>>("residual", fmt::format("f32 [tokens][{}], may be y", config.rows)));
    std::vector<MatrixOperands> matrices{{weights, y, bias, residual}};
    for (std::size_t i = 1; i < layout->matrices.size(); i++) {
        const GemvRingMatrix& matrix = layout->matrices[i].config;
        const std::string number = fmt::format("{}", i + 1);
        const auto own_weights = weights_parameter(matrix, number);
        const auto own_y = y_parameter(matrix, number);
        matrices.push_back({own_weights, own_y, bias_parameter(matrix, number), {}});
    }
    const auto tokens = k.param<u32>("tokens", "rows of x");
    emit_body(k, *layout, {std::move(matrices), x, norm, tokens});

    LaunchShape launch;
    launch.grid_x = fmt::format("{}", layout->ctas);
    launch.grid_y = config.token_tile == 1 ? "tokens" : fmt::format("ceil(tokens / {})", config.token_tile);
    launch.block_x = layout->threads();
    launch.dynamic_shared_bytes = layout->shared_bytes;
    return finish(std::move(module), std::move(launch));
}

Grid gemv_ring_grid(const GemvRingConfig& config, std::uint32_t tokens) {
    std::uint32_t tiles = 0;
    for (const GemvRingMatrix& matrix : matrices_of(config)) tiles += ceil_div(matrix.rows, ring_tile_rows);
    return {std::min(config.ctas, tiles), ceil_div(tokens, config.token_tile), 1};
}

} // namespace ptxgen::kernels
