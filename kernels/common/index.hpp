#pragma once

#include "ptxgen/ptxgen.hpp"

#include <bit>
#include <cstdint>

namespace ptxgen::kernels {

/// `value / divisor` and `value % divisor` by a number known when the kernel is built: shifts and masks for powers of
/// two.
template <typed_value A>
Val<u32> quotient(const A& value, std::uint32_t divisor) {
    if (divisor == 1) return value;
    if (std::has_single_bit(divisor)) return value >> static_cast<std::uint32_t>(std::countr_zero(divisor));
    return value / divisor;
}
template <typed_value A>
Val<u32> remainder(const A& value, std::uint32_t divisor) {
    if (std::has_single_bit(divisor)) return value & (divisor - 1);
    return value % divisor;
}

} // namespace ptxgen::kernels
