#include "kernels/decoder/emitter.hpp"

#include <algorithm>

namespace ptxgen::kernels {

LayerWalk::LayerWalk(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
                     const Val<global_ptr<const u8>>& weights)
    : k_(k), config_(config), plan_(plan), weights_(weights), layer_(k.var<u32>()), base_(k.var<u32>()),
      kind_(k.var<u32>()) {}

void LayerWalk::find_kind() {
    if (plan_.kinds.size() == 1) return;
    // Four bits a layer.
    constexpr std::uint32_t of_word = 16;
    const std::uint32_t layers = config_.shape.layers;
    std::vector<std::uint64_t> words(ceil_div(layers, of_word), 0);
    for (std::uint32_t l = 0; l < layers; l++)
        words[l / of_word] |= std::uint64_t{plan_.kind_of[l]} << (4 * (l % of_word));
    auto word = k_.var<u64>(words[0]);
    for (std::uint32_t w = 1; w < words.size(); w++) k_.predicated(layer_ >= w * of_word, [&] { word = words[w]; });
    const auto nibble = layer_ & (of_word - 1);
    const auto shifted = word >> (nibble * 4u);
    const auto low = k_.cvt<u32>(shifted);
    kind_ = low & 15u;
}

void LayerWalk::each(const std::function<void()>& body) {
    layer_ = 0u;
    base_ = static_cast<std::uint32_t>(config_.weights.at(0, LayerTensor::attn_norm) / tensor_alignment);
    const LabelRef again = k_.label("layer");
    k_.place(again);
    find_kind();
    body();
    base_ += by_kind([](const LayerKind& kind) { return kind.stride / tensor_alignment; });
    layer_ += 1;
    k_.bra_if(layer_ < config_.shape.layers, again);
}

Val<u32> LayerWalk::by_kind(const std::function<std::uint64_t(const LayerKind&)>& value) {
    const auto of = [&](std::size_t kind) { return static_cast<std::uint32_t>(value(plan_.kinds[kind])); };
    bool same = true;
    for (std::size_t kind = 1; kind < plan_.kinds.size(); kind++) same = same && of(kind) == of(0);
    if (same) return k_.imm<u32>(of(0));
    auto chosen = k_.var<u32>(of(0));
    for (std::size_t kind = 1; kind < plan_.kinds.size(); kind++)
        if (of(kind) != of(0)) k_.predicated(kind_ == static_cast<std::uint32_t>(kind), [&] { chosen = of(kind); });
    return chosen;
}

Val<global_ptr<const u8>> LayerWalk::tensor(LayerTensor tensor) {
    const auto index = static_cast<std::size_t>(tensor);
    const auto offset = by_kind([&](const LayerKind& kind) { return kind.offsets[index] / tensor_alignment; });
    return place(base_ + offset);
}

Val<global_ptr<const u8>> LayerWalk::place(const Val<u32>& unit) {
    return k_.mad_wide(unit, tensor_alignment, weights_.as<u64>()).as<global_ptr<const u8>>();
}

Val<global_ptr<const u8>> LayerWalk::next_norm() {
    auto unit = k_.var<u32>(base_ + by_kind([](const LayerKind& kind) { return kind.stride / tensor_alignment; }));
    const auto is_last = layer_ + 1u >= config_.shape.layers;
    k_.predicated(is_last, [&] { unit = static_cast<std::uint32_t>(config_.weights.output_norm / tensor_alignment); });
    return place(unit);
}

Pred LayerWalk::kind_in(const std::function<bool(std::uint32_t)>& member) {
    std::uint32_t members = 0;
    for (std::uint32_t kind = 0; kind < plan_.kinds.size(); kind++) members |= member(kind) ? 1u << kind : 0u;
    const auto bit = k_.shl(k_.imm<u32>(1).as<b32>(), kind_).as<u32>();
    const auto hit = bit & members;
    return hit != 0;
}

Pred LayerWalk::is_sliding() {
    return kind_in([&](std::uint32_t kind) { return plan_.kinds[kind].sliding; });
}

void LayerWalk::each_variant(const DecoderOp& op, const std::function<void(const std::vector<DecoderSegment>&)>& body) {
    if (op.variants.size() == 1) return body(op.variants[0]);
    for (std::uint32_t v = 0; v < op.variants.size(); v++)
        k_.if_(kind_in([&](std::uint32_t kind) { return op.variant_of_kind[kind] == v; }),
               [&] { body(op.variants[v]); });
}

TileRange emit_tile_range(KernelBuilder& k, const DecoderOp& op, const Val<u32>& cta, std::uint32_t ctas) {
    auto number = k.var<u32>(cta + op.rotation);
    if (op.rotation > 0) k.predicated(number >= ctas, [&] { number -= ctas; });
    const auto scaled = number * op.granules();
    const auto begin = scaled / ctas;
    const auto next = scaled + op.granules();
    const auto end = next / ctas;
    if (op.granule == 1) return {begin, end};
    return {begin * op.granule, end * op.granule};
}

SegmentPart emit_segment_part(KernelBuilder& k, const DecoderOp& op, const DecoderSegment& segment,
                              const Val<u32>& begin, const Val<u32>& end) {
    if (op.paired || segment.tiles == op.tiles) return {begin, end - begin, k.imm<u32>(0)};
    const auto low = k.max(begin, k.imm<u32>(segment.first_tile));
    const auto high = k.min(end, k.imm<u32>(segment.first_tile + segment.tiles));
    const auto count = k.sub(k.max(high, low), low);
    return {low - segment.first_tile, count, low - begin};
}

} // namespace ptxgen::kernels
