#include "runtime/emulator/exec/lanes.hpp"

namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {

Handlers resolve(const Key& key) {
    constexpr Handlers (*families[])(const Key&) = {resolve_integer, resolve_fields, resolve_bits,
                                                    resolve_compare, resolve_float,  resolve_half,
                                                    resolve_convert, resolve_memory, resolve_matrix};
    for (const auto family : families)
        if (const Handlers h = family(key)) return h;
    return {};
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
