#include "tools/ptxgen-bench/stream_kernels.hpp"

namespace ptxgen::tools {
namespace {

constexpr std::uint32_t words_of_tile = stream_tile_bytes / 4;
constexpr std::uint32_t vectors_of_thread = stream_tile_bytes / 16 / stream_threads;
// The finaliser of MurmurHash3, a permutation of the 32-bit words.
constexpr std::uint32_t first_factor = 0x85EBCA6B, second_factor = 0xC2B2AE35;

struct Arguments {
    Val<global_ptr<u32>> data;
    Val<u32> tiles, seed;
    Val<global_ptr<u32>> sums;
};

Arguments arguments(KernelBuilder& k) {
    const auto data = k.param<global_ptr<u32>>("data", "what is read", align(16));
    const auto tiles = k.param<u32>("tiles", "tiles of it");
    const auto seed = k.param<u32>("seed");
    const auto sums = k.param<global_ptr<u32>>("sums");
    return {data, tiles, seed, sums};
}

Val<u32> emit_random_word(KernelBuilder& k, const Val<u32>& index, const Val<u32>& seed) {
    auto h = k.var<u32>(index ^ seed);
    h = h ^ (h >> 16U);
    h *= first_factor;
    h = h ^ (h >> 13U);
    h *= second_factor;
    h = h ^ (h >> 16U);
    return h;
}

void emit_fill(KernelBuilder k) {
    k.max_threads(stream_threads);
    const auto a = arguments(k);
    const Val<u32> thread = k.tid.x, ctas = k.nctaid.x;
    k.for_<u32>(k.ctaid.x, a.tiles, ctas, [&](Var<u32>& tile) {
        const auto first = k.mad_lo(tile, words_of_tile, thread * 4U);
        for (std::uint32_t v = 0; v < vectors_of_thread; v++) {
            const Val<u32> index = first + v * stream_threads * 4;
            std::vector<Val<u32>> words;
            for (std::uint32_t i = 0; i < 4; i++) words.push_back(emit_random_word(k, index + i, a.seed));
            k.st(a.data + index, std::array{words[0], words[1], words[2], words[3]}, v4);
        }
    });
}

void emit_loads(KernelBuilder k) {
    k.max_threads(stream_threads);
    const auto a = arguments(k);
    const Val<u32> thread = k.tid.x, ctas = k.nctaid.x;
    auto sum = k.var<u32>(0);
    const Val<global_ptr<u32>> own = a.data + thread * 4U;
    k.for_<u32>(k.ctaid.x, a.tiles, ctas, [&](Var<u32>& tile) {
        const Val<global_ptr<const u32>> from =
            k.mad_wide(tile, stream_tile_bytes, own.as<u64>()).as<global_ptr<const u32>>();
        std::vector<std::array<Val<u32>, 4>> loaded;
        for (std::uint32_t v = 0; v < vectors_of_thread; v++)
            loaded.push_back(k.ld(from + v * stream_threads * 4, nc, l1_no_allocate, v4));
        for (const auto& vector : loaded)
            for (const auto& word : vector) sum = sum ^ word;
    });
    const auto all = k.mad_lo(k.ctaid.x, stream_threads, thread);
    k.st(a.sums + all, sum);
}

void emit_bulk(KernelBuilder k) {
    k.max_threads(32);
    const auto a = arguments(k);
    const auto ring = k.dynamic_shared<u32>("ring", align(128));
    const auto full = k.shared<u64>("full", stream_stages);
    k.ret_if(k.tid.x != 0U);
    const Val<u32> ctas = k.nctaid.x, cta = k.ctaid.x;
    for (std::uint32_t s = 0; s < stream_stages; s++) k.mbarrier_init(full + s, 1U);
    k.fence_mbarrier_init(release, cluster);

    // Each CTA reads a range of its own, as kernels that stream weights do.
    const auto share = (a.tiles + (ctas - 1U)) / ctas;
    const Val<u32> begin = cta * share;
    const auto wanted_end = begin + share;
    const Val<u32> end = k.min(wanted_end, a.tiles);

    const auto copy = [&](const Val<u32>& tile, const Val<shared_ptr<u32>>& stage,
                          const Val<shared_ptr<u64>>& barrier) {
        k.if_(tile < end, [&] {
            k.mbarrier_arrive_expect_tx(barrier, stream_tile_bytes);
            const auto from = k.mad_wide(tile, stream_tile_bytes, a.data.as<u64>()).as<global_ptr<u32>>();
            k.cp_async_bulk(stage, from, stream_tile_bytes, barrier);
        });
    };
    auto next = k.var<u32>(begin); // the tile to be copied next
    for (std::uint32_t s = 0; s < stream_stages; s++) {
        copy(next, ring + s * words_of_tile, full + s);
        next += 1U;
    }
    auto sum = k.var<u32>(0), parity = k.var<u32>(0), stage = k.var<u32>(0);
    k.for_<u32>(begin, end, 1, [&](Var<u32>&) {
        const Val<shared_ptr<u64>> barrier = full + stage;
        const Val<shared_ptr<u32>> place = ring + stage * words_of_tile;
        const LabelRef wait = k.label("wait");
        k.place(wait);
        const auto arrived = k.mbarrier_try_wait_parity(barrier, parity);
        k.bra_if(!arrived, wait);
        const auto word = k.ld(place);
        sum = sum ^ word;
        copy(next, place, barrier);
        next += 1U;
        stage += 1U;
        k.if_(stage == stream_stages, [&] {
            stage = 0U;
            parity = parity ^ 1U;
        });
    });
    k.st(a.sums + k.ctaid.x, sum);
}

} // namespace

std::uint32_t random_word(std::uint32_t index, std::uint32_t seed) {
    std::uint32_t h = index ^ seed;
    h = (h ^ (h >> 16)) * first_factor;
    h = (h ^ (h >> 13)) * second_factor;
    return h ^ (h >> 16);
}

Result<std::string> stream_ptx() {
    ModuleBuilder module;
    emit_fill(module.kernel("fill_random"));
    emit_loads(module.kernel("stream_loads"));
    return std::move(module).ptx();
}

Result<std::string> stream_bulk_ptx() {
    ModuleBuilder module;
    emit_bulk(module.kernel("stream_bulk"));
    return std::move(module).ptx();
}

} // namespace ptxgen::tools
