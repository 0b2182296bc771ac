#include "ptxgen/isa/types.hpp"

#include <iterator>

namespace ptxgen {
namespace {

// In the order of the enumeration.
constexpr std::string_view type_names[] = {
    "none", "pred", "b8",    "b16",   "b32",   "b64",  "b128",  "u8",     "u16",    "u32",
    "u64",  "s8",   "s16",   "s32",   "s64",   "f16",  "f16x2", "bf16",   "bf16x2", "tf32",
    "f32",  "f64",  "f32x2", "u16x2", "s16x2", "e4m3", "e5m2",  "e4m3x2", "e5m2x2",
};
static_assert(std::size(type_names) == static_cast<std::size_t>(Type::e5m2x2) + 1);

} // namespace

std::string_view to_string(Type type) { return type_names[static_cast<std::size_t>(type)]; }

std::optional<Type> parse_type(std::string_view text) {
    for (std::size_t i = 1; i < std::size(type_names); i++)
        if (type_names[i] == text) return static_cast<Type>(i);
    return std::nullopt;
}

std::string_view to_string(Space space) {
    switch (space) {
    case Space::generic: return "";
    case Space::global: return "global";
    case Space::shared: return "shared";
    case Space::shared_cluster: return "shared::cluster";
    case Space::local: return "local";
    case Space::constant: return "const";
    case Space::param: return "param";
    }
    return "?";
}

std::optional<Space> parse_space(std::string_view word) {
    if (word == "global") return Space::global;
    if (word == "shared" || word == "shared::cta") return Space::shared;
    if (word == "shared::cluster") return Space::shared_cluster;
    if (word == "local") return Space::local;
    if (word == "const") return Space::constant;
    if (word == "param" || word == "param::entry" || word == "param::func") return Space::param;
    return std::nullopt;
}

} // namespace ptxgen
