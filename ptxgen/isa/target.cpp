#include "ptxgen/isa/target.hpp"

#include <charconv>
#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr auto plain = TargetVariant::plain;
constexpr auto family = TargetVariant::family;
constexpr auto arch = TargetVariant::arch;

constexpr KnownTarget targets[] = {
    {{50, plain}, {4, 0}},   {{52, plain}, {4, 1}},   {{53, plain}, {4, 2}},   {{60, plain}, {5, 0}},
    {{61, plain}, {5, 0}},   {{62, plain}, {5, 0}},   {{70, plain}, {6, 0}},   {{72, plain}, {6, 1}},
    {{75, plain}, {6, 3}},   {{80, plain}, {7, 0}},   {{86, plain}, {7, 1}},   {{87, plain}, {7, 4}},
    {{88, plain}, {9, 0}},   {{89, plain}, {7, 8}},   {{90, plain}, {7, 8}},   {{90, arch}, {8, 0}},
    {{100, plain}, {8, 6}},  {{100, family}, {8, 8}}, {{100, arch}, {8, 6}},   {{103, plain}, {8, 8}},
    {{103, family}, {8, 8}}, {{103, arch}, {8, 8}},   {{110, plain}, {9, 0}},  {{110, family}, {9, 0}},
    {{110, arch}, {9, 0}},   {{120, plain}, {8, 7}},  {{120, family}, {8, 8}}, {{120, arch}, {8, 7}},
    {{121, plain}, {8, 8}},  {{121, family}, {8, 8}}, {{121, arch}, {8, 8}},
};

template <class Int>
bool parse_int(std::string_view text, Int& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size();
}

} // namespace

std::string to_string(PtxVersion version) { return fmt::format("{}.{}", version.major, version.minor); }

std::optional<PtxVersion> parse_ptx_version(std::string_view text) {
    const auto dot = text.find('.');
    PtxVersion version;
    if (dot == std::string_view::npos || !parse_int(text.substr(0, dot), version.major) ||
        !parse_int(text.substr(dot + 1), version.minor))
        return std::nullopt;
    return version;
}

std::string to_string(Target target) {
    return fmt::format("sm_{}{}", target.sm, target.variant == arch ? "a" : target.variant == family ? "f" : "");
}

std::optional<Target> parse_target(std::string_view text) {
    if (text.substr(0, 3) == "sm_") text.remove_prefix(3);
    Target target;
    if (!text.empty() && (text.back() == 'a' || text.back() == 'f')) {
        target.variant = text.back() == 'a' ? arch : family;
        text.remove_suffix(1);
    }
    if (text.empty() || !parse_int(text, target.sm)) return std::nullopt;
    return target;
}

std::span<const KnownTarget> known_targets() { return targets; }

std::optional<PtxVersion> introduced_in(Target target) {
    for (const auto& known : targets)
        if (known.target == target) return known.version;
    return std::nullopt;
}

SharedMemoryLimits shared_memory_limits(Target target) {
    // CUDA C++ Programming Guide, table "Technical specifications per compute capability".
    constexpr std::uint32_t kib = 1024;
    switch (target.sm) {
    case 70:
    case 72: return {48 * kib, 96 * kib};
    case 75: return {48 * kib, 64 * kib};
    case 80:
    case 87:
    case 88: return {48 * kib, 163 * kib};
    case 86:
    case 89:
    case 120:
    case 121: return {48 * kib, 99 * kib};
    case 90:
    case 100:
    case 103:
    case 110: return {48 * kib, 227 * kib};
    default: return {48 * kib, 48 * kib};
    }
}

} // namespace ptxgen
