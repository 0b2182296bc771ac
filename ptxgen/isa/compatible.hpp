#pragma once

#include "ptxgen/isa/types.hpp"

namespace ptxgen {

/// Whether a register declared with `declared` may stand where an instruction wants `wanted` (PTX ISA 9.4.1 and 9.4.2,
/// as ptxas 13 applies them): bit types match any class of their width, signedness is free, integer and floating do not
/// mix. `wider_ok`: the register may be wider, unless it is floating and the instruction is not of a bit type.
constexpr bool register_accepts(Type declared, Type wanted, bool wider_ok = false) {
    if (wanted == Type::none || declared == Type::none) return false;
    if (wanted == Type::pred || declared == Type::pred) return wanted == declared;
    if (declared == wanted) return true;
    const auto width = bit_width(wanted);
    if (wider_ok ? bit_width(declared) < width : bit_width(declared) != width) return false;
    const bool bits = bits_type(width) == wanted;
    const bool declared_bits = type_class(declared) == TypeClass::bits;
    if (bits || declared_bits) return true;
    return is_integer(wanted) && is_integer(declared);
}

} // namespace ptxgen
