#include "kernels/gemv/unit_product.hpp"

namespace ptxgen::kernels {

template <pointer_type X>
UnitProduct<X>::UnitProduct(KernelBuilder& k, UnitDecoder& decoder, std::uint32_t rows, std::uint32_t tokens,
                            std::uint64_t row_stride)
    : k_(k), decoder_(decoder), rows_(rows), tokens_(tokens), row_stride_(row_stride) {
    for (std::uint32_t i = 0; i < rows * tokens; i++) sums_.push_back(k_.var<f32>(0.0F));
}

template <pointer_type X>
std::vector<Val<f32>> UnitProduct<X>::load_x(const Var<X>& x, std::uint32_t offset) {
    const auto from = x + offset;
    std::vector<Val<f32>> values;
    switch (decoder_.shape().width) {
    case 4:
        for (const auto& value : k_.ld(from, v4)) values.push_back(value);
        break;
    case 2:
        for (const auto& value : k_.ld(from, v2)) values.push_back(value);
        break;
    default: values.push_back(k_.ld(from));
    }
    return values;
}

template <pointer_type X>
void UnitProduct<X>::accumulate(const Var<global_ptr<const u8>>& weights, std::span<const Var<X>> x) {
    Units units;
    for (std::uint32_t r = 0; r < rows_; r++) units.push_back(decoder_.load(k_, weights + r * row_stride_));
    for (auto& unit : units) unit->prepare();
    // weight = scale · (v − offset) + minimum. Either each weight is computed, one fma more a weight; or Σ v·x is
    // scaled once a group, and Σ x, which all rows share, takes one addition a token. Types without an offset need no
    // Σ x, but a partial sum for each row and token.
    const UnitShape& shape = decoder_.shape();
    const bool scale_sums = shape.groups > 0 && (shifted() ? rows_ > tokens_ : rows_ * tokens_ <= 16);
    if (scale_sums)
        factored(units, x);
    else
        whole_weights(units, x);
}

template <pointer_type X>
bool UnitProduct<X>::shifted() const {
    return decoder_.shape().has_minimum || decoder_.shape().offset != 0;
}

template <pointer_type X>
Val<f32> UnitProduct<X>::shift_of(const LoadedUnit& unit, std::uint32_t group) {
    const UnitShape& shape = decoder_.shape();
    if (shape.offset == 0) return unit.minimum(group);
    if (!shape.has_minimum) return unit.scale(group) * -shape.offset;
    return k_.fma(unit.scale(group), -shape.offset, unit.minimum(group));
}

template <pointer_type X>
void UnitProduct<X>::whole_weights(Units& units, std::span<const Var<X>> x) {
    const UnitShape& shape = decoder_.shape();
    std::vector<std::vector<Val<f32>>> shifts(rows_);
    for (std::uint32_t r = 0; shifted() && r < rows_; r++)
        for (std::uint32_t g = 0; g < shape.groups; g++) shifts[r].push_back(shift_of(*units[r], g));
    for (std::size_t c = 0; c < shape.chunks.size(); c++) {
        const UnitChunk& chunk = shape.chunks[c];
        std::vector<std::vector<Val<f32>>> w(rows_);
        for (std::uint32_t r = 0; r < rows_; r++)
            for (const auto& value : units[r]->values(c)) {
                if (shape.groups == 0)
                    w[r].push_back(value);
                else if (shifts[r].empty())
                    w[r].push_back(value * units[r]->scale(chunk.group));
                else
                    w[r].push_back(k_.fma(value, units[r]->scale(chunk.group), shifts[r][chunk.group]));
            }
        for (std::uint32_t t = 0; t < tokens_; t++) {
            const auto values = load_x(x[t], chunk.offset);
            for (std::uint32_t r = 0; r < rows_; r++)
                for (std::uint32_t i = 0; i < shape.width; i++)
                    sums_[r * tokens_ + t] = k_.fma(w[r][i], values[i], sums_[r * tokens_ + t]);
        }
    }
}

template <pointer_type X>
void UnitProduct<X>::factored(Units& units, std::span<const Var<X>> x) {
    const UnitShape& shape = decoder_.shape();
    std::vector<std::vector<Var<f32>>> products(shape.groups); // by group, then row and token
    std::vector<std::vector<Var<f32>>> totals(shape.groups);   // Σ x by group, then token
    for (std::size_t c = 0; c < shape.chunks.size(); c++) {
        const UnitChunk& chunk = shape.chunks[c];
        auto& product = products[chunk.group];
        auto& total = totals[chunk.group];
        const bool first = product.empty();
        std::vector<std::vector<Val<f32>>> v;
        for (auto& unit : units) v.push_back(unit->values(c));
        for (std::uint32_t t = 0; t < tokens_; t++) {
            const auto values = load_x(x[t], chunk.offset);
            for (std::uint32_t i = 0; shifted() && i < shape.width; i++) {
                if (first && i == 0) continue;
                if (first && i == 1)
                    total.push_back(k_.var<f32>(values[0] + values[1]));
                else
                    total[t] += values[i];
            }
            for (std::uint32_t r = 0; r < rows_; r++)
                for (std::uint32_t i = 0; i < shape.width; i++) {
                    if (first && i == 0)
                        product.push_back(k_.var<f32>(v[r][0] * values[0]));
                    else
                        product[t * rows_ + r] = k_.fma(v[r][i], values[i], product[t * rows_ + r]);
                }
        }
    }
    for (std::uint32_t r = 0; r < rows_; r++)
        for (std::uint32_t g = 0; g < shape.groups; g++) {
            const auto& scale = units[r]->scale(g);
            std::optional<Val<f32>> shift;
            if (shifted()) shift.emplace(shift_of(*units[r], g));
            for (std::uint32_t t = 0; t < tokens_; t++) {
                auto& sum = sums_[r * tokens_ + t];
                sum = k_.fma(products[g][t * rows_ + r], scale, sum);
                if (shift) sum = k_.fma(totals[g][t], *shift, sum);
            }
        }
}

template class UnitProduct<global_ptr<const f32>>;
template class UnitProduct<shared_ptr<f32>>;

} // namespace ptxgen::kernels
