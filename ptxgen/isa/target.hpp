#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ptxgen {

/// A PTX ISA version, the operand of `.version`.
struct PtxVersion {
    std::uint8_t major = 0;
    std::uint8_t minor = 0;
    constexpr auto operator<=>(const PtxVersion&) const = default;
};

std::string to_string(PtxVersion version); ///< "8.6"
std::optional<PtxVersion> parse_ptx_version(std::string_view text);

/// Which devices run code for a target (PTX ISA, `.target`): a plain target runs on every later one,
/// `f` on its family (same tens of the number), `a` on its own architecture alone.
enum class TargetVariant : std::uint8_t { plain, family, arch };

/// The operand of `.target`: `sm_75`, `sm_90a`, `sm_100f`.
struct Target {
    std::uint16_t sm = 0;
    TargetVariant variant = TargetVariant::plain;
    constexpr auto operator<=>(const Target&) const = default;

    /// Whether code may use what is introduced with `feature`: a plain feature on every target of at least its
    /// number; an `f` feature on the `f` and `a` targets of its family; an `a` feature on its `a` target alone.
    constexpr bool provides(Target feature) const {
        switch (feature.variant) {
        case TargetVariant::plain: return sm >= feature.sm;
        case TargetVariant::family:
            return variant != TargetVariant::plain && sm / 10 == feature.sm / 10 && sm >= feature.sm;
        case TargetVariant::arch: return variant == TargetVariant::arch && sm == feature.sm;
        }
        return false;
    }
};

std::string to_string(Target target);                      ///< "sm_90a"
std::optional<Target> parse_target(std::string_view text); ///< accepts "sm_90a" and "90a"

/// A target that can be emitted, with the PTX version that introduced it.
struct KnownTarget {
    Target target;
    PtxVersion version;
};
std::span<const KnownTarget> known_targets(); ///< lowest first
/// The version that introduced `target`, nothing for an unknown one.
std::optional<PtxVersion> introduced_in(Target target);

/// Shared memory that one CTA may use, in bytes: declared statically, and with the dynamic opt-in of the driver.
struct SharedMemoryLimits {
    std::uint32_t static_bytes;
    std::uint32_t dynamic_bytes;
};
SharedMemoryLimits shared_memory_limits(Target target);

/// One way to have a feature: at least this version, together with a target that provides this one.
struct Minimum {
    PtxVersion version;
    Target target;
};

/// The oldest version and target that are ever printed: the first target that current drivers run.
inline constexpr Minimum module_floor{{4, 0}, {50, TargetVariant::plain}};

} // namespace ptxgen
