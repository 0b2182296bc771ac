#pragma once

#include "ptxgen/isa/form.hpp"

namespace ptxgen {

/// The rows of an Op: table[first] … table[first + count - 1].
struct OpRows {
    std::uint16_t first = 0;
    std::uint16_t count = 0;
};

/// Data behind the table, in arrays that rows share. Short names keep this header cheap to include.
namespace table_data {
using T = Type;
using S = Space;
using K = OperandKind;
using E = EffectKind;
using V = TargetVariant;
inline constexpr std::optional<Minimum> none{};
} // namespace table_data

#include "ptxgen/isa/generated/table.inc"

/// All rows, those of one opcode's first word together, and within these those of one Op.
inline constexpr auto& table = table_data::rows;

constexpr std::span<const Form> rows_of(Op op) {
    const auto rows = op_rows[static_cast<std::size_t>(op)];
    return {table + rows.first, rows.count};
}

} // namespace ptxgen
