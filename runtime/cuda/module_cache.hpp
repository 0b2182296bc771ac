#pragma once

#include "runtime/cuda/sha256.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

namespace ptxgen::cuda {

struct ModuleCacheOptions {
    std::filesystem::path directory;
    std::uint64_t max_bytes = 256ull << 20; ///< when the entries exceed this, those unused for longest go

    /// $PTXGEN_CACHE_DIR, else $XDG_CACHE_HOME/ptxgen, else ~/.cache/ptxgen. Nothing when PTXGEN_CACHE is `off` or
    /// `0`, or when there is no home.
    static std::optional<ModuleCacheOptions> from_environment();
};

struct ModuleCacheStats {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
};

/// Compiled modules on disk, one file an entry, named by the digest of all that the compilation depends on.
///
/// Any number of processes may use one directory: an entry appears by a rename and is never changed. An entry that
/// is damaged in any byte counts as absent. Nothing here fails: where the directory cannot be read or written, there
/// simply is no entry.
class ModuleCache {
public:
    using Key = Sha256::Digest;

    explicit ModuleCache(ModuleCacheOptions options) : options_(std::move(options)) {}

    const std::filesystem::path& directory() const { return options_.directory; }
    /// The entry's bytes, if it is there and intact. Marks it as used now.
    std::optional<std::vector<std::byte>> find(const Key& key) const;
    /// Writes an entry and, if the cache has grown over its limit, removes the ones unused for longest.
    void store(const Key& key, std::span<const std::byte> bytes) const;
    void remove(const Key& key) const;
    ModuleCacheStats stats() const;

private:
    std::filesystem::path path_of(const Key& key) const;
    void prune() const;

    ModuleCacheOptions options_;
};

} // namespace ptxgen::cuda
