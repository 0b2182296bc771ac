#pragma once

#include "ptxgen/ptxgen.hpp"

#include <cstdint>
#include <string>

namespace ptxgen::tools {

/// Memory is read in tiles of so many bytes, tile t by CTA t modulo their number.
inline constexpr std::uint32_t stream_tile_bytes = 32768;

/// Threads of a CTA of `fill_random` and `stream_loads`.
inline constexpr std::uint32_t stream_threads = 256;

/// Stages of the ring of `stream_bulk`, a tile each.
inline constexpr std::uint32_t stream_stages = 6;

/// Dynamic shared memory of `stream_bulk`, in bytes.
inline constexpr std::uint32_t stream_bulk_shared = stream_stages * stream_tile_bytes;

/// The 32-bit word at this index of memory filled with this seed.
std::uint32_t random_word(std::uint32_t index, std::uint32_t seed);

/// `fill_random`(data, tiles, seed, sums): random_word() everywhere. Any number of CTAs of stream_threads.
/// `stream_loads`(data, tiles, seed, sums): reads all by 16-byte loads; thread i of all leaves the XOR of what it has
/// read in sums[i]. Any number of CTAs of stream_threads.
/// The seed of the latter is not used, so that all kernels take the same arguments.
Result<std::string> stream_ptx();
/// `stream_bulk`(data, tiles, seed, sums): reads all by bulk copies into a ring in shared memory, without looking at
/// more than the first word of each tile: sums[i] is the XOR of those of CTA i. CTAs of 32 threads with
/// stream_bulk_shared bytes. sm_90 and later.
Result<std::string> stream_bulk_ptx();

} // namespace ptxgen::tools
