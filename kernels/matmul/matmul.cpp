#include "kernels/matmul/matmul.hpp"

#include "kernels/common/index.hpp"
#include "kernels/common/memory.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen::kernels {
namespace {

/// Elements of one operand's slice that a thread carries from global to shared memory: the ones numbered
/// thread, thread + threads, … of `rows` × `columns`.
struct Carrier {
    std::uint32_t rows, columns, threads;

    std::uint32_t rounds() const { return ceil_div(rows * columns, threads); }
    /// Whether some threads have nothing to carry in this round.
    bool ragged(std::uint32_t round) const { return (round + 1) * threads > rows * columns; }
};

/// One element that a thread carries: where it comes from, where it goes, and when it exists.
struct Carried {
    Var<global_ptr<const f32>> source; ///< in the current slice
    Val<shared_ptr<f32>> target;
    Val<u32> depth;                 ///< index along k within a slice
    Pred outside_free;              ///< its row of A, or column of B, exists
    std::optional<Pred> has_target; ///< nothing: all threads
    Var<f32> value;
};

/// Registers that each thread of a CTA can have: a multiple of 8, and the file is shared by warps in fours.
std::uint32_t registers_available(std::uint32_t threads) {
    return std::min(255u, 65536 / (ceil_div(threads, 128) * 128) / 8 * 8);
}

/// Registers without which a thread would need local memory, about: sums, factors, and what it carries with addresses.
std::uint32_t registers_of_thread(const MatmulConfig& config) {
    const Carrier a{config.tile_m, config.tile_k, config.threads()}, b{config.tile_k, config.tile_n, config.threads()};
    return config.thread_m * config.thread_n + config.thread_m + config.thread_n + (a.rounds() + b.rounds()) * 5 + 16;
}

class TileWriter {
public:
    TileWriter(KernelBuilder& k, const MatmulConfig& config, const MatmulPrologue& prologue)
        : k_(k), config_(config), p_(prologue) {}

    void write(const Val<u32>& tile) {
        const Val<u32> tile_row = tile / p_.tiles_n;
        const Val<u32> first_row = tile_row * config_.tile_m;
        const Val<u32> first_column = (tile - tile_row * p_.tiles_n) * config_.tile_n;
        start_carrying(first_row, first_column);

        auto sums = accumulators(k_, std::size_t{config_.thread_m} * config_.thread_n, 0.f);
        auto depth = k_.var<u32>(0);
        fetch(depth);
        k_.loop([&](Loop& loop) {
            loop.break_if(depth >= p_.k);
            for (auto& e : carried_) guarded(e.has_target, [&] { k_.st(e.target, e.value); });
            k_.bar_sync(0);
            depth += config_.tile_k;
            k_.comment("the next slice is on its way while this one is multiplied");
            fetch(depth);
            multiply(sums);
            k_.bar_sync(0);
        });
        store_tile(sums, first_row, first_column);
    }

private:
    template <class F>
    void guarded(const std::optional<Pred>& condition, F&& body) {
        if (condition)
            k_.predicated(*condition, body);
        else
            body();
    }

    void start_carrying(const Val<u32>& first_row, const Val<u32>& first_column) {
        const Carrier a{config_.tile_m, config_.tile_k, config_.threads()};
        for (std::uint32_t r = 0; r < a.rounds(); r++) {
            const Val<u32> number = p_.thread + r * a.threads;
            const Val<u32> in_tile = quotient(number, a.columns), depth = remainder(number, a.columns);
            const Val<u32> row_of_a = first_row + in_tile;
            const auto exists = row_of_a < p_.m;
            const auto target = p_.a_slice + k_.mad_lo(depth, config_.a_stride(), in_tile);
            const auto source = p_.a + k_.mul_wide(row_of_a, p_.k) + depth;
            carry(a, r, number, source, target, depth, exists);
        }
        const Carrier b{config_.tile_k, config_.tile_n, config_.threads()};
        for (std::uint32_t r = 0; r < b.rounds(); r++) {
            const Val<u32> number = p_.thread + r * b.threads;
            const Val<u32> depth = quotient(number, b.columns);
            const Val<u32> column = first_column + remainder(number, b.columns);
            const auto exists = column < p_.n;
            const auto target = p_.b_slice + number;
            const auto source = p_.b + k_.mul_wide(depth, p_.n) + column;
            carry(b, r, number, source, target, depth, exists);
        }
        carried_a_ = a.rounds();
    }

    void carry(const Carrier& carrier, std::uint32_t round, const Val<u32>& number,
               const Val<global_ptr<const f32>>& source, const Val<shared_ptr<f32>>& target, const Val<u32>& depth,
               const Pred& exists) {
        std::optional<Pred> has_target;
        if (carrier.ragged(round)) has_target.emplace(number < carrier.rows * carrier.columns);
        carried_.push_back({k_.var<global_ptr<const f32>>(source), target, depth,
                            has_target ? exists & *has_target : exists, has_target, k_.var<f32>()});
    }

    /// Loads the elements of the slice that begins at `depth`, zero for those outside of the matrices, and moves on.
    void fetch(const Var<u32>& depth) {
        for (std::size_t i = 0; i < carried_.size(); i++) {
            auto& e = carried_[i];
            const auto inside = (depth + e.depth < p_.k) & e.outside_free;
            e.value = 0.f;
            k_.predicated(inside, [&] { e.value = k_.ld(e.source); });
            if (i < carried_a_)
                e.source += config_.tile_k;
            else
                e.source += p_.n * config_.tile_k;
        }
    }

    /// Vectors of a thread are `step` elements apart, so that neighbouring threads read neighbouring vectors.
    struct Fragment {
        std::uint32_t vector, count, step;
        Val<u32> first;
    };
    Fragment fragment(std::uint32_t of_thread, std::uint32_t of_tile, const Val<u32>& index) {
        const std::uint32_t vector = vector_width(of_thread);
        return {vector, of_thread / vector, of_tile / of_thread * vector, index * vector};
    }
    Fragment rows() {
        return fragment(config_.thread_m, config_.tile_m, quotient(p_.thread, config_.tile_n / config_.thread_n));
    }
    Fragment columns() {
        return fragment(config_.thread_n, config_.tile_n, remainder(p_.thread, config_.tile_n / config_.thread_n));
    }
    Values load_fragment(const Val<shared_ptr<f32>>& slice_row, const Fragment& f) {
        Values values;
        for (std::uint32_t i = 0; i < f.count; i++)
            for (const auto& v : load(k_, slice_row + i * f.step, f.vector)) values.push_back(v);
        return values;
    }

    void multiply(Accumulators& sums) {
        const Fragment of_a = rows(), of_b = columns();
        const auto a_at = p_.a_slice + of_a.first, b_at = p_.b_slice + of_b.first;
        for (std::uint32_t depth = 0; depth < config_.tile_k; depth++) {
            const Values a = load_fragment(a_at + depth * config_.a_stride(), of_a);
            const Values b = load_fragment(b_at + depth * config_.tile_n, of_b);
            for (std::uint32_t i = 0; i < config_.thread_m; i++)
                for (std::uint32_t j = 0; j < config_.thread_n; j++) {
                    auto& sum = sums[i * config_.thread_n + j];
                    sum = k_.fma(a[i], b[j], sum);
                }
        }
    }

    void store_tile(const Accumulators& sums, const Val<u32>& first_row, const Val<u32>& first_column) {
        const Fragment of_a = rows(), of_b = columns();
        const Val<u32> row_at = first_row + of_a.first, column_at = first_column + of_b.first;
        const auto place = [](const Fragment& f, std::uint32_t i) { return i / f.vector * f.step + i % f.vector; };
        std::vector<Pred> column_exists;
        for (std::uint32_t j = 0; j < config_.thread_n; j++) column_exists.push_back(column_at + place(of_b, j) < p_.n);
        for (std::uint32_t i = 0; i < config_.thread_m; i++) {
            const Val<u32> row_of_c = row_at + place(of_a, i);
            const Pred row_exists = row_of_c < p_.m;
            const auto c_at = p_.c + k_.mul_wide(row_of_c, p_.n) + column_at;
            for (std::uint32_t j = 0; j < config_.thread_n; j++) {
                const auto exists = row_exists & column_exists[j];
                k_.predicated(exists, [&] { k_.st(c_at + place(of_b, j), sums[i * config_.thread_n + j]); });
            }
        }
    }

    KernelBuilder& k_;
    const MatmulConfig& config_;
    const MatmulPrologue& p_;
    std::vector<Carried> carried_; ///< first those of A
    std::size_t carried_a_ = 0;
};

} // namespace

Status check_matmul(const MatmulConfig& config) {
    const auto thread_size = [](std::string_view name, std::uint32_t value) -> Status {
        if (value == 1 || value == 2 || value == 4 || value == 8) return {};
        return Error{fmt::format("{} must be 1, 2, 4 or 8, not {}", name, value)};
    };
    if (auto ok = thread_size("thread-m", config.thread_m); !ok) return ok;
    if (auto ok = thread_size("thread-n", config.thread_n); !ok) return ok;
    const auto tile_size = [](std::string_view name, std::uint32_t tile, std::uint32_t thread) -> Status {
        if (auto ok = check_range(name, tile, 4, 256); !ok) return ok;
        if (tile % thread == 0 && tile % 4 == 0) return {};
        return Error{fmt::format("{} must be a multiple of 4 and of a thread's {}, not {}", name, thread, tile)};
    };
    if (auto ok = tile_size("tile-m", config.tile_m, config.thread_m); !ok) return ok;
    if (auto ok = tile_size("tile-n", config.tile_n, config.thread_n); !ok) return ok;
    if (auto ok = check_range("tile-k", config.tile_k, 1, 64); !ok) return ok;
    if (config.threads() < 32 || config.threads() > 1024)
        return Error{fmt::format("tiles of {}x{} by {}x{} for a thread take {} threads; 32 to 1024 make a CTA",
                                 config.tile_m, config.tile_n, config.thread_m, config.thread_n, config.threads())};
    const std::uint32_t available = registers_available(config.threads());
    if (const std::uint32_t needed = registers_of_thread(config); needed > available)
        return Error{fmt::format("a thread needs about {} registers, but {} threads have {} each; make a thread's part "
                                 "or tile-k smaller",
                                 needed, config.threads(), available)};
    return {};
}

namespace {

struct MatmulOperands {
    Val<global_ptr<const f32>> a, b;
    Val<global_ptr<f32>> c;
    Val<u32> m, n, depth;
    Val<shared_ptr<f32>> slices;
};

MatmulOperands declare_operands(KernelBuilder& k, const MatmulConfig& config) {
    const auto a = k.param<global_ptr<const f32>>("a", "f32 [m][k]");
    const auto b = k.param<global_ptr<const f32>>("b", "f32 [k][n]");
    const auto c = k.param<global_ptr<f32>>("c", "f32 [m][n], the product");
    const auto m = k.param<u32>("m", "rows of a and c");
    const auto n = k.param<u32>("n", "columns of b and c");
    const auto depth = k.param<u32>("k", "columns of a, rows of b");
    const auto slices = config.dynamic_shared ? k.dynamic_shared<f32>("slices")
                                              : k.shared<f32>("slices", config.shared_bytes() / 4, align(16));
    return {a, b, c, m, n, depth, slices};
}

struct TileCounts {
    Val<u32> along_n, all;
};

TileCounts count_tiles(const MatmulOperands& operands, const MatmulConfig& config) {
    const auto tiles_of = [](const Val<u32>& size, std::uint32_t tile) -> Val<u32> {
        return quotient(size + (tile - 1), tile);
    };
    const Val<u32> along_n = tiles_of(operands.n, config.tile_n);
    const Val<u32> all = tiles_of(operands.m, config.tile_m) * along_n;
    return {along_n, all};
}

MatmulPrologue prologue_of(KernelBuilder& k, const MatmulConfig& config, const MatmulOperands& o,
                           const TileCounts& tiles) {
    const std::uint32_t a_elements = config.tile_k * config.a_stride();
    return {o.a, o.b, o.c, o.m, o.n, o.depth, tiles.along_n, tiles.all, k.tid.x, o.slices, o.slices + a_elements};
}

} // namespace

MatmulPrologue emit_matmul_prologue(KernelBuilder& k, const MatmulConfig& config) {
    const MatmulOperands operands = declare_operands(k, config);
    return prologue_of(k, config, operands, count_tiles(operands, config));
}

void emit_matmul_tile(KernelBuilder& k, const MatmulConfig& config, const MatmulPrologue& prologue,
                      const Val<u32>& tile) {
    TileWriter(k, config, prologue).write(tile);
}

namespace {

LaunchShape matmul_launch(const MatmulConfig& config) {
    LaunchShape launch;
    launch.grid_x = fmt::format("ceil(m / {}) * ceil(n / {})", config.tile_m, config.tile_n);
    launch.block_x = config.threads();
    launch.dynamic_shared_bytes = config.dynamic_shared ? config.shared_bytes() : 0;
    return launch;
}

} // namespace

TileKernel matmul_tile(const MatmulConfig& config) {
    const auto prologue = [config](KernelBuilder& builder) {
        const MatmulOperands operands = declare_operands(builder, config);
        policies::TileCode code;
        code.grid = [=]() -> std::vector<Val<u32>> { return {count_tiles(operands, config).all}; };
        code.tile = [=, k = builder](const policies::TileId& tile) mutable {
            const TileCounts tiles = count_tiles(operands, config);
            k.if_(tile.x < tiles.all,
                  [&] { emit_matmul_tile(k, config, prologue_of(k, config, operands, tiles), tile.x); });
        };
        return code;
    };
    return {"matmul", matmul_launch(config), config.threads(), prologue};
}

Result<Generated> matmul(const MatmulConfig& config, std::optional<Target> target, std::optional<PtxVersion> version) {
    if (auto ok = check_matmul(config); !ok) return ok.error();
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("matmul");
    k.max_threads(config.threads());
    const MatmulPrologue prologue = emit_matmul_prologue(k, config);
    k.ret_if(k.ctaid.x >= prologue.tiles);
    emit_matmul_tile(k, config, prologue, k.ctaid.x);
    return finish(std::move(module), matmul_launch(config));
}

Grid matmul_grid(const MatmulConfig& config, std::uint32_t m, std::uint32_t n) {
    return {ceil_div(m, config.tile_m) * ceil_div(n, config.tile_n), 1, 1};
}

} // namespace ptxgen::kernels
