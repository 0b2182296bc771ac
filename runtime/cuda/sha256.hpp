#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ptxgen::cuda {

/// SHA-256 (FIPS 180-4) of the bytes given to `update`.
class Sha256 {
public:
    using Digest = std::array<std::uint8_t, 32>;

    void update(std::span<const std::byte> bytes);
    /// A field of a compound key: its length goes in too, so that neighbouring fields cannot run together.
    void update_field(std::string_view field);
    /// The digest of all bytes so far. Ends the object's use.
    Digest finish();

private:
    void compress(const std::uint8_t* block);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::uint64_t length_ = 0; ///< bytes so far
};

std::string to_hex(const Sha256::Digest& digest); ///< 64 lower-case digits

} // namespace ptxgen::cuda
